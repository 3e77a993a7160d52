"""A drawing at falling sizes, and how it is drawn from them at any size and angle."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.affine import Affine, Fit
from dreamomni.data.collage.palette import RGB
from dreamomni.data.collage.raster import Layers
from dreamomni.errors import DataError
from dreamomni.tasks.geometry import Size

_SMALLEST_LEVEL_PX = 8


class Level(Protocol):
    """One size of a drawing."""

    @property
    def width(self) -> int:
        """Width in pixels."""
        ...

    @property
    def height(self) -> int:
        """Height in pixels."""
        ...

    def coloured(self, colour: RGB) -> npt.NDArray[np.uint8]:
        """(H, W, 4) uint8 premultiplied RGBA; `colour` matters only where the drawing can take any."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Pyramid:
    """One drawing at falling sizes, half an octave apart; index 0 is the largest."""

    layers: Sequence[Level]
    outline: npt.NDArray[np.float64]
    """Convex hull (N, 2), x and y about the centre, in units of the longest side."""
    oversampling: float = 1.0
    """How much larger than the result the level to draw from is, where there is one so large."""
    sides: tuple[int, ...] = field(init=False)
    """Longest side of every level in pixels."""
    hull: tuple[tuple[float, float], ...] = field(init=False)
    """The outline as plain numbers, which for so few points are cheaper to turn than arrays."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sides", tuple(longest_side(layer) for layer in self.layers))
        object.__setattr__(self, "hull", tuple((x, y) for x, y in self.outline.tolist()))

    @property
    def longest(self) -> int:
        """Longest side of the largest level in pixels."""
        return self.sides[0]

    def level(self, longest_px: float) -> Level:
        """The smallest level that still has ``longest_px`` pixels (the largest one when none has)."""
        wanted = longest_px * self.oversampling
        chosen = 0
        for number, side in enumerate(self.sides):
            if side < wanted:
                break
            chosen = number
        return self.layers[chosen]


def build_levels(full: Layers) -> list[Layers]:
    """The drawing itself and smaller copies, half an octave apart."""
    levels = [full]
    for step, side in enumerate(level_sizes(full.width, full.height)[1:], start=1):
        # From an octave above: a halving is many times cheaper than a resize from the full raster.
        levels.append(levels[max(0, step - 2)].resized(side))
    return levels


def level_sizes(width: int, height: int, smallest_px: int = _SMALLEST_LEVEL_PX) -> list[tuple[int, int]]:
    """(width, height) of every level of a drawing, the largest first."""
    sizes = [(width, height)]
    while (longest := round(max(width, height) / 2 ** (len(sizes) / 2))) >= smallest_px:
        sizes.append(fitted(width, height, longest))
    return sizes


def outline_of(alpha: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Convex hull of what is drawn (see `Pyramid.outline`); ``alpha`` is (H, W)."""
    height, width = alpha.shape
    # The first and last drawn pixel of each row span the hull; all four corners of a pixel count.
    drawn = alpha > 0
    rows = np.flatnonzero(drawn.any(axis=1))
    first = drawn[rows].argmax(axis=1)
    last = width - drawn[rows, ::-1].argmax(axis=1)
    corners = [np.stack([x, rows + dy], axis=1) for x in (first, last) for dy in (0, 1)]
    hull = cv2.convexHull(np.concatenate(corners).astype(np.int32))[:, 0].astype(np.float64)
    return (hull - np.array([width, height]) / 2.0) / max(width, height)


def longest_side(level: Level) -> int:
    """Longest side of a level in pixels."""
    return max(level.width, level.height)


def fitted(width: int, height: int, longest_px: int) -> tuple[int, int]:
    """(width, height) with these proportions and the given longest side."""
    scale = longest_px / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def draw(
    pyramid: Pyramid, colour: RGB, size_px: int, angle: float, flip: bool, premultiplied: bool
) -> npt.NDArray[np.uint8]:
    """Draw from a pyramid (see `AssetSource.render`)."""
    angle = _checked(angle, size_px)
    if angle == 0.0:
        image = _resized(pyramid, colour, size_px)
        if flip:
            image = np.ascontiguousarray(image[:, ::-1])
    else:
        level, affine, sides = _turn(pyramid, size_px, angle, flip)
        warped = cv2.warpAffine(level.coloured(colour), affine, sides, flags=cv2.INTER_LINEAR)
        image = np.asarray(warped, dtype=np.uint8)
    return image if premultiplied else _straight(image)


def measure(pyramid: Pyramid, size_px: int, angle: float, flip: bool) -> Size:
    """Say how large an array `draw` gives, without drawing."""
    angle = _checked(angle, size_px)
    if angle == 0.0:
        return Size(*_fit(pyramid.layers[0], size_px))
    return _turn(pyramid, size_px, angle, flip)[2]


def fit(pyramid: Pyramid, size_px: int, angle: float, flip: bool) -> Fit:
    """Say where `draw` puts each point of a drawing, whose own axes run from 0 to 1 across it."""
    angle = _checked(angle, size_px)
    if angle == 0.0:
        width, height = _fit(pyramid.layers[0], size_px)
        left, across = (width, -width) if flip else (0, width)
        return Fit(np.array([[across, 0.0, left], [0.0, height, 0.0]]), width, height)
    level, affine, (width, height) = _turn(pyramid, size_px, angle, flip)
    (xx, xy, x), (yx, yy, y) = affine.tolist()
    # Pixel centres sit at +0.5, hence the half pixel on both sides.
    matrix = [
        [xx * level.width, xy * level.height, x + 0.5 - 0.5 * (xx + xy)],
        [yx * level.width, yy * level.height, y + 0.5 - 0.5 * (yx + yy)],
    ]
    return Fit(np.array(matrix), width, height)


def _checked(angle: float, size_px: int) -> float:
    if size_px < 1:
        raise DataError(f"A sticker cannot be {size_px} px large; ask for at least 1 px.")
    return angle % 360.0


def _fit(level: Level, longest_px: int) -> tuple[int, int]:
    return fitted(level.width, level.height, longest_px)


def _resized(pyramid: Pyramid, colour: RGB, size_px: int) -> npt.NDArray[np.uint8]:
    level = pyramid.level(size_px)
    width, height = _fit(pyramid.layers[0], size_px)
    image = level.coloured(colour)
    if (level.width, level.height) == (width, height):
        return image
    # Levels are half an octave apart, so linear never skips a pixel, and it is six times faster than area.
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
    return np.asarray(resized, dtype=np.uint8)


@functools.lru_cache(maxsize=128)
def _turn(pyramid: Pyramid, size_px: int, angle: float, flip: bool) -> tuple[Level, Affine, Size]:
    """The level to draw from, the map from its pixel centres to those of the array, and the array's sides.

    A layout asks for the sides before the drawing asks for the rest, hence the memory.
    """
    radians = math.radians(angle)
    cosine, sine = math.cos(radians), math.sin(radians)
    mirror = -1.0 if flip else 1.0
    # Image y points down, so this turns counter-clockwise for the viewer.
    xx, xy, yx, yy = mirror * cosine, sine, -mirror * sine, cosine
    across = [xx * x + xy * y for x, y in pyramid.hull]
    down = [yx * x + yy * y for x, y in pyramid.hull]
    left, right, top, bottom = min(across), max(across), min(down), max(down)
    scale = size_px / max(right - left, bottom - top)
    width, height = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    level = pyramid.level(scale)
    step = scale / longest_side(level)
    xx, xy, yx, yy = step * xx, step * xy, step * yx, step * yy
    # Pixel centres sit at +0.5, hence the half pixel on both sides.
    from_x, from_y = level.width / 2.0 - 0.5, level.height / 2.0 - 0.5
    to_x = width / 2.0 - 0.5 - (left + right) / 2.0 * scale
    to_y = height / 2.0 - 0.5 - (top + bottom) / 2.0 * scale
    affine = np.array(
        [[xx, xy, to_x - xx * from_x - xy * from_y], [yx, yy, to_y - yx * from_x - yy * from_y]]
    )
    return level, affine, Size(width, height)


def _straight(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Divide colour by alpha (uint8, rounded to nearest); clear pixels become zero."""
    alpha = image[..., 3]
    divisor = cv2.merge((alpha, alpha, alpha, np.full_like(alpha, 255)))
    # OpenCV's integer division saturates, and gives 0 where the divisor is 0.
    return np.asarray(cv2.divide(image, divisor, scale=255.0), dtype=np.uint8)
