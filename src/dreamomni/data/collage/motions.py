"""One thing of a scene moved, scaled or turned, with the exact map of its pixels (section 3.2, drags)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.affine import Affine, Fit, applied, between
from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.layout import Spacing
from dreamomni.data.collage.options.drag import DragOptions
from dreamomni.data.collage.render import Picture, Renderer
from dreamomni.data.collage.scene import Look, Placed
from dreamomni.tasks.geometry import Box, Size
from dreamomni.tasks.sample import DragLabel, ObjectLabel

Operation = Literal["move", "scale", "rotate"]
Point = tuple[float, float]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)

_TRIES = 24
_CANDIDATES = 6
_SMALLEST_PX = 8
_MIN_POINT_DISTANCE_PX = 2.0
_MIN_DISPLACEMENT_PX = 1.5
LEAST_CHANGE = 0.15
"""Smallest `seen_change` of a sample worth having."""


@dataclass(frozen=True, slots=True)
class Motion:
    """What happens to one thing.

    Attributes:
        operation: Move, scale or rotate.
        before: The thing in the source.
        after: The same thing in the target, drawn again.
        matrix: From canvas to canvas in pixels, on axes where pixel i covers i to i + 1.
        amount: Distance in pixels, factor, or degrees counter-clockwise.
    """

    operation: Operation
    before: Placed
    after: Placed
    matrix: Affine
    amount: float

    @property
    def offset(self) -> tuple[float, float]:
        """How far a move goes to the right and down, in pixels."""
        return self.after.x - self.before.x, self.after.y - self.before.y

    def as_dict(self) -> dict[str, object]:
        """The motion as a sample's details tell it."""
        return {
            "instance_id": self.before.instance_id,
            "operation": self.operation,
            "matrix": [[round(float(value), 6) + 0.0 for value in row] for row in self.matrix],
            "amount": round(self.amount, 4),
        }


def draw_motion(
    operation: Operation,
    item: Placed,
    others: Sequence[Placed],
    canvas: Size,
    spacing: Spacing,
    renderer: Renderer,
    options: DragOptions,
    draws: Draws,
) -> Motion | None:
    """Draw a change of one thing after which it lies on the canvas and off the others.

    Args:
        operation: What to do.
        item: The thing.
        others: What it must keep its distance from.
        canvas: Size of the canvas.
        spacing: How close boxes may come.
        renderer: Knows how looks lie in their pixels.
        options: How far, how much.
        draws: Stream of the motion.

    Returns:
        The motion, or None when no room was found.
    """
    taken = [box_of(other, renderer) for other in others]
    start = renderer.fit(item.look)
    # Drawn once, because room is found for small things more easily.
    up = draws.chance(0.5)
    for _ in range(_TRIES):
        end = start
        if operation == "move":
            after = _moved(item, min(canvas), options, draws)
            amount = math.hypot(after.x - item.x, after.y - item.y)
        elif operation == "scale":
            look = _scaled(item.look, up, options, draws)
            end = renderer.fit(look)
            after, amount = _centred(item, start, look, end), _scale(end.matrix) / _scale(start.matrix)
        else:
            look = _turned(item.look, start, renderer, options, draws)
            end = renderer.fit(look)
            after = _centred(item, start, look, end)
            amount = (look.angle - item.look.angle + 180.0) % 360.0 - 180.0
        box = Box(after.x, after.y, after.x + end.width, after.y + end.height)
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= canvas.width and box.y1 <= canvas.height
        if inside and all(spacing.allows(box, other) for other in taken):
            matrix = between(start.at(item.x, item.y), end.at(after.x, after.y))
            return Motion(operation, item, after, matrix, amount)
    return None


def draw_points(
    motion: Motion, source: Picture, target: Picture, options: DragOptions, draws: Draws
) -> tuple[DragLabel, ...]:
    """Draw points on the visible pixels of a thing, away from its edge, that land on it in the target.

    Args:
        motion: What happens to the thing.
        source: The picture before.
        target: The picture after.
        options: How many points, how far from the edge.
        draws: Stream of the points.

    Returns:
        At least one point, or none at all when the thing has no pixel that can be one. Points are centres of
        pixels; coordinates are fractions of width and height with 4 decimals.
    """
    wanted = draws.integer(*options.num_points)
    # Alone, a point that stays would say nothing.
    pin = draws.chance(options.pin_centre) and wanted > 1
    spots = _core(motion, source, options)
    if not len(spots):
        return ()
    height, width = source.ids.shape
    number = motion.before.instance_id
    # Few points: plain floats are several times faster here than arrays of two.
    (a, b, c), (d, e, f) = motion.matrix.tolist()
    chosen: list[Point] = []
    longest = 0.0
    for attempt in range(3 * wanted):
        if len(chosen) == wanted:
            break
        if pin and attempt == 0 and motion.operation != "move":
            x, y = _stillest(motion, spots)
        else:
            picks = [_at(spots, draws.integer(0, len(spots) - 1)) for _ in range(_CANDIDATES)]
            if chosen:
                x, y = max(picks, key=lambda pick: min(math.dist(pick, other) for other in chosen))
            elif motion.operation == "move":
                x, y = picks[0]
            else:
                x, y = max(
                    picks, key=lambda p: math.dist(p, (a * p[0] + b * p[1] + c, d * p[0] + e * p[1] + f))
                )
        landed = a * x + b * y + c, d * x + e * y + f
        column, row = math.floor(landed[0]), math.floor(landed[1])
        if not (0 <= column < width and 0 <= row < height) or target.ids[row, column] != number:
            continue
        if any(math.dist((x, y), other) < _MIN_POINT_DISTANCE_PX for other in chosen):
            continue
        chosen.append((x, y))
        longest = max(longest, math.dist((x, y), landed))
    if longest < _MIN_DISPLACEMENT_PX:
        return ()
    return tuple(_label(motion, point, Size(width, height)) for point in chosen)


def seen_change(mask: npt.NDArray[np.uint8], picture: Picture, label: ObjectLabel) -> float:
    """Changed pixels on a thing over its pixels: near 0, nobody sees what a rotation did.

    Args:
        mask: (H, W) uint8, 255 where source and target differ.
        picture: The source.
        label: The thing as read off the source.
    """
    here = np.s_[label.box.y0 : label.box.y1, label.box.x0 : label.box.x1]
    on_it = picture.ids[here] == label.instance_id
    return float(np.count_nonzero(on_it & (mask[here] > 0))) / label.area


def box_of(item: Placed, renderer: Renderer) -> Box:
    """The box of a thing's array of pixels on the canvas."""
    fit = renderer.fit(item.look)
    return Box(item.x, item.y, item.x + fit.width, item.y + fit.height)


def _moved(item: Placed, shorter_px: int, options: DragOptions, draws: Draws) -> Placed:
    distance = draws.uniform(*options.distance) * shorter_px
    straight, turn = draws.chance(options.straight), draws.unit() * 4.0
    angle = math.radians(90.0 * (int(turn) if straight else turn))
    return replace(
        item, x=item.x + round(distance * math.cos(angle)), y=item.y - round(distance * math.sin(angle))
    )


def _scaled(look: Look, up: bool, options: DragOptions, draws: Draws) -> Look:
    low, high = (math.log(value) for value in options.factor)
    least = math.log(options.min_factor)
    if low > -least or high < least:
        up = high >= least
    factor = math.exp(draws.uniform(least, high) if up else draws.uniform(low, -least))
    return replace(look, size=max(_SMALLEST_PX, round(look.size * factor)))


def _turned(look: Look, start: Fit, renderer: Renderer, options: DragOptions, draws: Draws) -> Look:
    degrees = draws.uniform(*options.degrees) * (1 if draws.chance(0.5) else -1)
    turned = replace(look, angle=round((look.angle + degrees + 180.0) % 360.0 - 180.0, 1))
    # The size of a look is that of its box, which a rotation changes: keep the drawing's own scale instead.
    ratio = _scale(start.matrix) / _scale(renderer.fit(turned).matrix)
    return replace(turned, size=max(_SMALLEST_PX, round(look.size * ratio)))


def _scale(matrix: Affine) -> float:
    (a, b, _), (c, d, _) = matrix.tolist()
    return math.sqrt(abs(a * d - b * c))


def _centred(item: Placed, start: Fit, look: Look, end: Fit) -> Placed:
    """The thing with another look, such that what was in the middle of its box stays there."""
    (a, b, c), (d, e, f) = start.matrix.tolist()
    # The middle of the box on the drawing's own axes, then in the new array of pixels.
    x, y = start.width / 2.0 - c, start.height / 2.0 - f
    area = a * e - b * d
    own_x, own_y = (e * x - b * y) / area, (a * y - d * x) / area
    (a, b, c), (d, e, f) = end.matrix.tolist()
    left = item.x + start.width / 2.0 - (a * own_x + b * own_y + c)
    top = item.y + start.height / 2.0 - (d * own_x + e * own_y + f)
    return replace(item, look=look, x=round(left), y=round(top))


def _core(motion: Motion, source: Picture, options: DragOptions) -> npt.NDArray[np.float64]:
    """(N, 2) x and y of the pixels of a thing that are away from its edge."""
    x, y = max(motion.before.x, 0), max(motion.before.y, 0)
    size = motion.before.look.size
    height, width = source.ids.shape
    here = source.ids[y : min(y + size, height), x : min(x + size, width)] == motion.before.instance_id
    mask = here.view(np.uint8)
    for radius in (max(1, round(options.point_margin * size)), 1):
        kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
        inner = cv2.erode(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
        spots = cv2.findNonZero(inner)
        if spots is not None:
            return spots.reshape(-1, 2) + np.array([x, y], np.float64)
    return np.empty((0, 2))


def _at(spots: npt.NDArray[np.float64], index: int) -> Point:
    """The centre of one of the pixels."""
    x, y = spots[index].tolist()
    return x + 0.5, y + 0.5


def _stillest(motion: Motion, spots: npt.NDArray[np.float64]) -> Point:
    """The centre of the pixel that moves least."""
    lengths = np.linalg.norm(applied(motion.matrix, spots + 0.5) - spots - 0.5, axis=1)
    return _at(spots, int(np.argmin(lengths)))


def _label(motion: Motion, point: Point, canvas: Size) -> DragLabel:
    delta = applied(motion.matrix, [point])[0] - point
    # Adding 0.0 makes a negative zero positive.
    x, y, dx, dy = (
        round(float(value) / side, 4) + 0.0
        for pair in (point, delta)
        for value, side in zip(pair, canvas, strict=True)
    )
    return DragLabel(x, y, dx, dy, motion.before.instance_id)
