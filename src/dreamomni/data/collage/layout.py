"""Where things go: boxes that fit the canvas, keep apart, and satisfy what the words will say."""

from collections.abc import Sequence
from dataclasses import dataclass

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.labels import Predicate, cosines
from dreamomni.data.collage.slots import place_at_slot, place_in_slots, relate_in_slots
from dreamomni.tasks.geometry import Box, Size

_TRIES = 24
_CLEAR_COSINE_ALONE = 0.85
_CLEAR_COSINE_GROUP = 0.62

# Cells of the canvas that words can name, as (x0, y0, x1, y1) fractions in which the centre must lie.
LOCATIONS: dict[str, tuple[float, float, float, float]] = {
    "upper left": (0.0, 0.0, 0.38, 0.38),
    "upper right": (0.62, 0.0, 1.0, 0.38),
    "lower left": (0.0, 0.62, 0.38, 1.0),
    "lower right": (0.62, 0.62, 1.0, 1.0),
    "top": (0.38, 0.0, 0.62, 0.36),
    "bottom": (0.38, 0.64, 0.62, 1.0),
    "left": (0.0, 0.38, 0.36, 0.62),
    "right": (0.64, 0.38, 1.0, 0.62),
    "center": (0.42, 0.42, 0.58, 0.58),
}


@dataclass(frozen=True, slots=True)
class Spacing:
    """How boxes may stand: `gap` pixels apart, or with an overlap as a part of the smaller box.

    Attributes:
        gap: Distance kept in pixels, when no overlap is allowed.
        max_overlap: Largest part of the smaller box that another may cover.
        jitter: None: anywhere. A number: in the cells of a grid, at most this fraction of the shorter side of
            the canvas off their middles.
    """

    gap: float
    max_overlap: float = 0.0
    jitter: float | None = None

    def allows(self, first: Box, second: Box) -> bool:
        """Say whether two boxes may both stay where they are."""
        if self.max_overlap > 0:
            width = min(first.x1, second.x1) - max(first.x0, second.x0)
            height = min(first.y1, second.y1) - max(first.y0, second.y0)
            if width <= 0 or height <= 0:
                return True
            return width * height <= self.max_overlap * min(first.area, second.area)
        return (
            first.x1 + self.gap <= second.x0
            or second.x1 + self.gap <= first.x0
            or first.y1 + self.gap <= second.y0
            or second.y1 + self.gap <= first.y0
        )


def lies_in(box: Box, location: str, canvas: Size, margin: float = 0.0) -> bool:
    """Whether the centre of a box lies in a named part of the canvas or in a margin (fraction) around."""
    x0, y0, x1, y1 = LOCATIONS[location]
    x, y = (box.x0 + box.x1) / 2 / canvas.width, (box.y0 + box.y1) / 2 / canvas.height
    return x0 - margin <= x <= x1 + margin and y0 - margin <= y <= y1 + margin


def place_free(
    sides: Sequence[Size],
    canvas: Size,
    draws: Draws,
    spacing: Spacing,
    taken: Sequence[Box] = (),
    *,
    in_order: bool = False,
) -> list[Box] | None:
    """Place boxes anywhere on the canvas.

    Args:
        sides: Width and height of each box in pixels.
        canvas: Size of the canvas.
        draws: Stream of the layout.
        spacing: How close boxes may come.
        taken: Boxes that are already there.
        in_order: In the cells of a grid, whether they fill it from the upper left on.

    Returns:
        One box for each of `sides`, or None when no room was found.
    """
    if spacing.jitter is not None:
        return place_in_slots(sides, canvas, draws, spacing.allows, spacing.jitter, taken, in_order=in_order)
    placed: list[Box] = []
    for side in sides:
        room_x, room_y = canvas.width - side.width, canvas.height - side.height
        if room_x < 0 or room_y < 0:
            return None
        for _ in range(_TRIES):
            box = _box(draws.integer(0, room_x), draws.integer(0, room_y), side)
            if all(spacing.allows(box, other) for other in taken) and all(
                spacing.allows(box, other) for other in placed
            ):
                placed.append(box)
                break
        else:
            return None
    return placed


def place_clusters(
    groups: Sequence[Sequence[Size]], canvas: Size, draws: Draws, spacing: Spacing
) -> list[list[Box]] | None:
    """Place groups of boxes anywhere, the members of each side by side or one above the other.

    Args:
        groups: Width and height of each member of each group, in pixels.
        canvas: Size of the canvas.
        draws: Stream of the layout.
        spacing: How close groups may come; members keep at least its gap.

    Returns:
        The boxes of each group, or None when no room was found.
    """
    gap = max(1, round(spacing.gap))
    wholes, steps = [], []
    for sides in groups:
        upright = draws.chance(0.3)
        lengths = [side.height if upright else side.width for side in sides]
        breadth = max(side.width if upright else side.height for side in sides)
        length = sum(lengths) + gap * (len(sides) - 1)
        wholes.append(Size(breadth, length) if upright else Size(length, breadth))
        steps.append((upright, lengths))
    boxes = place_free(wholes, canvas, draws, spacing)
    if boxes is None:
        return None
    placed = []
    for sides, whole, (upright, lengths) in zip(groups, boxes, steps, strict=True):
        at, members = 0, []
        for side, length in zip(sides, lengths, strict=True):
            # Members of different breadth stand along the middle line of their group.
            if upright:
                members.append(_box(whole.x0 + (whole.width - side.width) // 2, whole.y0 + at, side))
            else:
                members.append(_box(whole.x0 + at, whole.y0 + (whole.height - side.height) // 2, side))
            at += length + gap
        placed.append(members)
    return placed


def place_related(
    subjects: Sequence[Size],
    predicate: Predicate,
    others: Sequence[Size],
    canvas: Size,
    draws: Draws,
    spacing: Spacing,
    spare: int = 0,
) -> tuple[list[Box], list[Box]] | None:
    """Place two groups so that every subject clearly lies in a direction from every other.

    Each group gets a band of the canvas, and its members stand side by side across the band's short side.

    Args:
        subjects: Sizes of the subjects.
        predicate: "left of", "right of", "above" or "below".
        others: Sizes of the things they are related to.
        canvas: Size of the canvas.
        draws: Stream of the layout.
        spacing: How close boxes may come.
        spare: How many more things must find room afterwards.

    Returns:
        The boxes of the subjects and of the others, or None when they do not fit or do not lie clearly.
    """
    alone = len(subjects) == len(others) == 1
    needed = _CLEAR_COSINE_ALONE if alone else _CLEAR_COSINE_GROUP
    if spacing.jitter is not None:
        return relate_in_slots(
            subjects, predicate, others, canvas, draws, spacing.jitter, spacing.allows, needed, spare
        )
    gap = spacing.gap
    vertical = predicate in ("above", "below")
    subjects_first = predicate in ("above", "left of")
    first, second = (subjects, others) if subjects_first else (others, subjects)
    length, breadth = (canvas.height, canvas.width) if vertical else (canvas.width, canvas.height)
    first_sides, second_sides = _oriented(first, vertical), _oriented(second, vertical)
    reach = max(side[0] for side in first_sides), max(side[0] for side in second_sides)
    slack = length - gap - reach[0] - reach[1]
    if slack < 0:
        return None
    for _ in range(_TRIES):
        border = reach[0] + draws.uniform(0.0, slack)
        one = _fill_band(first_sides, 0.0, border, breadth, draws, gap)
        two = _fill_band(second_sides, border + gap, length, breadth, draws, gap)
        if one is None or two is None:
            return None
        boxes_one = [_placed(at, side, vertical) for at, side in zip(one, first, strict=True)]
        boxes_two = [_placed(at, side, vertical) for at, side in zip(two, second, strict=True)]
        result = (boxes_one, boxes_two) if subjects_first else (boxes_two, boxes_one)
        if all(cosines(subject, other)[predicate] > needed for subject in result[0] for other in result[1]):
            return result
    return None


def place_at(
    side: Size, location: str, canvas: Size, draws: Draws, jitter: float | None = None
) -> Box | None:
    """Place one box so that its centre lies in a named cell of the canvas.

    Args:
        side: Width and height of the box.
        location: One of `LOCATIONS`.
        canvas: Size of the canvas.
        draws: Stream of the layout.
        jitter: See `Spacing`.

    Returns:
        The box, or None when it is too large for that cell.
    """
    if jitter is not None:
        return place_at_slot(side, LOCATIONS[location], canvas, draws, jitter)
    x0, y0, x1, y1 = LOCATIONS[location]
    low_x = max(0.0, x0 * canvas.width - side.width / 2)
    high_x = min(canvas.width - side.width, x1 * canvas.width - side.width / 2)
    low_y = max(0.0, y0 * canvas.height - side.height / 2)
    high_y = min(canvas.height - side.height, y1 * canvas.height - side.height / 2)
    if low_x > high_x or low_y > high_y:
        return None
    # Truncation keeps a box that fits on the canvas; cells are wide enough not to mind a pixel.
    return _box(int(draws.uniform(low_x, high_x)), int(draws.uniform(low_y, high_y)), side)


def _oriented(sides: Sequence[Size], vertical: bool) -> list[tuple[int, int]]:
    """(length along the direction, breadth across it) of each box."""
    return [(side.height, side.width) if vertical else (side.width, side.height) for side in sides]


def _fill_band(
    sides: Sequence[tuple[int, int]], start: float, end: float, breadth: int, draws: Draws, gap: float
) -> list[tuple[int, int]] | None:
    """Positions (along, across) of boxes side by side in a band; None when they are too broad together."""
    slack = breadth - sum(across for _, across in sides) - gap * (len(sides) - 1)
    if slack < 0:
        return None
    offsets = sorted(draws.uniform(0.0, slack) for _ in sides)
    positions = []
    used = 0.0
    for offset, (along, across) in zip(offsets, sides, strict=True):
        at = draws.uniform(start, end - along)
        # Up on the way in, down on the way out: whole pixels inside the band.
        positions.append((min(int(at + 0.999), int(end - along)), int(offset + used)))
        used += across + gap
    return positions


def _placed(at: tuple[int, int], side: Size, vertical: bool) -> Box:
    along, across = at
    return _box(across, along, side) if vertical else _box(along, across, side)


def _box(x: int, y: int, side: Size) -> Box:
    return Box(x, y, x + side.width, y + side.height)
