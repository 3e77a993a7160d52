"""From what a sample is about to where everything stands: sizes, looks and places."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dreamomni.data.collage.backgrounds import draw_background
from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.edit_plans import EditPlan
from dreamomni.data.collage.layout import Spacing, place_at, place_clusters, place_free, place_related
from dreamomni.data.collage.multi_edit_plans import MultiEditPlan
from dreamomni.data.collage.naming import NEVER_MIRRORED
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.collage.render import Renderer
from dreamomni.data.collage.scene import BackgroundLook, BlendLook, Look, Placed, Scene, Thing
from dreamomni.data.collage.scene_plans import Group, TextToImagePlan
from dreamomni.data.collage.sprite import Sprite
from dreamomni.data.collage.world import World
from dreamomni.tasks.geometry import Box, Size

_TEXT_MAX_WIDTH = 0.92
_MIN_TEXT_PX = 5
_MIN_THING_PX = 8
# Longest side of a plate, as a fraction of the shorter side of the canvas, and how much of it words may fill.
_PLATE_SIDE = (0.5, 0.92)
_PLATE_ROOM = {"rectangle": (0.86, 0.72), "square": (0.84, 0.7), "circle": (0.74, 0.5), "oval": (0.74, 0.5)}
_UNBLENDED = BlendLook()


@dataclass(frozen=True, slots=True)
class Stage:
    """A plan that has found its places; source and target share everything that stays.

    Attributes:
        plan: What the sample is about.
        source: The picture before the edit; the target itself for text-to-image.
        target: The picture to make.
    """

    plan: TextToImagePlan | EditPlan | MultiEditPlan
    source: Scene
    target: Scene


def stage_text_to_image(
    plan: TextToImagePlan,
    world: World,
    renderer: Renderer,
    size: Size,
    background: BackgroundLook,
    looks: Draws,
    layout: Draws,
    blend: BlendLook = _UNBLENDED,
) -> Stage | None:
    """Give sizes and places to a text-to-image plan, or None when they were not found."""
    if plan.on_plate:
        return _stage_plate(plan, world, renderer, size, background, looks, layout, blend)
    total = sum(group.count for group in plan.groups)
    groups = [_group_looks(group, plan, total, world, renderer, size, looks) for group in plan.groups]
    flat = [look for members in groups for look in members]
    things = [group.thing for group in plan.groups for _ in range(group.count)]
    sprites = [renderer.sprite(look) for look in flat]
    sides = [side_of(sprite) for sprite in sprites]
    spacing = spacing_of(world, size)
    boxes: list[Box] | None
    if plan.form == "description":
        rest = iter(sides)
        clusters = [[next(rest) for _ in members] for members in groups]
        together = place_clusters(clusters, size, layout, spacing)
        boxes = None if together is None else [box for members in together for box in members]
    elif plan.form == "placed":
        boxes = _place_named(plan, sides, size, layout, spacing)
    elif plan.predicate is None:
        in_order = world.recipe.habits.reading_order
        boxes = place_free(sides, size, layout, spacing, in_order=in_order)
    else:
        num = plan.groups[0].count
        related = place_related(sides[:num], plan.predicate, sides[num:], size, layout, spacing)
        boxes = related and [*related[0], *related[1]]
    if boxes is None:
        return None
    placed = [
        Placed(number, thing, look, box.x0, box.y0)
        for number, (thing, look, box) in enumerate(zip(things, flat, boxes, strict=True), start=1)
    ]
    # Only where boxes may overlap does the order show.
    order = layout.shuffled(placed) if world.recipe.max_overlap > 0 else placed
    scene = Scene(size, background, tuple(order), blend)
    return Stage(plan, scene, scene)


def _group_looks(
    group: Group,
    plan: TextToImagePlan,
    total: int,
    world: World,
    renderer: Renderer,
    size: Size,
    looks: Draws,
) -> list[Look]:
    if group.thing.kind == "text":
        return [_text_look(group, world, renderer, size, looks)]
    if group.size:
        low, high = getattr(world.recipe.text_to_image, group.size)
        look = draw_look(group.thing, total, world, size, looks)
        return [replace(look, size=max(1, round(looks.uniform(low, high) * min(size))))]
    if plan.form == "description":
        # Equal things of one size, smaller where the recipe's table ends before their number.
        look = draw_look(group.thing, total, world, size, looks)
        smaller = min(1.0, (max(world.recipe.object_sizes) / total) ** 0.5)
        look = replace(look, size=max(_MIN_THING_PX, round(look.size * smaller)))
        return [look] * group.count
    return [draw_look(group.thing, total, world, size, looks) for _ in range(group.count)]


def _place_named(
    plan: TextToImagePlan, sides: Sequence[Size], canvas: Size, layout: Draws, spacing: Spacing
) -> list[Box] | None:
    """A place for each group in the part of the canvas that the words name."""
    boxes: list[Box] = []
    for group, side in zip(plan.groups, sides, strict=True):
        assert group.location is not None
        box = place_at(side, group.location, canvas, layout)
        if box is None or not all(spacing.allows(box, other) for other in boxes):
            return None
        boxes.append(box)
    return boxes


def _stage_plate(
    plan: TextToImagePlan,
    world: World,
    renderer: Renderer,
    size: Size,
    background: BackgroundLook,
    looks: Draws,
    layout: Draws,
    blend: BlendLook,
) -> Stage | None:
    """Words in the middle of a shape, as large as they may be there or smaller."""
    words, plate = plan.groups
    side = round(looks.uniform(*_PLATE_SIDE) * min(size))
    ground = Look("shape", plate.thing.name, world.rgb_of(plate.thing), side)
    whole = side_of(renderer.sprite(ground))
    boxes = place_free([whole], size, layout, spacing_of(world, size))
    if boxes is None:
        return None
    across, down = _PLATE_ROOM[plate.thing.name]
    room = Size(int(whole.width * across), int(whole.height * down))
    look = _fitted(_text_look(words, world, renderer, size, looks), room, renderer)
    if look is None:
        return None
    extent = side_of(renderer.sprite(look))
    x = boxes[0].x0 + (whole.width - extent.width) // 2
    y = boxes[0].y0 + (whole.height - extent.height) // 2
    placed = (
        Placed(1, plate.thing, ground, boxes[0].x0, boxes[0].y0),
        Placed(2, words.thing, look, x, y),
    )
    scene = Scene(size, background, placed, blend)
    return Stage(plan, scene, scene)


def stage_edit(
    plan: EditPlan,
    world: World,
    renderer: Renderer,
    size: Size,
    background: BackgroundLook,
    looks: Draws,
    layout: Draws,
    blend: BlendLook = _UNBLENDED,
) -> Stage | None:
    """Give sizes and places to an edit plan, or None when they were not found.

    A thing and the one that takes its place are centred on one spot; everything else stays where it is.
    """
    total = len(plan.others) + 1
    other_looks = [draw_look(thing, total, world, size, looks) for thing in plan.others]
    changed = [thing for thing in (plan.removed, plan.added) if thing is not None]
    changed_looks = [draw_look(thing, total, world, size, looks) for thing in changed]
    if plan.operation == "replace":
        # The newcomer is as large as what it replaces.
        changed_looks[1] = changed_looks[1].sized(changed_looks[0].size)
    sides = [side_of(renderer.sprite(look)) for look in other_looks]
    changed_sides = [side_of(renderer.sprite(look)) for look in changed_looks]
    slot = Size(max(side.width for side in changed_sides), max(side.height for side in changed_sides))
    boxes = _place_edit(plan, sides, slot, size, layout, spacing_of(world, size))
    if boxes is None:
        return None
    numbers = range(1, len(plan.others) + 1)
    stay = [
        Placed(number, thing, look, box.x0, box.y0)
        for number, thing, look, box in zip(numbers, plan.others, other_looks, boxes[1:], strict=True)
    ]
    change = [
        Placed(
            total + (thing is plan.added and plan.removed is not None),
            thing,
            look,
            boxes[0].x0 + (slot.width - side.width) // 2,
            boxes[0].y0 + (slot.height - side.height) // 2,
        )
        for thing, look, side in zip(changed, changed_looks, changed_sides, strict=True)
    ]
    order = layout.shuffled([*stay, *change]) if world.recipe.max_overlap > 0 else [*stay, *change]
    return Stage(
        plan,
        Scene(size, background, tuple(item for item in order if item.thing is not plan.added), blend),
        Scene(size, background, tuple(item for item in order if item.thing is not plan.removed), blend),
    )


def _place_edit(
    plan: EditPlan, sides: Sequence[Size], slot: Size, canvas: Size, layout: Draws, spacing: Spacing
) -> list[Box] | None:
    """Boxes of the slot and of the others, in this order."""
    if plan.predicate is not None:
        related = place_related([slot], plan.predicate, sides[:1], canvas, layout, spacing, len(sides) - 1)
        fixed = related and [*related[0], *related[1]]
        rest = sides[1:]
    elif plan.location is not None:
        box = place_at(slot, plan.location, canvas, layout, spacing.jitter)
        fixed = box and [box]
        rest = sides
    else:
        return place_free([slot, *sides], canvas, layout, spacing)
    if fixed is None:
        return None
    free = place_free(rest, canvas, layout, spacing, taken=fixed)
    return free if free is None else [*fixed, *free]


def draw_backdrop(recipe: CollageRecipe, world: World, draws: Draws) -> BackgroundLook:
    """Draw the background of a canvas."""
    colour = draws.pick(world.ground_names)
    style = draws.weighted(recipe.background_styles)
    if style == "photo":
        return world.draw_photo(draws)
    return draw_background(style, colour, world.backgrounds[colour], draws)


def draw_look(thing: Thing, total: int, world: World, canvas: Size, looks: Draws) -> Look:
    """Draw how one of `total` things of a picture looks: size, angle and mirroring as the recipe allows."""
    low, high = world.object_size(total)
    side = round(looks.uniform(low, high) * min(canvas))
    most = world.clarity.most_px(thing.asset) if thing.asset else None
    if most is not None and side > most:
        # As large as its pixels allow, unless even the smallest is too large for them.
        side = max(most, round(low * min(canvas)))
    limit = world.recipe.max_angle
    angle, flip = looks.uniform(-limit, limit), looks.chance(0.5)
    rgb = world.rgb_of(thing)
    # Shapes have no face that a mirror would change.
    return Look(
        thing.kind,
        thing.name,
        rgb,
        side,
        round(angle, 1) if limit else 0.0,
        flip and world.recipe.habits.mirror and thing.kind == "sticker" and thing.name not in NEVER_MIRRORED,
        asset=thing.asset,
    )


def _text_look(group: Group, world: World, renderer: Renderer, canvas: Size, looks: Draws) -> Look:
    low, high = world.recipe.text_to_image.text_height
    height = max(_MIN_TEXT_PX, round(looks.uniform(low, high) * min(canvas)))
    look = Look("text", "\n".join(group.lines), world.rgb_of(group.thing), height, font=group.font)
    room = Size(int(_TEXT_MAX_WIDTH * canvas.width), int(_TEXT_MAX_WIDTH * canvas.height))
    return _fitted(look, room, renderer) or replace(look, size=_MIN_TEXT_PX - 1)


def _fitted(look: Look, room: Size, renderer: Renderer) -> Look | None:
    """The same words no larger than they are and no larger than a room; None when they could not be read."""
    extent = side_of(renderer.sprite(look))
    share = min(1.0, room.width / extent.width, room.height / extent.height)
    # One pixel less, because the sides of letters are rounded.
    height = look.size if share == 1.0 else int(look.size * share) - 1
    return replace(look, size=height) if height >= _MIN_TEXT_PX else None


def spacing_of(world: World, canvas: Size) -> Spacing:
    """How close the recipe lets boxes come on a canvas."""
    recipe = world.recipe
    jitter = recipe.jitter if recipe.arrangement == "slots" else None
    return Spacing(recipe.gap * min(canvas), recipe.max_overlap, jitter)


def side_of(sprite: Sprite) -> Size:
    """Width and height of a sprite in pixels."""
    return Size(sprite.width, sprite.height)
