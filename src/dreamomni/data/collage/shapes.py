"""Geometric shapes, antialiased by area: what is drawn covers what its formula says."""

import functools
import math

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.affine import Fit, applied
from dreamomni.data.collage.palette import RGB
from dreamomni.data.collage.raster import tinted
from dreamomni.errors import DataError

_OVERSAMPLING = 8
_SMALL_PX = 96


def _regular(corners: int, turn: float = -90.0) -> npt.NDArray[np.float64]:
    angles = np.radians(np.arange(corners) * 360.0 / corners + turn)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _ellipse(ratio: float) -> npt.NDArray[np.float64]:
    return _regular(180) * np.array([1.0, ratio])


_CROSS = np.array(
    [
        [-1, -3],
        [1, -3],
        [1, -1],
        [3, -1],
        [3, 1],
        [1, 1],
        [1, 3],
        [-1, 3],
        [-1, 1],
        [-3, 1],
        [-3, -1],
        [-1, -1],
    ],
    dtype=np.float64,
)

# Outlines as corner points; only their proportions count. The first is filled, the others are holes.
_OUTLINES: dict[str, tuple[npt.NDArray[np.float64], ...]] = {
    "circle": (_ellipse(1.0),),
    "cross": (_CROSS,),
    "diamond": (_regular(4) * np.array([0.72, 1.0]),),
    "hexagon": (_regular(6, 0.0),),
    "oval": (_ellipse(0.62),),
    "pentagon": (_regular(5),),
    "rectangle": (_regular(4, 45.0) * np.array([1.0, 0.56]),),
    "ring": (_ellipse(1.0), _ellipse(1.0) * 0.58),
    "square": (_regular(4, 45.0),),
    "triangle": (_regular(3),),
}

SHAPES: tuple[str, ...] = tuple(sorted(_OUTLINES))


def render_shape(kind: str, rgb: RGB, size_px: int, angle: float = 0.0) -> npt.NDArray[np.uint8]:
    """Draw a shape.

    Args:
        kind: One of `SHAPES`.
        rgb: Fill colour.
        size_px: Longest side in pixels, after rotation.
        angle: Degrees, counter-clockwise.

    Returns:
        (H, W, 4) uint8 premultiplied RGBA, cropped to the shape.

    Raises:
        DataError: There is no such shape, or the size is below 1 px.
    """
    fit = shape_fit(kind, size_px, angle)
    width, height = fit.width, fit.height
    # cv2's own antialiasing draws fills half a pixel too fat; averaging an oversampled fill does not.
    fine = _OVERSAMPLING if size_px <= _SMALL_PX else _OVERSAMPLING // 2
    big = np.zeros((height * fine, width * fine), np.uint8)
    for fill, outline in zip((255, 0), _OUTLINES[kind], strict=False):
        corners = applied(fit.matrix, outline) * fine - 0.5
        cv2.fillPoly(big, [np.rint(corners * 16).astype(np.int32)], fill, lineType=cv2.LINE_8, shift=4)
    if fine > 4:
        alpha = cv2.resize(big, (width, height), interpolation=cv2.INTER_AREA)
    else:
        # Halving twice is many times faster than dividing by four.
        half = cv2.resize(big, (width * 2, height * 2), interpolation=cv2.INTER_AREA)
        alpha = cv2.resize(half, (width, height), interpolation=cv2.INTER_AREA)
    return tinted(np.asarray(alpha, np.uint8), rgb, alpha=True)


@functools.lru_cache(maxsize=128)
def shape_fit(kind: str, size_px: int, angle: float = 0.0) -> Fit:
    """Say where `render_shape` puts each point of a shape's formula.

    Raises:
        DataError: There is no such shape, or the size is below 1 px.
    """
    if kind not in _OUTLINES:
        raise DataError(f"there is no shape {kind!r}; the shapes are {', '.join(SHAPES)}")
    if size_px < 1:
        raise DataError(f"a shape cannot be {size_px} px large; ask for at least 1 px")
    radians = math.radians(angle)
    turn = np.array([[math.cos(radians), math.sin(radians)], [-math.sin(radians), math.cos(radians)]])
    outline = _OUTLINES[kind][0] @ turn.T
    low, high = outline.min(axis=0), outline.max(axis=0)
    scale = size_px / float((high - low).max())
    width, height = (max(1, math.ceil(float(side) * scale - 1e-6)) for side in high - low)
    offset = (np.array([width, height]) - (high - low) * scale) / 2.0 - low * scale
    return Fit(np.concatenate([turn * scale, offset[:, None]], axis=1), width, height)
