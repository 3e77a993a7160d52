"""One thing of a scene moved, scaled or turned, with the exact map of its pixels (section 3.2, drags)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.affine import Affine, applied, between
from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.layout import Spacing
from dreamomni.data.collage.options.drag import DragOptions
from dreamomni.data.collage.render import Picture, Renderer
from dreamomni.data.collage.scene import Look, Placed
from dreamomni.tasks.geometry import Box, Size
from dreamomni.tasks.sample import DragLabel, ObjectLabel

Operation = Literal["move", "scale", "rotate"]
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
        if operation == "move":
            after = _moved(item, min(canvas), options, draws)
            amount = math.hypot(after.x - item.x, after.y - item.y)
        else:
            look = _scaled(item.look, up, options, draws) if operation == "scale" else None
            look = look or _turned(item.look, renderer, options, draws)
            after = _centred(item, look, renderer)
            amount = look.size / item.look.size
            if operation == "rotate":
                amount = (look.angle - item.look.angle + 180.0) % 360.0 - 180.0
        box = box_of(after, renderer)
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= canvas.width and box.y1 <= canvas.height
        if inside and all(spacing.allows(box, other) for other in taken):
            matrix = between(start.at(item.x, item.y), renderer.fit(after.look).at(after.x, after.y))
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
    chosen: list[npt.NDArray[np.float64]] = []
    for attempt in range(3 * wanted):
        if len(chosen) == wanted:
            break
        picks = [spots[draws.integer(0, len(spots) - 1)] + 0.5 for _ in range(_CANDIDATES)]
        still = pin and attempt == 0 and motion.operation != "move"
        if still:
            picks = [spots[np.argmin(_lengths(motion, spots + 0.5))] + 0.5]
        elif chosen:
            picks.sort(key=lambda point: -min(float(np.hypot(*(point - other))) for other in chosen))
        elif motion.operation != "move":
            picks.sort(key=lambda point: -float(_lengths(motion, point[None])[0]))
        point = picks[0]
        landed = np.floor(applied(motion.matrix, point[None])[0]).astype(int)
        on_canvas = 0 <= landed[0] < width and 0 <= landed[1] < height
        if not on_canvas or target.ids[landed[1], landed[0]] != number:
            continue
        if any(np.hypot(*(point - other)) < _MIN_POINT_DISTANCE_PX for other in chosen):
            continue
        chosen.append(point)
    if not chosen or _lengths(motion, np.array(chosen)).max() < _MIN_DISPLACEMENT_PX:
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


def _turned(look: Look, renderer: Renderer, options: DragOptions, draws: Draws) -> Look:
    degrees = draws.uniform(*options.degrees) * (1 if draws.chance(0.5) else -1)
    turned = replace(look, angle=round((look.angle + degrees + 180.0) % 360.0 - 180.0, 1))
    # The size of a look is that of its box, which a rotation changes: keep the drawing's own scale instead.
    ratio = _scale(look, renderer) / _scale(turned, renderer)
    return replace(turned, size=max(_SMALLEST_PX, round(look.size * ratio)))


def _scale(look: Look, renderer: Renderer) -> float:
    matrix = renderer.fit(look).matrix
    return math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))


def _centred(item: Placed, look: Look, renderer: Renderer) -> Placed:
    """The thing with another look, such that what was in the middle of its box stays there."""
    start, end = renderer.fit(item.look), renderer.fit(look)
    middle = np.array([[start.width / 2.0, start.height / 2.0]])
    lands = applied(between(start.matrix, end.matrix), middle)
    x, y = (item.x, item.y) + (middle - lands)[0]
    return replace(item, look=look, x=round(float(x)), y=round(float(y)))


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
        rows, columns = np.nonzero(inner)
        if len(rows):
            return np.stack([columns + x, rows + y], axis=1).astype(np.float64)
    return np.empty((0, 2))


def _lengths(motion: Motion, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    lengths: npt.NDArray[np.float64] = np.linalg.norm(applied(motion.matrix, points) - points, axis=1)
    return lengths


def _label(motion: Motion, point: npt.NDArray[np.float64], canvas: Size) -> DragLabel:
    delta = applied(motion.matrix, point[None])[0] - point
    # Adding 0.0 makes a negative zero positive.
    x, y, dx, dy = (round(float(value), 4) + 0.0 for pair in (point, delta) for value in pair / canvas)
    return DragLabel(x, y, dx, dy, motion.before.instance_id)
