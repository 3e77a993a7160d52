"""Ways to draw a thing that any thing may have: patterns of its fill, and styles of its whole.

No finish changes the silhouette, so a thing keeps its pixels in the id map; and the colour that words name
stays the commonest of the palette in it.
"""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.palette import RGB

PATTERNS: tuple[str, ...] = ("stripes", "dots", "checks")
"""Of the fill alone: eyes, stems and outlines stay."""
STYLES: tuple[str, ...] = ("outline", "border", "neon")
"""Of the whole thing: a coloured line around white, a dark line around all, a coloured line around dark."""

WHITE: RGB = (255, 255, 255)
DARK: RGB = (64, 64, 70)
"""What a pattern or style puts beside a colour; neither is a colour of the palette."""

_BRIGHT = 215.0
_PERIOD = 0.5
"""Of the longest side: two stripes on a thing, so that a small autoencoder keeps them at 64 pixels."""
_LEAST_PERIOD_PX = 6
_MAIN_SHARE = 0.56
_DOT = 0.3
_LINE = 0.1
_DEEPEST_LINE = 0.5

Image = npt.NDArray[np.uint8]
Draw = Callable[[RGB], Image]


def finished(finish: str, draw: Draw, rgb: RGB, size_px: int) -> Image:
    """Draw a thing with a finish.

    Args:
        finish: One of `PATTERNS` or `STYLES`.
        draw: Draws the thing with a main colour: (H, W, 4) uint8 premultiplied RGBA.
        rgb: Its main colour.
        size_px: Its longest side, by which periods and lines are measured.

    Returns:
        (H, W, 4) uint8 premultiplied RGBA with the alpha of the plain drawing.
    """
    plain = draw(rgb)
    if finish in PATTERNS:
        other = draw(second_colour(rgb))
        return np.where(_pattern(finish, plain.shape, size_px)[..., None], other, plain)
    alpha = plain[..., 3]
    depth = cv2.distanceTransform(np.pad((alpha >= 128).astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    # Thin things keep some of their colour, or of what is inside.
    line = max(1, min(round(_LINE * size_px), round(_DEEPEST_LINE * float(depth.max()))))
    if finish == "border":
        return np.where((depth <= line)[..., None], _solid(alpha, DARK), plain)
    inside = second_colour(rgb) if finish == "outline" else DARK
    return np.where((depth > line)[..., None], _solid(alpha, inside), _solid(alpha, rgb))


def second_colour(rgb: RGB) -> RGB:
    """What stands beside a colour: white, and dark where the colour is nearly white itself."""
    luma = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]
    return DARK if luma > _BRIGHT else WHITE


def _pattern(finish: str, shape: tuple[int, ...], size_px: int) -> npt.NDArray[np.bool_]:
    """Where the second colour is, (H, W)."""
    period = max(_LEAST_PERIOD_PX, round(_PERIOD * size_px))
    rows, columns = np.arange(shape[0])[:, None], np.arange(shape[1])[None, :]
    if finish == "stripes":
        return np.asarray((rows + columns) % period >= _MAIN_SHARE * period)
    if finish == "checks":
        half = max(2, period // 2)
        return np.asarray((rows // half + columns // half) % 2 == 1)
    x, y = columns % period - (period - 1) / 2, rows % period - (period - 1) / 2
    return np.asarray(x**2 + y**2 <= (_DOT * period) ** 2)


def _solid(alpha: Image, rgb: RGB) -> Image:
    colour = cv2.merge([*(cv2.convertScaleAbs(alpha, alpha=part / 255) for part in rgb), alpha])
    return np.asarray(colour, np.uint8)
