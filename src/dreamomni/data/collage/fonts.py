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
from dreamomni.errors import DataError


@dataclass(frozen=True, slots=True)
class _Cut:
    """A variant of Pillow's face: stroke as a part of the letter height, stretch in width, and slant."""

    stroke: float = 0.0
    stretch: float = 1.0
    slant: float = 0.0


_CUTS = {
    "bold": _Cut(stroke=0.05),
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
    """Write printable ASCII words on one line.

    Args:
        text: The words.
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
    if not text.isascii() or not text.isprintable() or not text.strip():
        raise DataError(f"the text {text!r} cannot be written; use printable ASCII with at least one letter")
    if font in _CUTS:
        master = _pillow_mask(text, _CUTS[font])
    elif font in _OPENCV:
        master = _opencv_mask(text, font)
    else:
        assert source is not None
        master = _library_mask(text, font, source)
    scale = height_px / _MASTER_PX
    height, width = (max(1, round(side * scale)) for side in master.shape)
    mode = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    alpha = np.asarray(cv2.resize(master, (width, height), interpolation=mode), np.uint16)
    image = np.empty((height, width, 4), np.uint8)
    image[..., :3] = (alpha[..., None] * np.array(rgb, np.uint16) + 127) // 255
    image[..., 3] = alpha
    return image


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
