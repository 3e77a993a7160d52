"""Calm layouts: things in the cells of a grid, a little off their middles.

A picture with few things then has few layouts, so that a small network learns what words look like long
before it could see through every arrangement. Relations and places keep their exact meaning.
"""

from collections.abc import Callable, Sequence

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.labels import Predicate, cosines
from dreamomni.tasks.geometry import Box, Size

Allows = Callable[[Box, Box], bool]
"""Whether two boxes may both stay where they are."""

_LOW, _MIDDLE, _HIGH = 0.25, 0.5, 0.75
_THIRDS = (1 / 6, 1 / 2, 5 / 6)


def place_in_slots(
    sides: Sequence[Size],
    canvas: Size,
    draws: Draws,
    allows: Allows,
    jitter: float,
    taken: Sequence[Box] = (),
    *,
    in_order: bool = False,
) -> list[Box] | None:
    """Place boxes in the cells of the coarsest grid that has room for all.

    Args:
        sides: Width and height of each box in pixels.
        canvas: Size of the canvas.
        draws: Stream of the layout.
        allows: How close boxes may come.
        jitter: Largest distance from the middle of a cell, as a fraction of the shorter side.
        taken: Boxes that are already there.
        in_order: Whether the boxes fill the cells side by side, row by row; else in any order.

    Returns:
        One box for each of `sides`, or None when no room was found.
    """
    count = len(sides) + len(taken)
    cells = _in_reading_order(count) if in_order else draws.shuffled(_grid(count, draws))
    placed: list[Box] = []
    for side in sides:
        while cells:
            box = _around(cells.pop(), side, canvas, draws, jitter)
            if box is not None and all(allows(box, other) for other in (*taken, *placed)):
                placed.append(box)
                break
        else:
            return None
    return placed


def relate_in_slots(
    subjects: Sequence[Size],
    predicate: Predicate,
    others: Sequence[Size],
    canvas: Size,
    draws: Draws,
    jitter: float,
    allows: Allows,
    clear: float,
    spare: int = 0,
) -> tuple[list[Box], list[Box]] | None:
    """Place two groups on the two sides of the canvas that a relation names.

    Args:
        subjects: Sizes of the subjects.
        predicate: "left of", "right of", "above" or "below".
        others: Sizes of the things they are related to.
        canvas: Size of the canvas.
        draws: Stream of the layout.
        jitter: Largest distance from the middle of a cell, as a fraction of the shorter side.
        allows: How close boxes may come.
        clear: Smallest cosine between a direction and the offset of two boxes.
        spare: How many more things must find room: a pair then keeps to one row or column.

    Returns:
        The boxes of the subjects and of the others, or None when they do not fit or do not lie clearly.
    """
    vertical = predicate in ("above", "below")
    first, second = (_LOW, _HIGH) if predicate in ("above", "left of") else (_HIGH, _LOW)
    alone = len(subjects) == len(others) == 1
    across = draws.pick((_LOW, _HIGH)) if alone and spare else _MIDDLE
    groups: list[list[Box]] = []
    for sides, along in ((subjects, first), (others, second)):
        places = {1: (across,), 2: (_LOW, _HIGH), 3: _THIRDS}.get(len(sides))
        if places is None:
            return None
        boxes = [
            _around((place, along) if vertical else (along, place), side, canvas, draws, jitter)
            for place, side in zip(places, sides, strict=True)
        ]
        groups.append([box for box in boxes if box is not None])
        if len(groups[-1]) < len(sides):
            return None
    everything = [*groups[0], *groups[1]]
    if not all(allows(one, other) for at, one in enumerate(everything) for other in everything[:at]):
        return None
    if not all(cosines(one, other)[predicate] > clear for one in groups[0] for other in groups[1]):
        return None
    return groups[0], groups[1]


def place_at_slot(
    side: Size, region: tuple[float, float, float, float], canvas: Size, draws: Draws, jitter: float
) -> Box | None:
    """Place one box in the cell of the grid nearest to a region of the canvas.

    Args:
        side: Width and height of the box in pixels.
        region: Where the middle of the box must lie: x0, y0, x1, y1 as fractions.
        canvas: Size of the canvas.
        draws: Stream of the layout.
        jitter: Largest distance from the middle of the cell, as a fraction of the shorter side.

    Returns:
        The box, or None when it is too large for that region.
    """
    x0, y0, x1, y1 = region
    box = _around((_nearest((x0 + x1) / 2), _nearest((y0 + y1) / 2)), side, canvas, draws, jitter)
    if box is None:
        return None
    x, y = box.centre
    inside = x0 * canvas.width <= x <= x1 * canvas.width and y0 * canvas.height <= y <= y1 * canvas.height
    return box if inside else None


def _nearest(at: float) -> float:
    return min((_LOW, _MIDDLE, _HIGH), key=lambda place: abs(place - at))


def _grid(count: int, draws: Draws) -> list[tuple[float, float]]:
    """Middles of the cells for some things, as (x, y) fractions."""
    upright = draws.chance(0.5)
    if count <= 1:
        columns: tuple[float, ...] = (_MIDDLE,)
        rows: tuple[float, ...] = (_MIDDLE,)
    elif count == 2:
        columns, rows = ((_MIDDLE,), (_LOW, _HIGH)) if upright else ((_LOW, _HIGH), (_MIDDLE,))
    elif count <= 4:
        columns = rows = (_LOW, _HIGH)
    else:
        columns = rows = _THIRDS
    return [(x, y) for x in columns for y in rows]


def _in_reading_order(count: int) -> list[tuple[float, float]]:
    """Middles of the cells, the first to be filled last in the list."""
    if count <= 1:
        return [(_MIDDLE, _MIDDLE)]
    columns = (_LOW, _HIGH) if count <= 4 else _THIRDS
    rows = (_MIDDLE,) if count == 2 else columns
    return [(x, y) for y in reversed(rows) for x in reversed(columns)]


def _around(cell: tuple[float, float], side: Size, canvas: Size, draws: Draws, jitter: float) -> Box | None:
    """A box of this size near the middle of a cell, kept on the canvas."""
    if side.width > canvas.width or side.height > canvas.height:
        return None
    reach = jitter * min(canvas)
    x = cell[0] * canvas.width - side.width / 2 + draws.uniform(-reach, reach)
    y = cell[1] * canvas.height - side.height / 2 + draws.uniform(-reach, reach)
    left = min(max(round(x), 0), canvas.width - side.width)
    top = min(max(round(y), 0), canvas.height - side.height)
    return Box(left, top, left + side.width, top + side.height)
