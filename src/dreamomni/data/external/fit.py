"""How a picture becomes the size of a bucket: scaled to cover it, and cropped at the centre."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from dreamomni.tasks.geometry import Size

Rectangle = tuple[float, float, float, float]
"""x0, y0, x1, y1 on the continuous axes where pixel i covers i to i + 1."""


def crop_of(size: Size, bucket: Size) -> Rectangle:
    """The largest rectangle of the bucket's shape in the middle of a picture.

    Args:
        size: Of the picture.
        bucket: The size that it shall have.
    """
    scale = min(size.width / bucket.width, size.height / bucket.height)
    width, height = min(scale * bucket.width, size.width), min(scale * bucket.height, size.height)
    x0, y0 = (size.width - width) / 2, (size.height - height) / 2
    return x0, y0, min(x0 + width, size.width), min(y0 + height, size.height)


def same_crop(crop: Rectangle, of: Size, size: Size) -> Rectangle:
    """The part of a picture of `size` that a crop of a picture `of` another size stands for."""
    x, y = size.width / of.width, size.height / of.height
    return (crop[0] * x, crop[1] * y, min(crop[2] * x, size.width), min(crop[3] * y, size.height))


def fit_picture(image: Image.Image, crop: Rectangle, bucket: Size) -> npt.NDArray[np.uint8]:
    """Cut and scale a picture.

    Args:
        image: Mode "RGB".
        crop: The part to keep.
        bucket: The size to make.

    Returns:
        uint8 (H, W, 3); the very pixels where nothing is to be scaled.
    """
    # A picture that is much larger is first halved by whole factors, which the eye cannot tell.
    return np.array(image.resize(bucket, Image.Resampling.LANCZOS, box=crop, reducing_gap=3.0))


def fit_mask(mask: npt.NDArray[np.bool_], crop: Rectangle, bucket: Size) -> npt.NDArray[np.uint8]:
    """Cut and scale a mask: a pixel is white where at least half of what it covers is.

    Args:
        mask: (H, W).
        crop: The part to keep.
        bucket: The size to make.

    Returns:
        uint8 (H, W), 0 or 255.
    """
    grey = Image.fromarray(mask.astype(np.uint8) * 255)
    covered = np.asarray(grey.resize(bucket, Image.Resampling.BOX, box=crop))
    return np.where(covered >= 128, np.uint8(255), np.uint8(0))


def same_shape(first: Size, second: Size) -> bool:
    """Whether two pictures may show the same frame: equal sides but for 1 % or a pixel of rounding."""
    wide, narrow = sorted((first, second), key=lambda size: size.num_pixels, reverse=True)
    scale = narrow.width / wide.width
    return abs(wide.height * scale - narrow.height) <= max(1.0, 0.01 * narrow.height)
