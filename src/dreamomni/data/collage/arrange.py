"""Free scenes for tasks whose words follow the picture: which things, how they look, where they stand."""

from collections.abc import Mapping, Sequence

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.families.family import Context
from dreamomni.data.collage.held_out import count_combination
from dreamomni.data.collage.layout import place_free
from dreamomni.data.collage.plans import draw_names
from dreamomni.data.collage.scene import Look, Placed, Thing, ThingKind
from dreamomni.data.collage.staging import draw_look, side_of, spacing_of
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.sample import ObjectLabel


def draw_companions(context: Context, names: Sequence[str], count: int, draws: Draws) -> list[str]:
    """Draw up to `count` more names that may be in one sample with all of `names` and with each other."""
    company = context.world.company
    more: list[str] = []
    options = company.partners_of(names, context.world.pool("sticker"))
    while options and len(more) < count:
        more.append(draws.pick(options))
        barred = company.kept_with(more[-1])
        options = [name for name in options if name != more[-1] and name not in barred]
    return more


def draw_things(
    context: Context,
    backgrounds: Sequence[str],
    count: int,
    draws: Draws,
    *,
    kind: ThingKind = "sticker",
    twins: float = 0.0,
    same_colour: float = 0.0,
) -> list[Thing] | None:
    """Draw things for one picture.

    Args:
        context: World and split.
        backgrounds: Names of the background colours that all things must be told from.
        count: How many; at least two in the held-out split.
        draws: Stream of the things.
        kind: Where their pixels come from.
        twins: How often several of them have one name.
        same_colour: How often a thing takes the colour of the first.

    Returns:
        The things, or None when the draw led nowhere.
    """
    held_out = context.split == "held_out"
    count = max(count, 2) if held_out else count
    room = count - 1 if held_out else count
    copies = draws.integer(2, room) if draws.chance(twins) and room >= 2 else 1
    names = draw_names(context.world, context.split, count - copies + 1, draws, kind)
    if names is None:
        return None
    if copies > 1:
        if context.world.is_out(count_combination(copies, names[0])):
            return None
        names += [names[0]] * (copies - 1)
    things: list[Thing] = []
    for name in names:
        thing = None
        if things and draws.chance(same_colour) and things[0].colour is not None:
            thing = context.world.thing_in(name, things[0].colour, backgrounds, draws, kind=kind)
        thing = thing or context.world.draw_thing(name, backgrounds, draws, kind=kind)
        if thing is None:
            return None
        things.append(thing)
    return draws.shuffled(things)


def draw_side(sides: tuple[float, float], canvas: Size, looks: Draws) -> int:
    """Draw a longest side in pixels from a range given as fractions of the shorter side of the canvas."""
    return max(1, round(looks.uniform(*sides) * min(canvas)))


def arrange(
    context: Context,
    things: Sequence[Thing],
    looks: Sequence[Look],
    canvas: Size,
    layout: Draws,
    numbers: Sequence[int],
) -> tuple[Placed, ...] | None:
    """Place things anywhere on a canvas.

    Args:
        context: The recipe says how close they may come.
        things: What to place.
        looks: How each looks.
        canvas: Size of the picture.
        layout: Stream of the layout.
        numbers: Instance number of each.

    Returns:
        The things in the order of their layers, or None when no room was found.
    """
    sides = [side_of(context.renderer.sprite(look)) for look in looks]
    boxes = place_free(sides, canvas, layout, spacing_of(context.world, canvas))
    if boxes is None:
        return None
    placed = [
        Placed(number, thing, look, box.x0, box.y0)
        for number, thing, look, box in zip(numbers, things, looks, boxes, strict=True)
    ]
    # Only where boxes may overlap does the order show.
    return tuple(layout.shuffled(placed) if context.recipe.max_overlap > 0 else placed)


def arrange_free(
    context: Context, things: Sequence[Thing], canvas: Size, looks: Draws, layout: Draws
) -> tuple[Placed, ...] | None:
    """Give things sizes by the recipe's table and places anywhere, numbered from 1."""
    drawn = [draw_look(thing, len(things), context.world, canvas, looks) for thing in things]
    return arrange(context, things, drawn, canvas, layout, range(1, len(things) + 1))


def all_seen(labels: Sequence[ObjectLabel], placed: Sequence[Placed], least: float) -> bool:
    """Say whether every placed thing has a label and at least this visibility."""
    return len(labels) == len(placed) and all(label.visibility >= least for label in labels)


def in_order(weights: Mapping[int, float]) -> dict[int, float]:
    """Weights by rising key: a draw must not depend on the order in which a recipe was written."""
    return dict(sorted(weights.items()))
