"""From what a sample is about to where everything stands: sizes, looks and places."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.edit_plans import EditPlan
from dreamomni.data.collage.layout import Spacing, place_at, place_free, place_related
from dreamomni.data.collage.palette import RGB
from dreamomni.data.collage.plans import TextToImagePlan
from dreamomni.data.collage.render import Renderer, Sprite
from dreamomni.data.collage.scene import BackgroundLook, BlendLook, Look, Placed, Scene, Thing
from dreamomni.data.collage.world import World
from dreamomni.tasks.geometry import Box, Size

_TEXT_HEIGHT = (0.1, 0.24)
_TEXT_MAX_WIDTH = 0.92
_MIN_TEXT_PX = 5


@dataclass(frozen=True, slots=True)
class Stage:
    """A plan that has found its places; source and target share everything that stays.

    Attributes:
        plan: What the sample is about.
        source: The picture before the edit; the target itself for text-to-image.
        target: The picture to make.
    """

    plan: TextToImagePlan | EditPlan
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
    blend: BlendLook = BlendLook(),
) -> Stage | None:
    """Give sizes and places to a text-to-image plan, or None when they were not found."""
    total = sum(group.count for group in plan.groups)
    groups: list[list[Look]] = []
    for group in plan.groups:
        if group.thing.kind == "text":
            groups.append([_text_look(group.thing, group.font, world, renderer, size, looks)])
        else:
            groups.append([draw_look(group.thing, total, world, size, looks) for _ in range(group.count)])
    flat = [look for members in groups for look in members]
    things = [group.thing for group in plan.groups for _ in range(group.count)]
    sprites = [renderer.sprite(look) for look in flat]
    sides = [side_of(sprite) for sprite in sprites]
    spacing = spacing_of(world, size)
    boxes: list[Box] | None
    if plan.predicate is None:
        boxes = place_free(sides, size, layout, spacing)
    else:
        num = plan.groups[0].count
        related = place_related(sides[:num], plan.predicate, sides[num:], size, layout, spacing.gap)
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


def stage_edit(
    plan: EditPlan,
    world: World,
    renderer: Renderer,
    size: Size,
    background: BackgroundLook,
    looks: Draws,
    layout: Draws,
    blend: BlendLook = BlendLook(),
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
        changed_looks[1] = replace(changed_looks[1], size=changed_looks[0].size)
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
        related = place_related([slot], plan.predicate, sides[:1], canvas, layout, spacing.gap)
        fixed = related and [*related[0], *related[1]]
        rest = sides[1:]
    elif plan.location is not None:
        box = place_at(slot, plan.location, canvas, layout)
        fixed = box and [box]
        rest = sides
    else:
        return place_free([slot, *sides], canvas, layout, spacing)
    if fixed is None:
        return None
    free = place_free(rest, canvas, layout, spacing, taken=fixed)
    return free if free is None else [*fixed, *free]


def draw_look(thing: Thing, total: int, world: World, canvas: Size, looks: Draws) -> Look:
    """Draw how one of `total` things of a picture looks: size, angle and mirroring as the recipe allows."""
    low, high = world.recipe.object_size(total)
    side = round(looks.uniform(low, high) * min(canvas))
    limit = world.recipe.max_angle
    angle, flip = looks.uniform(-limit, limit), looks.chance(0.5)
    rgb = rgb_of(thing, world)
    # Shapes have no face that a mirror would change.
    return Look(
        thing.kind, thing.name, rgb, side, round(angle, 1) if limit else 0.0, flip and thing.kind == "sticker"
    )


def _text_look(thing: Thing, font: str, world: World, renderer: Renderer, canvas: Size, looks: Draws) -> Look:
    height = max(_MIN_TEXT_PX, round(looks.uniform(*_TEXT_HEIGHT) * canvas.height))
    look = Look("text", thing.name, rgb_of(thing, world), height, font=font)
    width = renderer.sprite(look).width
    room = _TEXT_MAX_WIDTH * canvas.width
    if width > room:
        look = replace(look, size=max(_MIN_TEXT_PX - 1, int(height * room / width)))
    return look


def rgb_of(thing: Thing, world: World) -> RGB:
    """The main colour to paint a thing in; any for a thing without a named colour, which keeps its own."""
    return (0, 0, 0) if thing.colour is None else world.colours[thing.colour]


def spacing_of(world: World, canvas: Size) -> Spacing:
    """How close the recipe lets boxes come on a canvas."""
    return Spacing(world.recipe.gap * min(canvas), world.recipe.max_overlap)


def side_of(sprite: Sprite) -> Size:
    """Width and height of a sprite in pixels."""
    return Size(sprite.width, sprite.height)
