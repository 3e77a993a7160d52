"""What a text-to-image sample shows and says, decided before anything is placed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.labels import PREDICATES
from dreamomni.data.collage.layout import LOCATIONS
from dreamomni.data.collage.naming import names_clash
from dreamomni.data.collage.scene import Thing, ThingKind
from dreamomni.data.collage.scene_plans import Group, TextToImagePlan
from dreamomni.data.collage.text_plans import plan_text
from dreamomni.data.collage.world import Split, World

# (number of subjects, number of others) of a relation: one of each is what people ask for most.
_POSITION_COUNTS: Mapping[tuple[int, int], float] = {
    (1, 1): 0.62,
    (2, 1): 0.14,
    (1, 2): 0.08,
    (2, 2): 0.05,
    (3, 1): 0.06,
    (1, 3): 0.03,
    (3, 2): 0.02,
}
_COUNTS: Mapping[int, float] = {1: 0.12, 2: 0.3, 3: 0.3, 4: 0.28, 5: 0.2, 6: 0.2}
_GROUP_COUNTS: Mapping[int, float] = {1: 0.62, 2: 0.24, 3: 0.14}
_SHAPE_PLANS: Mapping[str, float] = {
    "colors": 0.14,
    "counting": 0.2,
    "position": 0.2,
    "color_attribution": 0.14,
    "sized": 0.12,
    "placed": 0.12,
    "scene": 0.08,
}


def plan_text_to_image(
    kind: str, world: World, split: Split, background: str, draws: Draws
) -> TextToImagePlan | None:
    """Decide what a text-to-image sample shows.

    Args:
        kind: One of `TEXT_TO_IMAGE_KINDS`.
        world: Things, colours and held-out combinations.
        split: "train" shows no held-out combination; "held_out" shows exactly the one that its kind is about.
        background: Name of the background colour.
        draws: Stream of the things.

    Returns:
        The plan, or None when the draw led nowhere (the caller draws again from a new stream).
    """
    if kind == "text":
        return plan_text(world, background, draws)
    if kind == "shapes":
        form = draws.weighted(_SHAPE_PLANS)
        return _PLANNERS[form](_Choice(world, split, background, draws, "shape"))
    return _PLANNERS[kind](_Choice(world, split, background, draws, "sticker"))


def draw_names(
    world: World,
    split: Split,
    count: int,
    draws: Draws,
    kind: ThingKind = "sticker",
    *,
    unmistakable: bool = False,
) -> list[str] | None:
    """Draw different names that may all be in one sample.

    In the held-out split there are at least two, and the first two are a held-out pair.

    Args:
        world: Things and held-out combinations.
        split: Which combinations show.
        count: How many names.
        draws: Stream of the things.
        kind: Where their pixels come from.
        unmistakable: Whether none that comes after those may be taken for another.

    Returns:
        The names, or None when the draw led nowhere.
    """
    company, pool = world.company, world.pool(kind)
    if split == "held_out":
        pairs = company.pairs_out(kind)
        if not pairs:
            return None
        names = draws.shuffled(draws.pick(pairs))
    else:
        names = [draws.pick(pool)]
    partners = company.unmistakable_partners if unmistakable else company.partners_of
    while len(names) < count:
        options = partners(names, pool)
        if not options:
            return None
        names.append(draws.pick(options))
    return names


@dataclass(frozen=True, slots=True)
class _Choice:
    """The decisions that planners share."""

    world: World
    split: Split
    background: str
    draws: Draws
    kind: ThingKind

    @property
    def out(self) -> bool:
        return self.split == "held_out"

    def name(self, count: int = 1) -> str | None:
        options = self.world.company.names_allowing(count, self.kind)
        return self.draws.pick(options) if options else None

    def pair(self, counts: tuple[int, int] = (1, 1)) -> tuple[str, str] | None:
        """Two names for groups of these counts: a held-out pair in the held-out split, else none."""
        company = self.world.company
        if self.out:
            pairs = company.ordered_pairs_out(self.kind, counts)
            return self.draws.pick(pairs) if pairs else None
        firsts, seconds = (company.names_allowing(count, self.kind) for count in counts)
        if not firsts:
            return None
        first = self.draws.pick(firsts)
        partners = company.partners_of([first], seconds)
        return (first, self.draws.pick(partners)) if partners else None

    def thing(self, name: str | None, unlike: tuple[str, ...] = (), *, named: bool = False) -> Thing | None:
        if name is None:
            return None
        return self.world.draw_thing(
            name, self.background, self.draws, kind=self.kind, unlike=unlike, named=named
        )

    def group(self, thing: Thing, count: int = 1, *, say_colour: bool) -> Group:
        """Equal things; where their colour is not said, it may be the usual one."""
        usual = thing if say_colour else self.world.usual(thing, self.background)
        return Group(usual, count, say_colour)


def _plan_single(choice: _Choice) -> TextToImagePlan | None:
    thing = choice.thing(choice.name())
    return None if thing is None else TextToImagePlan("single", (choice.group(thing, say_colour=False),))


def _plan_colors(choice: _Choice) -> TextToImagePlan | None:
    if choice.out:
        options = choice.world.colour_pairs_out(choice.kind, choice.background)
        if not options:
            return None
        name, colour = choice.draws.pick(options)
        thing = choice.world.thing_in(
            name, colour, choice.background, choice.draws, kind=choice.kind, out=True
        )
    else:
        thing = choice.thing(choice.name(), named=True)
    return None if thing is None else TextToImagePlan("colors", (Group(thing),))


def _plan_two(choice: _Choice) -> TextToImagePlan | None:
    pair = choice.pair()
    things = [choice.thing(name) for name in pair or ()]
    groups = tuple(choice.group(thing, say_colour=False) for thing in things if thing)
    return TextToImagePlan("two", groups) if len(groups) == 2 else None


def _plan_color_attribution(choice: _Choice) -> TextToImagePlan | None:
    names = choice.pair()
    if names is None:
        return None
    first = choice.thing(names[0], named=True)
    second = choice.thing(names[1], unlike=(first.colour or "",), named=True) if first else None
    if first is None or second is None:
        return None
    return TextToImagePlan("color_attribution", (Group(first), Group(second)))


def _plan_counting(choice: _Choice) -> TextToImagePlan | None:
    if choice.out:
        options = choice.world.company.counts_out(choice.kind)
        if not options:
            return None
        count, name = choice.draws.pick(options)
        thing = choice.thing(name)
    else:
        weights = {count: w for count, w in _COUNTS.items() if count <= choice.world.recipe.max_count}
        count = choice.draws.weighted(weights)
        thing = choice.thing(choice.name(count))
    say_colour = choice.draws.chance(0.45)
    if thing is None:
        return None
    return TextToImagePlan("counting", (choice.group(thing, count, say_colour=say_colour),))


def _plan_position(choice: _Choice) -> TextToImagePlan | None:
    counts = choice.draws.weighted(_POSITION_COUNTS)
    predicate = choice.draws.pick(PREDICATES)
    # Both colours said, neither, or just one.
    say = choice.draws.weighted(
        {(True, True): 0.62, (False, False): 0.26, (True, False): 0.06, (False, True): 0.06}
    )
    things = [choice.thing(name) for name in choice.pair(counts) or ()]
    groups = tuple(
        choice.group(thing, count, say_colour=said)
        for thing, count, said in zip(things, counts, say, strict=False)
        if thing
    )
    return TextToImagePlan("position", groups, predicate) if len(groups) == 2 else None


def _plan_scene(choice: _Choice) -> TextToImagePlan | None:
    wanted = choice.draws.integer(2, 4)
    names = list(choice.pair() or ())
    groups: list[Group] = []
    while names and len(names) < wanted:
        more = choice.world.company.partners_of(names, choice.world.pool(choice.kind))
        if not more:
            return None
        names.append(choice.draws.pick(more))
    for name in names:
        double = choice.draws.chance(0.15) and len(groups) < 2
        count = 2 if double and choice.world.company.allows(2, name) else 1
        thing = choice.thing(name)
        if thing is None:
            return None
        groups.append(Group(thing, count))
    return TextToImagePlan("scene", tuple(groups)) if groups else None


def _plan_description(choice: _Choice) -> TextToImagePlan | None:
    options = choice.world.recipe.text_to_image
    wanted = choice.draws.weighted(options.description_groups)
    left = options.description_things
    names = list(choice.pair() or ())
    while names and len(names) < wanted:
        more = choice.world.company.unmistakable_partners(names, choice.world.pool(choice.kind))
        if not more:
            return None
        names.append(choice.draws.pick(more))
    if len(names) != wanted or names_clash(*names[:2]):
        return None
    groups: list[Group] = []
    for number, name in enumerate(names, start=1):
        allowed = [
            count
            for count in _GROUP_COUNTS
            if count <= left - (wanted - number) and choice.world.company.allows(count, name)
        ]
        count = choice.draws.weighted({count: _GROUP_COUNTS[count] for count in allowed})
        thing = choice.thing(name)
        if thing is None:
            return None
        left -= count
        groups.append(Group(thing, count))
    return TextToImagePlan("description", tuple(groups))


def _plan_sized(choice: _Choice) -> TextToImagePlan | None:
    """One shape that is large or small, or a large and a small one."""
    sizes = choice.draws.pick((("large",), ("small",), ("large", "small"), ("small", "large")))
    return _one_of_each(choice, [(size, None) for size in sizes], "sized")


def _plan_placed(choice: _Choice) -> TextToImagePlan | None:
    """One to three shapes, each in a place of its own."""
    wanted = choice.draws.weighted({1: 0.4, 2: 0.4, 3: 0.2})
    places = choice.draws.shuffled(tuple(LOCATIONS))[:wanted]
    return _one_of_each(choice, [("", place) for place in places], "placed")


def _one_of_each(
    choice: _Choice, said: Sequence[tuple[str, str | None]], form: str
) -> TextToImagePlan | None:
    names = list(choice.pair() or ()) if choice.out or len(said) > 1 else [choice.name() or ""]
    while 0 < len(names) < len(said):
        more = choice.world.company.partners_of(names, choice.world.pool(choice.kind))
        if not more:
            return None
        names.append(choice.draws.pick(more))
    things = [choice.thing(name) for name in names[: len(said)]]
    groups = tuple(
        Group(thing, size=size, location=place)
        for thing, (size, place) in zip(things, said, strict=False)
        if thing
    )
    return TextToImagePlan(form, groups) if len(groups) == len(said) else None


_PLANNERS: dict[str, Callable[[_Choice], TextToImagePlan | None]] = {
    "single": _plan_single,
    "colors": _plan_colors,
    "two": _plan_two,
    "counting": _plan_counting,
    "position": _plan_position,
    "color_attribution": _plan_color_attribution,
    "scene": _plan_scene,
    "description": _plan_description,
    "sized": _plan_sized,
    "placed": _plan_placed,
}
