"""Written words in several fonts: built-in ones, without any font file, and those of a user's library."""

import functools
import io
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from dreamomni.data.collage.assets.asset import AssetSource
from dreamomni.data.collage.palette import RGB
from dreamomni.data.collage.raster import tinted
from dreamomni.errors import DataError


@dataclass(frozen=True, slots=True)
class _Cut:
    """A variant of Pillow's face: stroke as a part of the letter height, stretch in width, and slant."""

    stroke: float = 0.0
    stretch: float = 1.0
    slant: float = 0.0


_CUTS = {
    "bold": _Cut(stroke=0.05),
    "bold-narrow": _Cut(stroke=0.05, stretch=0.72),
    "bold-slanted": _Cut(stroke=0.05, slant=0.25),
    "bold-wide": _Cut(stroke=0.05, stretch=1.35),
    "heavy": _Cut(stroke=0.075),
    "narrow": _Cut(stroke=0.02, stretch=0.7),
    "sans": _Cut(),
    "slanted": _Cut(slant=0.25),
    "wide": _Cut(stroke=0.02, stretch=1.4),
}
_OPENCV = {
    "complex": cv2.FONT_HERSHEY_COMPLEX,
    "script": cv2.FONT_HERSHEY_SCRIPT_COMPLEX,
    "simplex": cv2.FONT_HERSHEY_SIMPLEX,
}
_OPENCV_CAP_PX = 21.0
_MASTER_PX = 96
_LINE_GAP = 0.5

FONTS: tuple[str, ...] = tuple(sorted([*_CUTS, *_OPENCV]))


_MAX_FACES = 32


def font_licence(font: str) -> str:
    """SPDX name of the licence of a font."""
    if font in _CUTS:
        return "CC0-1.0"  # Aileron, inside Pillow
    # OpenCV 5 draws these names with a font of its own (Rubik); before, they were Hershey's strokes.
    return "OFL-1.1" if hasattr(cv2, "FontFace") else "LicenseRef-Hershey-Fonts"


def render_text(
    text: str, font: str, rgb: RGB, height_px: int, source: AssetSource | None = None
) -> npt.NDArray[np.uint8]:
    """Write printable ASCII words.

    Args:
        text: The words; line breaks start new lines, centred under each other.
        font: One of `FONTS`, or a font of a library, `<library>:<id>`.
        rgb: Colour of the ink.
        height_px: Height of a capital letter in pixels.
        source: Where fonts of libraries come from.

    Returns:
        (H, W, 4) uint8 premultiplied RGBA, cropped to the ink.

    Raises:
        DataError: There is no such font, the text has no ink or is not ASCII, or the height is below 4 px.
    """
    if font not in FONTS and (source is None or ":" not in font):
        raise DataError(f"there is no font {font!r}; the fonts are {', '.join(FONTS)}")
    if height_px < 4:
        raise DataError(f"letters of {height_px} px cannot be read; ask for at least 4 px")
    lines = text.split("\n")
    if not text.isascii() or not all(line.isprintable() and line.strip() for line in lines):
        raise DataError(f"the text {text!r} cannot be written; use printable ASCII with at least one letter")
    master = _stacked([_line_mask(line, font, source) for line in lines])
    scale = height_px / _MASTER_PX
    height, width = (max(1, round(side * scale)) for side in master.shape)
    mode = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    alpha = np.asarray(cv2.resize(master, (width, height), interpolation=mode), np.uint8)
    return tinted(alpha, rgb, alpha=True)


def _line_mask(line: str, font: str, source: AssetSource | None) -> npt.NDArray[np.uint8]:
    if font in _CUTS:
        return _pillow_mask(line, _CUTS[font])
    if font in _OPENCV:
        return _opencv_mask(line, font)
    assert source is not None
    return _library_mask(line, font, source)


def _stacked(lines: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """Lines under each other, centred, with equal gaps."""
    if len(lines) == 1:
        return lines[0]
    gap, width = round(_LINE_GAP * _MASTER_PX), max(line.shape[1] for line in lines)
    height = sum(line.shape[0] for line in lines) + gap * (len(lines) - 1)
    whole = np.zeros((height, width), np.uint8)
    top = 0
    for line in lines:
        left = (width - line.shape[1]) // 2
        whole[top : top + line.shape[0], left : left + line.shape[1]] = line
        top += line.shape[0] + gap
    return whole


def open_face(content: bytes, size_px: float) -> ImageFont.FreeTypeFont:
    """Open a TrueType or OpenType font.

    Raises:
        OSError: It is neither.
    """
    # Without complex shaping the same letters come out whatever libraries the machine has.
    return ImageFont.truetype(io.BytesIO(content), size_px, layout_engine=ImageFont.Layout.BASIC)


@functools.lru_cache(maxsize=_MAX_FACES)
def _face(font: str, source: AssetSource) -> ImageFont.FreeTypeFont:
    face = open_face(source.font(font), _MASTER_PX)
    _, top, _, bottom = face.getbbox("H")
    # Letters of all fonts are equally high, as the sizes of text are said in capitals.
    return face.font_variant(size=_MASTER_PX * _MASTER_PX / max(1.0, bottom - top))


@functools.lru_cache(maxsize=256)
def _library_mask(text: str, font: str, source: AssetSource) -> npt.NDArray[np.uint8]:
    face = _face(font, source)
    left, top, right, bottom = (int(edge) for edge in face.getbbox(text))
    canvas = Image.new("L", (right - left + 8, bottom - top + 8))
    ImageDraw.Draw(canvas).text((4 - left, 4 - top), text, fill=255, font=face)
    mask = np.asarray(canvas)
    if not mask.any():
        raise DataError(f"the font {font!r} has no letters for {text!r}; build the library without it")
    return _cropped(mask)


@functools.lru_cache(maxsize=256)
def _opencv_mask(text: str, font: str) -> npt.NDArray[np.uint8]:
    face, scale, pen = _OPENCV[font], _MASTER_PX / _OPENCV_CAP_PX, _MASTER_PX // 10
    (width, height), baseline = cv2.getTextSize(text, face, scale, pen)
    border = 2 * pen + _MASTER_PX // 2
    mask = np.zeros((height + baseline + 2 * border, width + 2 * border), np.uint8)
    cv2.putText(mask, text, (border, border + height), face, scale, 255, pen, cv2.LINE_AA)
    return _cropped(mask)


@functools.lru_cache(maxsize=256)
def _pillow_mask(text: str, cut: _Cut) -> npt.NDArray[np.uint8]:
    face = ImageFont.load_default(_MASTER_PX * 1.4)
    stroke = round(cut.stroke * _MASTER_PX)
    left, top, right, bottom = (int(edge) for edge in face.getbbox(text, stroke_width=stroke))
    canvas = Image.new("L", (right - left + 8, bottom - top + 8))
    ImageDraw.Draw(canvas).text((4 - left, 4 - top), text, fill=255, font=face, stroke_width=stroke)
    mask = _cropped(np.asarray(canvas))
    height, width = mask.shape
    affine = np.array([[cut.stretch, -cut.slant, cut.slant * height], [0.0, 1.0, 0.0]])
    side = (int(width * cut.stretch + cut.slant * height) + 2, height)
    return _cropped(np.asarray(cv2.warpAffine(mask, affine, side, flags=cv2.INTER_LINEAR), np.uint8))


def _cropped(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    x, y, width, height = cv2.boundingRect(mask)
    return np.ascontiguousarray(mask[y : y + height, x : x + width])
