"""Procedural backgrounds: calm enough that the words "on a cream background" stay true."""

import math

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.palette import RGB
from dreamomni.data.collage.scene import BackgroundLook
from dreamomni.tasks.geometry import Size

_SHADE = 0.94
_LARGE_PX = 128


def draw_background(style: str, colour: str, rgb: RGB, draws: Draws) -> BackgroundLook:
    """Draw the free parameters of a background.

    Args:
        style: One of the styles of `CollageRecipe.background_styles`.
        colour: Name of the colour that captions use.
        rgb: The colour itself.
        draws: Stream of the background.
    """
    angle, period, grain = draws.uniform(0.0, 360.0), draws.uniform(0.06, 0.16), draws.integer(0, 2**31 - 1)
    # The second colour is the first in shade, so that one colour word fits the whole canvas.
    red, green, blue = (round(channel * _SHADE) for channel in rgb)
    return BackgroundLook(style, colour, rgb, (red, green, blue), angle, period, grain)


def paint_background(look: BackgroundLook, size: Size) -> npt.NDArray[np.uint8]:
    """Paint a background of any style but "photo".

    Large canvases are painted from fewer pixels than they have: gradients and noise are enlarged, stripes and
    dots repeat their rows. On a canvas of less than 128 pixels every pixel is computed.

    Returns:
        (height, width, 3) uint8, sRGB.
    """
    if look.style == "plain":
        return flat(look.first, size)
    return _PAINTERS[look.style](look, size)


def flat(rgb: RGB, size: Size) -> npt.NDArray[np.uint8]:
    """(height, width, 3) uint8 of one colour, many times faster than assigning it to an array."""
    if min(size) < _LARGE_PX:
        pixels = bytearray(bytes(rgb) * size.num_pixels)
        return np.frombuffer(pixels, np.uint8).reshape(size.height, size.width, 3)
    corner = np.array([[rgb]], np.uint8)
    right, down = size.width - 1, size.height - 1
    return np.asarray(cv2.copyMakeBorder(corner, 0, down, 0, right, cv2.BORDER_REPLICATE), np.uint8)


def _mixed(look: BackgroundLook, share: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """From the share (H, W) of the second colour to pixels (H, W, 3)."""
    channels = [
        cv2.addWeighted(share, second - first, share, 0.0, first, dtype=cv2.CV_8U)
        for first, second in zip(look.first, look.second, strict=True)
    ]
    return np.asarray(cv2.merge(channels), np.uint8)


def _axes(size: Size, step: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Centres of every `step`-th cell along each axis, in pixels from the centre of the canvas."""
    x = (np.arange(-(-size.width // step), dtype=np.float32) + 0.5) * step - size.width / 2
    y = (np.arange(-(-size.height // step), dtype=np.float32) + 0.5) * step - size.height / 2
    return x.astype(np.float32), y.astype(np.float32)


def _gradient(look: BackgroundLook, size: Size) -> npt.NDArray[np.uint8]:
    step = 8 if min(size) >= _LARGE_PX else 1
    cosine, sine = _direction(look)
    x, y = _axes(size, step)
    along = (x * cosine)[None, :] + (y * sine)[:, None]
    reach = abs(float(cosine)) * (size.width - 1) / 2 + abs(float(sine)) * (size.height - 1) / 2
    share = along / np.float32(2 * reach) + np.float32(0.5)
    return _enlarged(_mixed(look, np.clip(share, 0.0, 1.0)), size, step)


def _enlarged(cells: npt.NDArray[np.uint8], size: Size, step: int) -> npt.NDArray[np.uint8]:
    if step == 1:
        return cells
    whole = (cells.shape[1] * step, cells.shape[0] * step)
    pixels = np.asarray(cv2.resize(cells, whole, interpolation=cv2.INTER_LINEAR), np.uint8)
    return np.ascontiguousarray(pixels[: size.height, : size.width])


def _noise(look: BackgroundLook, size: Size) -> npt.NDArray[np.uint8]:
    cells = max(2, round(1.0 / look.period))
    draws = Draws(look.noise_seed, "noise")
    grid = np.array([draws.unit() for _ in range(cells * cells)], np.float32).reshape(cells, cells)
    if min(size) < _LARGE_PX:
        return _mixed(look, np.asarray(cv2.resize(grid, size, interpolation=cv2.INTER_LINEAR), np.float32))
    small = Size(size.width // 4, size.height // 4)
    share = np.asarray(cv2.resize(grid, small, interpolation=cv2.INTER_LINEAR), np.float32)
    return np.asarray(cv2.resize(_mixed(look, share), size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _direction(look: BackgroundLook) -> tuple[np.float32, np.float32]:
    radians = math.radians(look.angle)
    return np.float32(math.cos(radians)), np.float32(math.sin(radians))


def _stripes(look: BackgroundLook, size: Size) -> npt.NDArray[np.uint8]:
    period = max(look.period * min(size), 4.0)
    cosine, sine = _direction(look)
    x, y = _axes(size, 1)
    phases, rows = _phases(y * sine, period, size)
    wave = np.abs((((x * cosine)[None, :] + phases[:, None]) / np.float32(period)) % 1.0 - 0.5) * 2.0 - 0.5
    # A ramp one pixel wide instead of a step: stripes without jagged edges.
    share = np.clip(wave * np.float32(period / 2) + np.float32(0.5), 0.0, 1.0)
    return _repeated(_mixed(look, share), rows)


def _dots(look: BackgroundLook, size: Size) -> npt.NDArray[np.uint8]:
    period = np.float32(max(look.period * min(size), 5.0))
    x, y = (np.arange(side, dtype=np.float32) + np.float32(0.5) for side in size)
    phases, rows = _phases(y, float(period), size)
    x, phases = x % period - period / 2, phases % period - period / 2
    distance = np.sqrt(x[None, :] ** 2 + phases[:, None] ** 2)
    return _repeated(_mixed(look, np.clip(period * np.float32(0.25) - distance + 0.5, 0.0, 1.0)), rows)


def _phases(
    offsets: npt.NDArray[np.float32], period: float, size: Size
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.intp] | None]:
    """Offsets (K,) that rows of a periodic pattern need, and which of them each row (H,) takes.

    Rows of a large canvas take the nearest of offsets a third of a pixel apart; None is each row its own.
    """
    count = math.ceil(3 * period)
    if min(size) < _LARGE_PX or count >= len(offsets):
        return offsets, None
    rows = np.rint(offsets * np.float32(count / period)).astype(np.intp) % count
    return np.arange(count, dtype=np.float32) * np.float32(period / count), rows


def _repeated(pixels: npt.NDArray[np.uint8], rows: npt.NDArray[np.intp] | None) -> npt.NDArray[np.uint8]:
    return pixels if rows is None else pixels.take(rows, axis=0)


_PAINTERS = {"gradient": _gradient, "stripes": _stripes, "dots": _dots, "noise": _noise}
