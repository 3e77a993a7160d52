"""Pixels to bytes and back: lossless PNG, one-bit masks, instance maps, JPEG.

The PNG encoder is our own (`png`). What decides the bytes belongs to a data set's identity
(`encoder_versions`).
"""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.data.shards import png
from dreamomni.errors import DataError

ImageFormat = Literal["auto", "png", "jpeg", "jpeg420"]
"""How pictures are stored; "auto" is PNG, and JPEG 4:4:4 where the background is a photograph."""
IMAGE_FORMATS: tuple[str, ...] = get_args(ImageFormat)
PictureCodec = Literal["png", "jpeg", "jpeg420"]

JPEG_QUALITY = 95
_PNG_END, _JPEG_END = b"IEND\xaeB`\x82", b"\xff\xd9"
_SAMPLING = {
    "jpeg": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "jpeg420": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
}
Pixels = npt.NDArray[np.uint8]


def encoder_versions() -> dict[str, str]:
    """Name what decides the bytes of PNG and JPEG here, with versions."""
    return {"png": f"runs {png.fingerprint()}", "jpeg": f"opencv {cv2.__version__} quality {JPEG_QUALITY}"}


def extension(codec: PictureCodec) -> str:
    """Return the file extension of a codec, without a dot."""
    return "png" if codec == "png" else "jpg"


def encode_pictures(pictures: Sequence[Pixels], codec: PictureCodec) -> list[bytes]:
    """Encode colours; pictures that look alike cost less together than one by one.

    Args:
        pictures: (H, W, 3) uint8 each, sRGB.
        codec: PNG is exact; JPEG is 4:4:4 ("jpeg") or 4:2:0 ("jpeg420").
    """
    return png.encode_pngs(pictures) if codec == "png" else [_encode_jpeg(one, codec) for one in pictures]


def encode_mask(mask: Pixels) -> bytes:
    """Encode a mask as a PNG of one bit a pixel.

    Args:
        mask: (H, W) uint8, 0 or 255.

    Raises:
        DataError: Another value occurs, which one bit cannot hold.
    """
    # As signed numbers 255 is -1, so that one look for the ends of the range is enough.
    low, high, _, _ = cv2.minMaxLoc(mask.view(np.int8))
    if low < -1 or high > 0:
        raise DataError("a mask may hold 0 and 255 only")
    return png.encode_bits(mask)


def encode_ids(maps: Sequence[npt.NDArray[Any]]) -> list[bytes]:
    """Encode instance maps as grey PNGs whose levels are the numbers.

    Args:
        maps: (H, W) integers from 0 to 255 each.

    Raises:
        DataError: A number does not fit into eight bits.
    """
    for ids in maps:
        low, high, _, _ = cv2.minMaxLoc(ids)
        if low < 0 or high > 255:
            raise DataError(f"an instance map holds numbers from {low:g} to {high:g}; a file holds 0 to 255")
    return png.encode_pngs([ids.astype(np.uint8) for ids in maps])


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


def _encode_jpeg(pixels: Pixels, codec: PictureCodec) -> bytes:
    flags = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, _SAMPLING[codec]]
    done, encoded = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), flags)
    if not done:
        raise DataError(f"a picture of {pixels.shape[1]}x{pixels.shape[0]} could not be encoded as JPEG")
    return bytes(encoded.data)


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
