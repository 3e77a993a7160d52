"""From SVG text to pixel layers, kept in a cache folder of the user between runs."""

import hashlib
import io
import os
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import resvg_py
from PIL import Image

from dreamomni.data.collage.palette import RGB
from dreamomni.errors import DataError, OutputError
from dreamomni.storage import write_bytes

_CACHE_FORMAT = 1
_DIGEST_BYTES = 32
_HEADER_BYTES = 8
_CHANNELS = 5


@dataclass(frozen=True, slots=True)
class Layers:
    """A drawing split so that its main colour can be chosen.

    Attributes:
        detail: (H, W, 4) uint8, premultiplied RGBA of the drawing with a black main colour.
        weight: (H, W) uint8, how much of the main colour to add (255 = all of it).
    """

    detail: npt.NDArray[np.uint8]
    weight: npt.NDArray[np.uint8]

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.weight.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.weight.shape[0])

    @property
    def longest(self) -> int:
        """Longest side in pixels."""
        return max(self.width, self.height)

    def resized(self, size: tuple[int, int]) -> "Layers":
        """A smaller copy; ``size`` is (width, height)."""
        detail = cv2.resize(self.detail, size, interpolation=cv2.INTER_AREA)
        weight = cv2.resize(self.weight, size, interpolation=cv2.INTER_AREA)
        return _bounded(np.asarray(detail, dtype=np.uint8), np.asarray(weight, dtype=np.uint8))

    def coloured(self, colour: RGB) -> npt.NDArray[np.uint8]:
        """(H, W, 4) uint8 premultiplied RGBA with the main part painted in ``colour`` (sRGB 0-255)."""
        image = tinted(self.weight, colour)
        return np.asarray(cv2.add(self.detail, image, dst=image), dtype=np.uint8)


def tinted(weight: npt.NDArray[np.uint8], colour: RGB, *, alpha: bool = False) -> npt.NDArray[np.uint8]:
    """A colour as strong as a weight says, rounded to nearest.

    Args:
        weight: (H, W) uint8.
        colour: sRGB 0-255.
        alpha: Whether the weight is also the alpha; else alpha is 0.

    Returns:
        (H, W, 4) uint8, premultiplied.
    """
    # One pass for each channel and one to merge them: three times faster than a table of four channels.
    channels = [cv2.convertScaleAbs(weight, alpha=part / 255) for part in colour]
    channels.append(weight if alpha else np.zeros_like(weight))
    return np.asarray(cv2.merge(channels), dtype=np.uint8)


def load_layers(path: Path, svg: str, raster_px: int) -> Layers:
    """Layers of an SVG whose longest canvas side is ``raster_px``, cropped to what is drawn.

    A cached copy is used when there is a sound one; a damaged or missing one is rebuilt.

    Raises:
        DataError: the SVG cannot be drawn or draws nothing.
    """
    key = hashlib.sha256(f"{_CACHE_FORMAT}|{resvg_py.__version__}|{raster_px}|{svg}".encode()).hexdigest()
    for folder in _cache_folders():
        try:
            layers = _unpack((folder / f"{key}.layers").read_bytes())
        except OSError:
            continue
        if layers is not None:
            return layers
    layers = rasterise(path, svg, raster_px)
    packed = _pack(layers)
    for folder in _cache_folders():
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_bytes(folder / f"{key}.layers", packed)
        except (OSError, OutputError):
            continue
        break
    return layers


def rasterise(path: Path, svg: str, raster_px: int, *, recolourable: bool = True) -> Layers:
    """Draw an SVG into layers without any cache (see `load_layers`); ``path`` is for messages only."""
    black = _draw(path, svg, raster_px, "#000000")
    # A drawing with fixed colours is the same in white, so once is enough.
    white = _draw(path, svg, raster_px, "#ffffff") if recolourable else black
    alpha = black[..., 3]
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    if not rows.size:
        raise DataError(f"Sticker {path} draws nothing; give it a visible shape inside its viewBox.")
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    alpha = alpha[window].astype(np.float64)
    detail = black[window][..., :3] * (alpha[..., None] / 255.0)
    weight = (white[window][..., :3].mean(axis=-1) - black[window][..., :3].mean(axis=-1)) * (alpha / 255.0)
    rounded = np.rint(np.concatenate([detail, alpha[..., None]], axis=-1)).astype(np.uint8)
    return _bounded(rounded, np.rint(np.maximum(weight, 0.0)).astype(np.uint8))


def _bounded(detail: npt.NDArray[np.uint8], weight: npt.NDArray[np.uint8]) -> Layers:
    """Layers whose sum is at most alpha, as premultiplied colour must be; separate rounding may exceed it."""
    red, green, blue, alpha = cv2.split(detail)
    room = cv2.subtract(alpha, cv2.max(cv2.max(red, green), blue))
    return Layers(np.ascontiguousarray(detail), np.asarray(cv2.min(weight, room), dtype=np.uint8))


def _draw(path: Path, svg: str, raster_px: int, colour: str) -> npt.NDArray[np.uint8]:
    try:
        png = resvg_py.svg_to_bytes(
            svg_string=svg, width=raster_px, skip_system_fonts=True, style_sheet=f"svg {{ color: {colour} }}"
        )
    except ValueError as error:
        raise DataError(f"Sticker {path} cannot be drawn ({error}); mend or remove it.") from error
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"), dtype=np.uint8)


def _cache_folders() -> tuple[Path, ...]:
    """Where rasters are kept: the user's cache folder, else a private one in the temp folder."""
    base = os.environ.get("XDG_CACHE_HOME")
    # os.path.expanduser, unlike Path's, does not raise for an account without a home.
    user = Path(base or os.path.expanduser("~/.cache"))
    private = f"dreamomni-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    return user / "dreamomni" / "stickers", Path(tempfile.gettempdir()) / private / "stickers"


def _pack(layers: Layers) -> bytes:
    planes = np.concatenate([layers.detail, layers.weight[..., None]], axis=-1)
    header = layers.height.to_bytes(4, "big") + layers.width.to_bytes(4, "big")
    body = header + zlib.compress(planes.tobytes(), 6)
    return hashlib.sha256(body).digest() + body


def _unpack(packed: bytes) -> Layers | None:
    """Layers from a cache file's bytes; None when they are damaged."""
    digest, body = packed[:_DIGEST_BYTES], packed[_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        return None
    height, width = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
    planes = np.frombuffer(zlib.decompress(body[_HEADER_BYTES:]), dtype=np.uint8)
    planes = planes.reshape(height, width, _CHANNELS)
    return Layers(np.ascontiguousarray(planes[..., :4]), np.ascontiguousarray(planes[..., 4]))
