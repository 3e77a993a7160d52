"""What several edits in one instruction change, decided before anything is placed (figure 2, third edit)."""

from collections.abc import Mapping
from dataclasses import dataclass

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.edit_plans import draw_twin
from dreamomni.data.collage.plans import draw_names
from dreamomni.data.collage.scene import Thing
from dreamomni.data.collage.world import Split, World

_NUM_STAYING: Mapping[int, float] = {0: 0.2, 1: 0.4, 2: 0.3, 3: 0.1}
_MOST_PLACES = 6
_SAY_ADDED_COLOUR = 0.85
_SAY_REMOVED_COLOUR = 0.35


@dataclass(frozen=True, slots=True)
class EditStep:
    """One of several edits.

    Attributes:
        operation: "add", "remove", "replace" or "recolour".
        before: What is there in the source, or None for an addition.
        after: What is there in the target, or None for a removal.
        say_colour: Whether the words name the colour of what was there although its name is enough.
        say_new_colour: Whether the words name the colour of what comes.
    """

    operation: str
    before: Thing | None
    after: Thing | None
    say_colour: bool
    say_new_colour: bool


@dataclass(frozen=True, slots=True)
class MultiEditPlan:
    """Several edits of one picture.

    Attributes:
        steps: The edits, in the order of the words; they change different things.
        staying: Things that no edit changes.
    """

    steps: tuple[EditStep, ...]
    staying: tuple[Thing, ...]


def plan_multi_edit(world: World, split: Split, background: str, draws: Draws) -> MultiEditPlan | None:
    """Decide what several edits change.

    Args:
        world: Things, colours and held-out combinations.
        split: "train" shows no held-out combination in source or target; in "held_out" two things of the
            source are a held-out pair.
        background: Name of the background colour.
        draws: Stream of the things.

    Returns:
        The plan, or None when the draw led nowhere (the caller draws again from a new stream).
    """
    options = world.recipe.edit
    operations = [draws.weighted(options.operations) for _ in range(draws.weighted(options.num_edits))]
    fewest = 2 if split == "held_out" else 1
    changed = sum(operation != "add" for operation in operations)
    if changed > world.recipe.max_edit_objects:
        return None
    added = len(operations) - changed
    most = min(world.recipe.max_edit_objects, _MOST_PLACES - added)
    weights = {n: w for n, w in _NUM_STAYING.items() if fewest <= n + changed <= most}
    if not weights:
        return None
    num_staying = draws.weighted(weights)
    comers = sum(operation in ("add", "replace") for operation in operations)
    names = draw_names(world, split, changed + num_staying + comers, draws, unmistakable=True)
    if names is None:
        return None
    things = [world.draw_thing(name, background, draws) for name in names]
    if any(thing is None for thing in things):
        return None
    found = [thing for thing in things if thing is not None]
    source, new = found[: changed + num_staying], found[changed + num_staying :]
    changing, staying = source[:changed], source[changed:]
    if changing and len(staying) > (split == "held_out") and draws.chance(options.twins):
        twin = draw_twin(changing[0], world, background, draws)
        if twin is not None:
            staying[-1] = twin
    steps = []
    for operation in operations:
        before = None if operation == "add" else changing.pop(0)
        after = new.pop(0) if operation in ("add", "replace") else None
        if operation == "recolour" and before is not None:
            after = _recoloured(before, source + staying, world, background, draws)
            if after is None:
                return None
        say_old, say_new = draws.chance(_SAY_REMOVED_COLOUR), draws.chance(_SAY_ADDED_COLOUR)
        if after is not None and operation != "recolour" and not say_new:
            after = world.usual(after, background)
        steps.append(EditStep(operation, before, after, say_old, say_new or operation == "recolour"))
    return MultiEditPlan(tuple(steps), tuple(staying))


def _recoloured(
    thing: Thing, source: list[Thing], world: World, background: str, draws: Draws
) -> Thing | None:
    """The same thing in a colour that no other of its name has, or None where it can have no other."""
    if thing.colour is None:
        return None
    worn = [other.colour for other in source if other.name == thing.name and other.colour is not None]
    other = world.draw_thing(thing.name, background, draws, unlike=worn, named=True)
    # Another asset of the name would be another thing.
    return other if other is not None and other.asset == thing.asset else None
