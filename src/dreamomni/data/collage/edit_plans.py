"""What an edit sample changes, decided before anything is placed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.held_out import count_combination
from dreamomni.data.collage.labels import PREDICATES, Predicate
from dreamomni.data.collage.layout import LOCATIONS
from dreamomni.data.collage.plans import draw_names
from dreamomni.data.collage.scene import Thing
from dreamomni.data.collage.world import Split, World

_NUM_OTHERS: Mapping[str, Mapping[int, float]] = {
    "add": {0: 0.1, 1: 0.5, 2: 0.3, 3: 0.1},
    "remove": {0: 0.12, 1: 0.5, 2: 0.38},
    "replace": {0: 0.3, 1: 0.42, 2: 0.28},
}
_SAY_ADDED_COLOUR = 0.8
_SAY_REMOVED_COLOUR = 0.35


@dataclass(frozen=True, slots=True)
class EditPlan:
    """An edit of one thing.

    Attributes:
        operation: "add", "remove" or "replace".
        others: Things that stay.
        removed: The thing that goes, or None.
        added: The thing that comes, or None.
        say_removed_colour: Whether the words name the colour of the removed thing where its name is
            enough.
        say_added_colour: Whether the words name the colour of the added thing.
        predicate: Where the added thing lies from the first of `others`, or None.
        say_anchor_colour: Whether the words name the colour of that other thing where its name is enough.
        location: Part of the canvas where the added thing goes (one of `LOCATIONS`), or None.
    """

    operation: str
    others: tuple[Thing, ...]
    removed: Thing | None
    added: Thing | None
    say_removed_colour: bool
    say_added_colour: bool
    predicate: Predicate | None
    say_anchor_colour: bool
    location: str | None


def plan_edit(operation: str, world: World, split: Split, background: str, draws: Draws) -> EditPlan | None:
    """Decide what an edit sample changes.

    Args:
        operation: "add", "remove" or "replace".
        world: Things, colours and held-out combinations.
        split: "train" shows no held-out combination; in "held_out" the changed thing and another one are a
            held-out pair.
        background: Name of the background colour.
        draws: Stream of the things.

    Returns:
        The plan, or None when the draw led nowhere (the caller draws again from a new stream).
    """
    room = world.recipe.max_edit_objects - (operation != "add")
    fewest = 1 if split == "held_out" and operation != "replace" else 0
    weights = {
        count: w for count, w in _NUM_OTHERS[operation].items() if fewest <= count <= max(room, fewest)
    }
    num_others = draws.weighted(weights)
    num_changed = 2 if operation == "replace" else 1
    names = draw_names(world, split, num_changed + num_others, draws)
    if names is None:
        return None
    things = []
    for name in names:
        thing = world.draw_thing(name, background, draws)
        if thing is None:
            return None
        things.append(thing)
    changed, others = things[:num_changed], things[num_changed:]
    removed = changed[0] if operation != "add" else None
    added = changed[-1] if operation != "remove" else None
    twin_of = removed or (others[0] if others else None)
    # A twin takes the place of the last other, which must not be the one that the split or the words need.
    spare = len(others) - (operation == "add" or (operation == "remove" and split == "held_out"))
    if draws.chance(world.recipe.edit.twins) and twin_of is not None and spare > 0:
        twin = draw_twin(twin_of, world, background, draws)
        others = others if twin is None else [*others[:-1], twin]
    say_removed = draws.chance(_SAY_REMOVED_COLOUR)
    say_added = draws.chance(_SAY_ADDED_COLOUR)
    say_anchor = draws.chance(_SAY_REMOVED_COLOUR)
    predicate, location = _draw_where(operation, others, draws)
    if added is not None and not say_added:
        added = world.usual(added, background)
    return EditPlan(
        operation=operation,
        others=tuple(others),
        removed=removed,
        added=added,
        say_removed_colour=say_removed,
        say_added_colour=say_added,
        predicate=predicate,
        say_anchor_colour=say_anchor,
        location=location,
    )


def draw_twin(thing: Thing, world: World, background: str, draws: Draws) -> Thing | None:
    """A second thing of the same name, in another colour or in the same, where training allows two."""
    if thing.colour is None or world.is_out(count_combination(2, thing.name)):
        return None
    equal = world.recipe.edit.equal_twins
    if equal > 0 and draws.chance(equal):
        return replace(thing)
    return world.draw_thing(thing.name, background, draws, unlike=(thing.colour,))


def _draw_where(operation: str, others: list[Thing], draws: Draws) -> tuple[Predicate | None, str | None]:
    predicate, location = draws.pick(PREDICATES), draws.pick(tuple(LOCATIONS))
    style = draws.weighted({"relation": 0.6, "location": 0.2, "free": 0.2})
    if operation != "add":
        return None, None
    if not others:
        return None, location if style != "free" else None
    return (predicate if style == "relation" else None), (location if style == "location" else None)
