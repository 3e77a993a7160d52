"""Where the things of an edit with references stand: in image 1, in the target, and in the references."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dreamomni.data.collage.arrange import all_seen, arrange
from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.families.family import Context, Rejected, Slot
from dreamomni.data.collage.labels import read_labels
from dreamomni.data.collage.layout import place_free
from dreamomni.data.collage.multi_reference_plans import Carrier, ReferencePlan
from dreamomni.data.collage.render import Picture
from dreamomni.data.collage.scene import BackgroundLook, Look, Placed, Scene, Thing
from dreamomni.data.collage.staging import draw_look, side_of, spacing_of
from dreamomni.tasks.geometry import Box, Size
from dreamomni.tasks.sample import ObjectLabel

_FINISHES = frozenset({"pattern", "style"})
_ROOM_FOR_TEXT = 0.9
_MIN_TEXT_PX = 5


@dataclass(frozen=True, slots=True)
class Shown:
    """A reference as it was drawn; labels are those of all its things."""

    carrier: Carrier
    scene: Scene
    picture: Picture
    labels: tuple[ObjectLabel, ...]

    @property
    def first(self) -> ObjectLabel | None:
        """What it has to give, or what has it; None where it shows nothing but its background."""
        numbers = [item.instance_id for item in self.scene.placed]
        return next((one for one in self.labels if one.instance_id == min(numbers)), None)


@dataclass(frozen=True, slots=True)
class ReferenceStage:
    """An edit that has found its places.

    Attributes:
        source: Image 1.
        comers: For each use and each reference, its thing as it would stand in the target; only for "thing".
        num_gone: How many of the first things of image 1 go.
        subject: The thing of image 1 that changes; None for things and backgrounds.
    """

    source: Scene
    comers: tuple[tuple[Placed, ...], ...] = ()
    num_gone: int = 0
    subject: Placed | None = None


def stage_references(context: Context, slot: Slot, plan: ReferencePlan) -> ReferenceStage | None:
    """Find places in image 1 and for what comes, or None when there is no room.

    Every place has room for what any reference would put there: with two references exchanged image 1 is
    the same.
    """
    if plan.attribute == "font":
        return _stage_text(context, slot, plan)
    world, renderer = context.world, context.renderer
    looks, layout = slot.draws("looks"), slot.draws("layout")
    coming = len(plan.used) if plan.attribute == "thing" else 0
    added = coming - len(plan.subjects) if coming else 0
    total = len(plan.subjects) + len(plan.staying) + added
    drawn = [draw_look(thing, total, world, slot.size, looks) for thing in plan.subjects]
    staying = [draw_look(thing, total, world, slot.size, looks) for thing in plan.staying]
    if plan.attribute in _FINISHES and plan.before:
        drawn[0] = replace(drawn[0], finish=plan.before)
    comers: list[list[Look]] = []
    for use in range(coming):
        mine = [
            draw_look(carrier.things[0], total, world, slot.size, looks) if carrier.things else None
            for carrier in plan.carriers
        ]
        # A newcomer is as large as what it replaces, and as any other that might come instead.
        side = drawn[use].size if plan.subjects else max(look.size for look in mine if look is not None)
        comers.append([look.sized(side) for look in mine if look is not None])
    sides: list[Size] = []
    for place in range(max(len(drawn), coming)):
        here = [*drawn[place : place + 1], *(comers[place] if coming else ())]
        each = [side_of(renderer.sprite(look)) for look in here]
        sides.append(Size(max(side.width for side in each), max(side.height for side in each)))
    sides += [side_of(renderer.sprite(look)) for look in staying]
    boxes = place_free(sides, slot.size, layout, spacing_of(world, slot.size))
    if boxes is None:
        return None
    slots, rest = boxes[: len(boxes) - len(staying)], boxes[len(boxes) - len(staying) :]
    numbers = iter(range(1, 255))
    gone = [
        _centred(context, next(numbers), thing, look, box)
        for thing, look, box in zip(plan.subjects, drawn, slots, strict=False)
    ]
    stay = [
        Placed(next(numbers), thing, look, box.x0, box.y0)
        for thing, look, box in zip(plan.staying, staying, rest, strict=True)
    ]
    source = slot.scene([*gone, *stay])
    new = []
    for place in range(coming):
        pairs = zip(plan.carriers, comers[place], strict=True)
        # The number is given when it is known which reference the thing comes from.
        new.append(tuple(_centred(context, 0, one.things[0], look, slots[place]) for one, look in pairs))
    changing = gone[0] if plan.subjects and not coming else None
    return ReferenceStage(source, tuple(new), len(gone) if coming else 0, changing)


def show_references(
    context: Context, slot: Slot, plan: ReferencePlan, stage: ReferenceStage
) -> tuple[Shown, ...] | Rejected:
    """Draw every reference; a thing that may go into the target looks there as it would look then."""
    shown = []
    number = 1 + len(stage.source.placed)
    for index, carrier in enumerate(plan.carriers):
        draws = slot.draws(f"reference {index + 1}")
        wanted = None
        if stage.comers:
            use = plan.used.index(index) if index in plan.used else 0
            wanted = stage.comers[use][index].look
        found = show_carrier(context, slot, carrier, plan.attribute, number, draws, like=wanted)
        if isinstance(found, Rejected):
            return found
        shown.append(found)
        number += len(carrier.things)
    return tuple(shown)


def show_carrier(
    context: Context,
    slot: Slot,
    carrier: Carrier,
    attribute: str,
    number: int,
    draws: Draws,
    *,
    like: Look | None = None,
) -> Shown | Rejected:
    """Draw one reference.

    Args:
        context: World and recipe.
        slot: Says how things are blended.
        carrier: What it shows.
        attribute: What is taken from it, or would be.
        number: Instance number of its first thing; the others follow.
        draws: Its stream.
        like: How its first thing looks in the target; it is turned and mirrored alike here.
    """
    world, size = context.world, carrier.size
    looks = []
    for place, thing in enumerate(carrier.things):
        if thing.kind == "text":
            look = _text_look(context, thing, (carrier.value,), size, draws)
            if look is None:
                return Rejected("no room")
        else:
            look = draw_look(thing, len(carrier.things), world, size, draws)
        if place == 0 and attribute in _FINISHES:
            look = replace(look, finish=carrier.value)
        if place == 0 and like is not None:
            look = replace(look, flip=like.flip, angle=like.angle)
        looks.append(look)
    numbers = range(number, number + len(looks))
    placed: tuple[Placed, ...] | None = ()
    if looks:
        placed = arrange(context, carrier.things, looks, size, draws, numbers)
    if placed is None:
        return Rejected("no room")
    scene = Scene(size, carrier.background, placed, slot.blend)
    picture = context.renderer.picture(scene)
    labels = read_labels(picture, placed)
    if not all_seen(labels, placed, context.recipe.multi_reference.min_visibility):
        return Rejected("hidden")
    return Shown(carrier, scene, picture, labels)


def changed_scene(
    context: Context,
    stage: ReferenceStage,
    attribute: str,
    value: str,
    background: BackgroundLook | None,
    comers: Sequence[Placed],
) -> Scene:
    """The target of an edit.

    Args:
        context: World and renderer.
        stage: Where everything stands.
        attribute: What was taken.
        value: Colour, pattern, style or font that the subject gets.
        background: The background that image 1 gets.
        comers: What comes, in the order of the uses.
    """
    source = stage.source
    if background is not None:
        return replace(source, background=background)
    if attribute == "thing":
        gone = stage.num_gone
        return replace(source, placed=(*comers[:gone], *source.placed[gone:], *comers[gone:]))
    old = stage.subject
    assert old is not None
    if attribute == "colour":
        thing = replace(old.thing, colour=value)
        new = replace(old, thing=thing, look=replace(old.look, rgb=context.world.rgb_of(thing)))
    elif attribute == "font":
        look = replace(old.look, font=value)
        before, after = (side_of(context.renderer.sprite(one)) for one in (old.look, look))
        x, y = old.x + (before.width - after.width) // 2, old.y + (before.height - after.height) // 2
        new = replace(old, look=look, x=x, y=y)
    else:
        new = replace(old, look=replace(old.look, finish=value))
    return replace(source, placed=tuple(new if item is old else item for item in source.placed))


def _stage_text(context: Context, slot: Slot, plan: ReferencePlan) -> ReferenceStage | None:
    """Written words with room for every font that a recipe may ask for, and what stands beside them."""
    looks, layout = slot.draws("looks"), slot.draws("layout")
    (subject,) = plan.subjects
    fonts = context.recipe.multi_reference.fonts
    look = _text_look(context, subject, (plan.before, *fonts), slot.size, looks)
    if look is None:
        return None
    total = 1 + len(plan.staying)
    others = [draw_look(thing, total, context.world, slot.size, looks) for thing in plan.staying]
    each = [side_of(context.renderer.sprite(replace(look, font=font))) for font in fonts]
    place = Size(max(side.width for side in each), max(side.height for side in each))
    sides = [place, *(side_of(context.renderer.sprite(other)) for other in others)]
    boxes = place_free(sides, slot.size, layout, spacing_of(context.world, slot.size))
    if boxes is None:
        return None
    words = _centred(context, 1, subject, look, boxes[0])
    stay = [
        Placed(number, thing, other, box.x0, box.y0)
        for number, (thing, other, box) in enumerate(zip(plan.staying, others, boxes[1:], strict=True), 2)
    ]
    return ReferenceStage(slot.scene([words, *stay]), subject=words)


def _text_look(
    context: Context, thing: Thing, fonts: Sequence[str], canvas: Size, draws: Draws
) -> Look | None:
    """Words in the first of several fonts, of a height at which they fit the canvas in all of them."""
    low, high = context.recipe.text_to_image.text_height
    height = max(_MIN_TEXT_PX, round(draws.uniform(low, high) * min(canvas)))
    look = Look("text", thing.name, context.world.rgb_of(thing), height, font=fonts[0])
    widest = max(side_of(context.renderer.sprite(replace(look, font=font))).width for font in fonts)
    height = min(height, int(height * _ROOM_FOR_TEXT * canvas.width / widest))
    return replace(look, size=height) if height >= _MIN_TEXT_PX else None


def _centred(context: Context, number: int, thing: Thing, look: Look, box: Box) -> Placed:
    side = side_of(context.renderer.sprite(look))
    x, y = box.x0 + (box.width - side.width) // 2, box.y0 + (box.height - side.height) // 2
    return Placed(number, thing, look, x, y)
