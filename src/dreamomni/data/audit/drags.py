"""Checks of drags: points on the object before, and on the object after."""

import re
from collections.abc import Iterator

import numpy as np

from dreamomni.data.audit.check import Check
from dreamomni.data.audit.facts import Facts, Mask, MissingError, bounds
from dreamomni.tasks.sample import DragLabel

_DECIMALS = 4
_REACH_PX = 1.0
_OPERATIONS = frozenset({"move", "scale", "rotate"})
_NUMBER = r"-?\d+(?:\.\d+)?"
POINTS = re.compile(rf"\(\s*({_NUMBER}),\s*({_NUMBER}),\s*({_NUMBER}),\s*({_NUMBER})\s*\)")
_SMALL_PIXELS = 400
_SPILL, _SPILL_SMALL = 0.03, 0.12
"""Part of a mask that another drawing of the same thing may lose: thin lines fall below half a pixel, and of
a thing of few pixels they are more."""


def dragged(facts: Facts) -> bool:
    """Whether a sample should have drags."""
    return facts.sample.task == "drag" or bool(facts.sample.drags or facts.sample.details.get("transforms"))


def points(facts: Facts) -> Iterator[str]:
    """Points have four decimals, start on their object, and land on it in the target within one pixel."""
    height, width = facts.sample.target.shape[:2]
    if not facts.sample.drags:
        yield "there are no drags"
    for number, drag in enumerate(facts.sample.drags, start=1):
        values = (drag.x, drag.y, drag.dx, drag.dy)
        if any(round(value, _DECIMALS) != value for value in values):
            yield f"drag {number} {values} is not rounded to {_DECIMALS} decimals"
        if not (0 <= drag.x < 1 and 0 <= drag.y < 1):
            yield f"drag {number} starts outside the picture at {drag.x}, {drag.y}"
            continue
        column, row = int(drag.x * width), int(drag.y * height)
        half = 0.5 * 10**-_DECIMALS * max(width, height) + 1e-6
        if abs(drag.x * width - column - 0.5) > half or abs(drag.y * height - row - 0.5) > half:
            yield f"drag {number} does not start in the middle of a pixel"
        if facts.source.ids is None or facts.source.ids[row, column] != drag.instance_id:
            yield f"drag {number} starts at x {column}, y {row}, which is not instance {drag.instance_id}"
        gap = distance(facts.target.mask(drag.instance_id), _landing(drag, width, height))
        if gap > _REACH_PX:
            yield f"drag {number} lands {gap:.2f} pixels away from instance {drag.instance_id}"


def transforms(facts: Facts) -> Iterator[str]:
    """The matrix takes each point to where its drag says, and the object of image 1 to that of the target."""
    height, width = facts.sample.target.shape[:2]
    records = facts.detail("transforms")
    if {int(record["instance_id"]) for record in records} != {
        drag.instance_id for drag in facts.sample.drags
    }:
        yield "transforms and drags are not of the same instances"
    for record in records:
        number = int(record["instance_id"])
        matrix = np.array(record["matrix"], float)
        if matrix.shape != (2, 3) or abs(np.linalg.det(matrix[:, :2])) < 1e-6:
            yield f"the matrix of instance {number} is no invertible 2x3 matrix"
            continue
        if record["operation"] not in _OPERATIONS:
            yield f"instance {number} has the operation {record['operation']!r}"
        elif not _has_form(record["operation"], matrix, _extent(facts, number)):
            yield f"the matrix of instance {number} is no {record['operation']}"
        for drag in facts.sample.drags:
            if drag.instance_id != number:
                continue
            start = np.array([drag.x * width, drag.y * height, 1.0])
            gap = float(np.linalg.norm(matrix @ start - _landing(drag, width, height)))
            if gap > _REACH_PX:
                yield f"a drag of instance {number} ends {gap:.2f} pixels from where the matrix takes it"
        yield from _compare_masks(facts, number, matrix)


def numbers(facts: Facts) -> Iterator[str]:
    """The instruction writes the same numbers, in order, with four decimals."""
    said = [match.groups() for match in POINTS.finditer(facts.sample.instruction)]
    meant = [
        tuple(f"{value + 0.0:.{_DECIMALS}f}" for value in (drag.x, drag.y, drag.dx, drag.dy))
        for drag in facts.sample.drags
    ]
    if said != meant:
        yield f"the instruction says {said}, the drags are {meant}"


def distance(mask: Mask, point: np.ndarray) -> float:
    """Distance in pixels from a point (x, y) to the nearest pixel of a mask; infinite when it is empty."""
    rows, columns = np.nonzero(mask)
    if rows.size == 0:
        return float("inf")
    dx = np.maximum(np.abs(columns + 0.5 - point[0]) - 0.5, 0)
    dy = np.maximum(np.abs(rows + 0.5 - point[1]) - 0.5, 0)
    return float(np.sqrt((dx**2 + dy**2).min()))


def _landing(drag: DragLabel, width: int, height: int) -> np.ndarray:
    return np.array([(drag.x + drag.dx) * width, (drag.y + drag.dy) * height])


def _extent(facts: Facts, number: int) -> int:
    """Longest side of an instance in image 1, in pixels."""
    box = bounds(facts.source.mask(number))
    return 0 if box is None else max(box[2] - box[0], box[3] - box[1])


def _has_form(operation: str, matrix: np.ndarray, extent: int) -> bool:
    """Whether a matrix does what it is called, to within a pixel at the ends of the object."""
    linear = matrix[:, :2]
    if operation == "move":
        ideal = np.eye(2)
    elif operation == "scale":
        ideal = np.eye(2) * np.trace(linear) / 2
    else:
        turn = np.arctan2(linear[1, 0] - linear[0, 1], linear[0, 0] + linear[1, 1])
        ideal = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return bool(np.abs(linear - ideal).max() * extent / 2 <= _REACH_PX and np.linalg.det(linear) > 0)


def _compare_masks(facts: Facts, number: int, matrix: np.ndarray) -> Iterator[str]:
    """Compare the moved mask with the target's, where neither is hidden by something else."""
    source, target = facts.source, facts.target
    if source.ids is None or target.ids is None:
        raise MissingError("image 1 or target has no id map")
    before, after = source.mask(number), target.mask(number)
    inverse = np.linalg.inv(matrix[:, :2])
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    yield from _unmatched(
        before, after, matrix, target.ids, number, reach=_REACH_PX * max(scale, 1.0), what="leaves"
    )
    back = np.hstack([inverse, -inverse @ matrix[:, 2:]])
    yield from _unmatched(
        after,
        before,
        back,
        source.ids,
        number,
        reach=_REACH_PX * max(1 / scale, 1.0),
        what="comes from nowhere in",
    )


def _unmatched(
    from_mask: Mask,
    to_mask: Mask,
    matrix: np.ndarray,
    to_ids: np.ndarray,
    number: int,
    *,
    reach: float,
    what: str,
) -> Iterator[str]:
    """Pixels of one mask that the matrix takes to background, further than a pixel from the other mask."""
    rows, columns = np.nonzero(from_mask)
    centres = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))])
    x, y = matrix @ centres
    height, width = to_mask.shape
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    margin = int(np.ceil(reach + 0.5))
    inside = (column >= margin) & (row >= margin) & (column < width - margin) & (row < height - margin)
    row, column = row[inside], column[inside]
    near = np.zeros(len(row), bool)
    for dy in range(-margin, margin + 1):
        for dx in range(-margin, margin + 1):
            here = to_ids[row + dy, column + dx]
            # Another instance may hide the place.
            near |= here != 0
            near |= to_mask[row + dy, column + dx]
    lost = int((~near).sum())
    small = min(rows.size, int(np.count_nonzero(to_mask))) < _SMALL_PIXELS
    if lost > max(2, (_SPILL_SMALL if small else _SPILL) * rows.size):
        yield f"the matrix takes {lost} pixels of instance {number} to empty ground: it {what} the other mask"


CHECKS = (
    Check("drag points", points, when=dragged),
    Check("drag transforms", transforms, when=dragged),
    Check("drag numbers in words", numbers, when=dragged),
)
