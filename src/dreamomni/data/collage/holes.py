"""Holes of inpainting and outpainting: smears, blocks and image edges (section 3.2)."""

import math
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.options.inpaint import InpaintOptions
from dreamomni.tasks.geometry import Size

Mask = npt.NDArray[np.uint8]
Point = tuple[float, float]

_SHIFT = 4
_MAX_TURN_DEGREES = 50.0
_STEP_BRUSHES = (0.4, 1.6)
_TURN_BACK_DEGREES = 150.0
_MAX_SEGMENTS = 60


def draw_smear(canvas: Size, aim: Point | None, options: InpaintOptions, draws: Draws) -> Mask | None:
    """Draw random brush strokes.

    Args:
        canvas: Size of the canvas.
        aim: Where the first stroke starts, in pixels; anywhere without it.
        options: How many strokes, how thick, how much of the canvas.
        draws: Stream of the hole.

    Returns:
        (H, W) uint8, 255 in the hole; None when no hole of the wanted size was found.
    """
    low, high = options.share
    wanted = draws.uniform(low, high) * canvas.num_pixels
    num = draws.integer(*options.num_strokes)
    thickness = max(1, round(draws.uniform(*options.brush) * min(canvas)))
    mask = _empty(canvas)
    for stroke in range(num):
        start = aim if aim is not None and stroke == 0 else None
        _stroke(mask, start, thickness, wanted * (stroke + 1) / num, max(1, _MAX_SEGMENTS // num), draws)
    return mask if low <= cv2.countNonZero(mask) / canvas.num_pixels <= high else None


def draw_blocks(canvas: Size, aim: Point | None, options: InpaintOptions, draws: Draws) -> Mask | None:
    """Draw rectangles; arguments and result are those of `draw_smear`."""
    low, high = options.share
    wanted, num = draws.uniform(low, high), draws.integer(*options.num_blocks)
    mask = _empty(canvas)
    for block in range(num):
        area = wanted * canvas.num_pixels / num * draws.uniform(0.7, 1.3)
        ratio = math.exp(draws.uniform(-0.9, 0.9))
        width = min(max(1, round(math.sqrt(area * ratio))), canvas.width)
        height = min(max(1, round(area / width)), canvas.height)
        x, y = draws.unit() * canvas.width, draws.unit() * canvas.height
        if aim is not None and block == 0:
            x, y = aim[0] + draws.uniform(-0.3, 0.3) * width, aim[1] + draws.uniform(-0.3, 0.3) * height
        left = min(max(0, round(x - width / 2)), canvas.width - width)
        top = min(max(0, round(y - height / 2)), canvas.height - height)
        mask[top : top + height, left : left + width] = 255
    return mask if low <= cv2.countNonZero(mask) / canvas.num_pixels <= high else None


def draw_edges(canvas: Size, aim: Point | None, options: InpaintOptions, draws: Draws) -> Mask | None:
    """Draw bands along one to four sides; arguments and result are those of `draw_smear`.

    With an aim, the side that is nearest to it is among them.
    """
    low, high = options.edge_share
    wanted, num = draws.uniform(low, high), draws.integer(*options.num_sides)
    sides = draws.shuffled(("left", "right", "top", "bottom"))
    if aim is not None:
        x, y = aim[0] / canvas.width, aim[1] / canvas.height
        depth = {"left": x, "right": 1 - x, "top": y, "bottom": 1 - y}
        sides.sort(key=lambda side: side != min(depth, key=lambda name: depth[name]))
    chosen = sides[:num]
    across: list[str] = [side for side in ("left", "right") if side in chosen]
    along: list[str] = [side for side in ("top", "bottom") if side in chosen]
    # What is kept is a rectangle of (1 - wanted): its two sides share the cut.
    power = draws.uniform(0.3, 0.7) if across and along else float(bool(across))
    x0, x1 = _cut(canvas.width, (1 - wanted) ** power, across, draws)
    y0, y1 = _cut(canvas.height, (1 - wanted) ** (1 - power), along, draws)
    mask = np.full((canvas.height, canvas.width), 255, np.uint8)
    mask[y0:y1, x0:x1] = 0
    return mask if low <= cv2.countNonZero(mask) / canvas.num_pixels <= high else None


HOLES: dict[str, Callable[[Size, Point | None, InpaintOptions, Draws], Mask | None]] = {
    "smear": draw_smear,
    "block": draw_blocks,
    "edges": draw_edges,
}
"""How each style of hole is drawn."""


def _stroke(
    mask: Mask, start: Point | None, thickness: int, wanted: float, most_segments: int, draws: Draws
) -> None:
    """Lead a round brush over the mask until it has so many white pixels, or for so many segments."""
    height, width = mask.shape
    point = start or (draws.unit() * width, draws.unit() * height)
    angle = draws.uniform(0.0, 360.0)
    for _ in range(most_segments):
        length = draws.uniform(*_STEP_BRUSHES) * thickness
        angle += draws.uniform(-_MAX_TURN_DEGREES, _MAX_TURN_DEGREES)
        x = point[0] + length * math.cos(math.radians(angle))
        y = point[1] + length * math.sin(math.radians(angle))
        # A brush that reaches the edge turns back.
        if not (0 <= x <= width and 0 <= y <= height):
            x, y = min(max(x, 0.0), width), min(max(y, 0.0), height)
            angle += _TURN_BACK_DEGREES
        ends = [(round((a - 0.5) * 2**_SHIFT), round((b - 0.5) * 2**_SHIFT)) for a, b in (point, (x, y))]
        cv2.line(mask, ends[0], ends[1], 255, thickness, cv2.LINE_8, _SHIFT)
        point = x, y
        if cv2.countNonZero(mask) >= wanted:
            return


def _cut(length: int, kept: float, sides: list[str], draws: Draws) -> tuple[int, int]:
    """First and last pixel (half-open) of what is kept along one axis; every side loses at least one."""
    if not sides:
        return 0, length
    lost = min(max(round(length * (1 - kept)), len(sides)), length - 1)
    first = lost
    if len(sides) == 2:
        first = min(max(round(lost * draws.uniform(0.2, 0.8)), 1), lost - 1)
    elif sides[0] in ("right", "bottom"):
        first = 0
    return first, length - (lost - first)


def _empty(canvas: Size) -> Mask:
    return np.zeros((canvas.height, canvas.width), np.uint8)
