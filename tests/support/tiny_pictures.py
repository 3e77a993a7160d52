"""Small pictures that can be told apart, and as bytes of image files."""

from io import BytesIO

import numpy as np
from PIL import Image

SIZE = (96, 64)


def picture(number: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """A smooth picture that no other number has."""
    rng = np.random.default_rng(number)
    corners = rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)
    return Image.fromarray(corners).resize(size, Image.Resampling.BICUBIC)


def encode(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    """The bytes of an image file."""
    buffer = BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


def png(number: int, size: tuple[int, int] = SIZE) -> bytes:
    """`picture` as a PNG file."""
    return encode(picture(number, size))
