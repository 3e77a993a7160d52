"""Pixels to bytes and back: lossless PNG, one-bit masks, instance maps, JPEG.

The PNG encoder is ours: one filter for the whole picture, then one pass of deflate by zlib. ISA-L is ten
times as fast, but now and then gives other bytes for the same input, and shards must be equal to the byte
(docs/log/2026-11-22-isal.md). Which encoder wrote a data set belongs to its identity (`encoder_versions`).
"""

import struct
import zlib
from typing import Any, Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.errors import DataError

ImageFormat = Literal["auto", "png", "jpeg", "jpeg420"]
"""How pictures are stored; "auto" is PNG, and JPEG 4:4:4 where the background is a photograph."""
IMAGE_FORMATS: tuple[str, ...] = get_args(ImageFormat)
PictureCodec = Literal["png", "jpeg", "jpeg420"]

JPEG_QUALITY = 95
_LEVEL = 1
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_END, _JPEG_END = b"IEND\xaeB`\x82", b"\xff\xd9"
_GREY, _RGB = 0, 2
_NO_FILTER, _UP_FILTER = 0, 2
_SAMPLE_STRIDE = 16
_REPEATING = 0.6
_SAMPLING = {
    "jpeg": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "jpeg420": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
}
Pixels = npt.NDArray[np.uint8]


def encoder_versions() -> dict[str, str]:
    """Name what decides the bytes of PNG and JPEG here, with versions."""
    deflate = f"zlib {zlib.ZLIB_RUNTIME_VERSION} level {_LEVEL}"
    return {"png": deflate, "jpeg": f"opencv {cv2.__version__} quality {JPEG_QUALITY}"}


def extension(codec: PictureCodec) -> str:
    """Return the file extension of a codec, without a dot."""
    return "png" if codec == "png" else "jpg"


def encode_picture(pixels: Pixels, codec: PictureCodec) -> bytes:
    """Encode colours.

    Args:
        pixels: (H, W, 3) uint8, sRGB.
        codec: PNG is exact; JPEG is 4:4:4 ("jpeg") or 4:2:0 ("jpeg420").
    """
    if codec == "png":
        return encode_png(pixels)
    flags = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, _SAMPLING[codec]]
    done, encoded = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), flags)
    if not done:
        raise DataError(f"a picture of {pixels.shape[1]}x{pixels.shape[0]} could not be encoded as JPEG")
    return bytes(encoded.data)


def encode_png(pixels: Pixels) -> bytes:
    """Encode 8-bit pixels without loss.

    Args:
        pixels: (H, W, 3) or (H, W) uint8.
    """
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels).reshape(height, -1)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    if _repeats(rows):
        filtered[:, 0] = _NO_FILTER
        filtered[:, 1:] = rows
    else:
        filtered[:, 0] = _UP_FILTER
        filtered[0, 1:] = rows[0]
        np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    return _png(width, height, 8, _RGB if pixels.ndim == 3 else _GREY, filtered)


def encode_mask(mask: Pixels) -> bytes:
    """Encode a mask as a PNG of one bit a pixel.

    Args:
        mask: (H, W) uint8, 0 or 255.

    Raises:
        DataError: Another value occurs, which one bit cannot hold.
    """
    if np.count_nonzero(mask) != np.count_nonzero(mask == 255):
        raise DataError("a mask may hold 0 and 255 only")
    packed = np.packbits(mask, axis=1)
    filtered = np.zeros((mask.shape[0], packed.shape[1] + 1), np.uint8)
    filtered[:, 1:] = packed
    return _png(mask.shape[1], mask.shape[0], 1, _GREY, filtered)


def encode_ids(ids: npt.NDArray[Any]) -> bytes:
    """Encode an instance map as a grey PNG whose levels are the numbers.

    Args:
        ids: (H, W) integers from 0 to 255.

    Raises:
        DataError: A number does not fit into eight bits.
    """
    low, high, _, _ = cv2.minMaxLoc(ids)
    if low < 0 or high > 255:
        raise DataError(f"an instance map holds numbers from {low:g} to {high:g}; a file holds 0 to 255")
    return encode_png(ids.astype(np.uint8))


def decode_picture(content: bytes, name: str) -> Pixels:
    """Decode PNG or JPEG to (H, W, 3) uint8, sRGB.

    Raises:
        DataError: The content is damaged; the message starts with `name`.
    """
    pixels = _decode(content, name, cv2.IMREAD_COLOR)
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)


def decode_grey(content: bytes, name: str) -> Pixels:
    """Decode a mask or an instance map to (H, W) uint8; white of a one-bit mask is 255.

    Raises:
        DataError: The content is damaged; the message starts with `name`.
    """
    return _decode(content, name, cv2.IMREAD_GRAYSCALE)


def choose_codec(image_format: ImageFormat, *, photo: bool) -> PictureCodec:
    """Turn a choice of the user into a codec for one sample, by whether photographs are in it."""
    if image_format == "auto":
        return "jpeg" if photo else "png"
    return image_format


def _repeats(rows: Pixels) -> bool:
    """Whether most bytes equal the one above: deflate finds whole rows again, and a filter would harm."""
    below, above = (
        rows[_SAMPLE_STRIDE // 2 :: _SAMPLE_STRIDE],
        rows[_SAMPLE_STRIDE // 2 - 1 :: _SAMPLE_STRIDE],
    )
    same = np.count_nonzero(below == above[: len(below)])
    return bool(same > _REPEATING * below.size)


def _png(width: int, height: int, depth: int, colour: int, filtered: Pixels) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = _deflate(filtered)
    return b"".join((_SIGNATURE, *_chunk(b"IHDR", header), *_chunk(b"IDAT", body), *_chunk(b"IEND", b"")))


def _deflate(content: Pixels) -> bytes:
    return zlib.compress(content.data, _LEVEL)


def _chunk(name: bytes, content: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    checksum = zlib.crc32(content, zlib.crc32(name))
    return struct.pack(">I", len(content)), name, content, struct.pack(">I", checksum)


def _decode(content: bytes, name: str, mode: int) -> Pixels:
    # The decoder fills up what is missing from a file that was cut short, and calls that a success.
    whole = content.endswith((_PNG_END, _JPEG_END))
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), mode) if whole else None
    except cv2.error:
        pixels = None
    if pixels is None:
        raise DataError(f"{name} is damaged or cut short and cannot be read")
    return np.asarray(pixels, np.uint8)
