"""What is taken from which reference, decided before anything is placed (DreamOmni2, section 3.1).

Every reference shows something that could be taken, so that only the words say which one is meant.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dreamomni.data.collage.arrange import draw_companions, in_order
from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.families.family import Context, Slot
from dreamomni.data.collage.finishes import DARK, WHITE
from dreamomni.data.collage.palette import delta_e
from dreamomni.data.collage.plans import draw_names
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.collage.scene import BackgroundLook, Thing
from dreamomni.data.collage.staging import draw_backdrop
from dreamomni.data.collage.words.written import WRITTEN_WORDS
from dreamomni.data.collage.world import World
from dreamomni.tasks.geometry import Size

ATTRIBUTE_OF: dict[str, str] = {
    "reference_add": "thing",
    "reference_replace": "thing",
    "reference_colour": "colour",
    "reference_pattern": "pattern",
    "reference_background": "background",
    "reference_style": "style",
    "reference_font": "font",
    "subject_scene": "thing",
    "subject_colour": "colour",
}
"""What each kind takes from a reference."""
CONCRETE: frozenset[str] = frozenset(kind for kind, attribute in ATTRIBUTE_OF.items() if attribute == "thing")
"""Kinds that take things; the others take what has no body."""

_NUM_STAYING = {0: 0.3, 1: 0.45, 2: 0.25}
_EMPTY_GROUND = 0.5
_FINISH_CONTRAST = 25.0
_SHORTEST_WORD, _LONGEST_WORD = 3, 6


@dataclass(frozen=True, slots=True)
class Carrier:
    """What one reference shows.

    Attributes:
        size: Its canvas.
        background: Its background.
        things: What is on it; the first is what it has to give, or what has it.
        value: Colour, pattern, style or font of the first; empty for things and backgrounds.
    """

    size: Size
    background: BackgroundLook
    things: tuple[Thing, ...]
    value: str = ""


@dataclass(frozen=True, slots=True)
class ReferencePlan:
    """What an edit changes in image 1, and where it takes that from.

    Attributes:
        attribute: What is taken: "thing", "colour", "pattern", "background", "style" or "font".
        subjects: Things of image 1 that change or go; none for an addition or a background.
        staying: Things of image 1 that stay.
        carriers: What the references show, image 2 first.
        used: Which of them are used, counted from 0: one for each subject, or for each addition.
        before: Pattern, style or font of the subject in image 1.
    """

    attribute: str
    subjects: tuple[Thing, ...]
    staying: tuple[Thing, ...]
    carriers: tuple[Carrier, ...]
    used: tuple[int, ...]
    before: str = ""


def reference_sizes(recipe: CollageRecipe, path: tuple[int, str, int], canvas: Size) -> tuple[Size, ...]:
    """Canvas of every reference, in every attempt; an edit has image 1 before them.

    Args:
        recipe: Its `multi_reference` decides.
        path: Root of the streams of the sample.
        canvas: Size of the target.
    """
    draws = Draws(*path, "references", 0)
    num = draws.weighted(in_order(recipe.multi_reference.num_references))
    sizes = recipe.multi_reference.reference_sizes or (canvas,)
    return tuple(draws.pick(sizes) for _ in range(num))


def subject_reference_sizes(
    recipe: CollageRecipe, path: tuple[int, str, int], canvas: Size
) -> tuple[Size, ...]:
    """The same for pictures of references alone, which have one more."""
    sizes = recipe.multi_reference.reference_sizes or (canvas,)
    return (*reference_sizes(recipe, path, canvas), Draws(*path, "one more reference", 0).pick(sizes))


def plan_reference_edit(context: Context, slot: Slot) -> ReferencePlan | None:
    """Decide what an edit with references is about, or None when the draw led nowhere."""
    sizes = reference_sizes(context.recipe, slot.path, slot.size)
    draws = slot.draws("things")
    grounds = [draw_backdrop(context.recipe, context.world, draws) for _ in sizes]
    attribute = ATTRIBUTE_OF[slot.kind]
    used = draws.integer(0, len(sizes) - 1)
    if attribute == "font":
        return _plan_font(context, slot, sizes, grounds, used, draws)
    if attribute == "background":
        return _plan_background(context, slot, sizes, grounds, used, draws)
    if attribute == "thing":
        return _plan_things(context, slot, sizes, grounds, used, draws)
    return _plan_attribute(context, slot, sizes, grounds, used, draws)


def _num_staying(context: Context, fewest: int, taken: int, draws: Draws) -> int:
    room = context.recipe.max_edit_objects - taken
    weights = {num: weight for num, weight in _NUM_STAYING.items() if fewest <= num <= max(room, fewest)}
    return draws.weighted(weights or {fewest: 1.0})


def _plan_things(
    context: Context,
    slot: Slot,
    sizes: Sequence[Size],
    grounds: Sequence[BackgroundLook],
    first: int,
    draws: Draws,
) -> ReferencePlan | None:
    world, options = context.world, context.recipe.multi_reference
    used = [first]
    if draws.chance(options.two) and len(sizes) > 1:
        used.append(draws.pick([number for number in range(len(sizes)) if number != first]))
    gone = len(used) if slot.kind == "reference_replace" else 0
    fewest = 1 if context.split == "held_out" and not gone else 0
    num_staying = _num_staying(context, fewest, len(used), draws)
    own = gone + num_staying
    # In the held-out split the first two names are a pair: one of image 1, and one that comes.
    names = draw_names(world, context.split, max(own, 1) + len(used), draws)
    if names is None:
        return None
    here = [names[0], *names[2 : own + 1]][:own] if own else []
    comers = [names[1], *names[own + 1 :]] if own else names[: len(used)]
    ground = slot.background.colour
    things = [world.draw_thing(name, ground, draws) for name in here]
    carriers: dict[int, Thing | None] = {}
    for number, name in zip(used, comers, strict=False):
        carriers[number] = world.draw_thing(name, (grounds[number].colour, ground), draws)
    chosen = carriers[first]
    spare = draw_companions(context, names, len(sizes), draws)
    for number in range(len(sizes)):
        if number in carriers or chosen is None:
            continue
        rival = draws.chance(options.rivals) and chosen.colour is not None
        places = (grounds[number].colour, ground)
        if rival and chosen.colour is not None:
            carriers[number] = world.draw_thing(chosen.name, places, draws, unlike=(chosen.colour,))
        elif spare:
            carriers[number] = world.draw_thing(spare.pop(), places, draws)
        else:
            return None
    shown = [carriers.get(number) for number in range(len(sizes))]
    found = [thing for thing in (*things, *shown) if thing is not None]
    if len(found) < len(things) + len(shown):
        return None
    image, refs = found[: len(things)], found[len(things) :]
    taken = [*names, *(thing.name for thing in refs)]
    filled = _fill(context, refs, sizes, grounds, taken, draws)
    if filled is None:
        return None
    return ReferencePlan("thing", tuple(image[:gone]), tuple(image[gone:]), filled, tuple(used))


def _plan_attribute(
    context: Context,
    slot: Slot,
    sizes: Sequence[Size],
    grounds: Sequence[BackgroundLook],
    used: int,
    draws: Draws,
) -> ReferencePlan | None:
    """Colour, pattern or style of a thing for a thing of image 1."""
    world, options, attribute = context.world, context.recipe.multi_reference, ATTRIBUTE_OF[slot.kind]
    num_staying = _num_staying(context, 0, 1, draws)
    names = draw_names(world, context.split, 2 + num_staying, draws)
    if names is None:
        return None
    ground = slot.background.colour
    image = [world.draw_thing(name, ground, draws) for name in (names[0], *names[2:])]
    subject = image[0]
    if subject is None or None in image or subject.colour is None or not world.is_recolourable(subject):
        return None
    if attribute != "colour" and not _takes_finish(world, subject):
        return None
    values = _values(context, attribute, subject, ground)
    before = ""
    if attribute == "colour":
        values = [value for value in values if value != subject.colour]
    elif draws.chance(1 / (len(values) + 1)):
        before = draws.pick(values)
        values = [value for value in values if value != before]
    if len(values) < 2 and len(sizes) > 1:
        return None
    order = draws.shuffled(values)
    spare = draw_companions(context, names, len(sizes), draws)
    shown = []
    for number, background in enumerate(grounds):
        value = order[0] if number == used else order[1 + number % (len(order) - 1)]
        same = number == used or draws.chance(options.rivals) or not spare
        name = names[1] if same else spare.pop()
        if attribute == "colour":
            thing = world.thing_in(name, value, background.colour, draws)
        else:
            thing = world.draw_thing(name, background.colour, draws)
            if thing is not None and not _takes_finish(world, thing):
                return None
        if thing is None:
            return None
        shown.append((thing, value))
    taken = [*names, *(thing.name for thing, _ in shown)]
    filled = _fill(context, [thing for thing, _ in shown], sizes, grounds, taken, draws)
    if filled is None:
        return None
    carriers = tuple(replace(one, value=value) for one, (_, value) in zip(filled, shown, strict=True))
    staying = tuple(thing for thing in image[1:] if thing is not None)
    return ReferencePlan(attribute, (subject,), staying, carriers, (used,), before)


def _takes_finish(world: World, thing: Thing) -> bool:
    """Whether a thing shows its finish: its colour must be told from white and from dark."""
    rgb = world.rgb_of(thing)
    return world.is_recolourable(thing) and float(delta_e(rgb, [WHITE, DARK]).min()) >= _FINISH_CONTRAST


def _values(context: Context, attribute: str, subject: Thing, ground: str) -> list[str]:
    options = context.recipe.multi_reference
    if attribute == "colour":
        return context.world.colours_of(subject.name, ground)
    return list(options.patterns if attribute == "pattern" else options.styles)


def _plan_background(
    context: Context,
    slot: Slot,
    sizes: Sequence[Size],
    grounds: Sequence[BackgroundLook],
    used: int,
    draws: Draws,
) -> ReferencePlan | None:
    world = context.world
    looks = (slot.background, *grounds)
    # Backgrounds differ in colour or style, so that it shows which one was taken.
    if len({(look.style, look.colour, look.asset) for look in looks}) < len(looks):
        return None
    num = _num_staying(context, 1 + (context.split == "held_out"), 0, draws)
    names = draw_names(world, context.split, num, draws)
    if names is None:
        return None
    everywhere = tuple(look.colour for look in looks)
    image = [world.draw_thing(name, everywhere, draws) for name in names[:num]]
    empty = [draws.chance(_EMPTY_GROUND) for _ in grounds]
    spare = draw_companions(context, names, len(sizes), draws)
    carriers = []
    for size, look, nothing in zip(sizes, grounds, empty, strict=True):
        thing = None if nothing or not spare else world.draw_thing(spare.pop(), look.colour, draws)
        carriers.append(Carrier(size, look, () if thing is None else (thing,)))
    staying = tuple(thing for thing in image if thing is not None)
    if len(staying) < len(image):
        return None
    return ReferencePlan("background", (), staying, tuple(carriers), (used,))


def _plan_font(
    context: Context,
    slot: Slot,
    sizes: Sequence[Size],
    grounds: Sequence[BackgroundLook],
    used: int,
    draws: Draws,
) -> ReferencePlan | None:
    world, options = context.world, context.recipe.multi_reference
    bank = [word for word in WRITTEN_WORDS if _SHORTEST_WORD <= len(word) <= _LONGEST_WORD]
    words = draws.shuffled(bank)[: 1 + len(sizes)]
    fonts = draws.shuffled(options.fonts)
    case = draws.pick((str.lower, str.upper, str.capitalize))
    inks = [draws.pick(world.visible_on(look.colour)) for look in (slot.background, *grounds)]
    subject = Thing(case(words[0]), inks[0], "text")
    carriers = []
    for number, (size, look) in enumerate(zip(sizes, grounds, strict=True)):
        thing = Thing(case(words[1 + number]), inks[1 + number], "text")
        font = fonts[1] if number == used else fonts[2 + number % (len(fonts) - 2)]
        carriers.append(Carrier(size, look, (thing,), font))
    staying: tuple[Thing, ...] = ()
    if draws.chance(options.font_with):
        names = draw_names(world, "train", 1, draws)
        other = names and world.draw_thing(names[0], slot.background.colour, draws)
        staying = (other,) if other else ()
    return ReferencePlan("font", (subject,), staying, tuple(carriers), (used,), fonts[0])


def _fill(
    context: Context,
    firsts: Sequence[Thing],
    sizes: Sequence[Size],
    grounds: Sequence[BackgroundLook],
    names: Sequence[str],
    draws: Draws,
) -> tuple[Carrier, ...] | None:
    """Give every reference the things that are not meant."""
    options = context.recipe.multi_reference
    nums = [draws.weighted(in_order(options.reference_objects)) - 1 for _ in sizes]
    spare = draw_companions(context, names, sum(nums), draws)
    carriers = []
    for thing, size, look, num in zip(firsts, sizes, grounds, nums, strict=True):
        others = [context.world.draw_thing(spare.pop(), look.colour, draws) for _ in range(num) if spare]
        things = (thing, *(other for other in others if other is not None))
        carriers.append(Carrier(size, look, things))
    return tuple(carriers)
