"""Pixels of things: from files with transparency, and from photographs with masks."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from dreamomni.data.collage.assets.candidate import SkippedAsset
from dreamomni.errors import DataError, RequestError
from dreamomni.tasks.images import load_image, load_rgba

_SOLID = 128
_BINARY = 0.98
MAX_PIXELS = 64_000_000


def read_bytes(path: Path) -> bytes:
    """Read a file.

    Raises:
        DataError: It is missing or cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def read_photo(path: Path) -> npt.NDArray[np.uint8]:
    """Read a photograph: (H, W, 3) uint8, sRGB, upright.

    Raises:
        DataError: It is missing, too large, or no image.
    """
    try:
        return np.asarray(load_image(path, max_pixels=MAX_PIXELS, min_side=1))
    except RequestError as error:
        raise DataError(str(error)) from error


def read_transparent(path: Path) -> npt.NDArray[np.uint8]:
    """Read an image with transparency: (H, W, 4) uint8, premultiplied, cropped to what is seen.

    Raises:
        DataError: It is missing, too large, no image, or has no transparency.
    """
    try:
        rgba = np.asarray(load_rgba(path, max_pixels=MAX_PIXELS, min_side=1))
    except RequestError as error:
        raise DataError(
            f"{error}: build photographs as --kind cutout with a mask, or as --kind background"
            if "transparent pixel" in str(error)
            else str(error)
        ) from error
    return premultiplied(rgba[..., :3], rgba[..., 3])


def read_mask(path: Path, photo: Path, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Read the mask of a photograph: (H, W) uint8, white is the thing.

    Raises:
        DataError: It is missing or no image, has another size than the photograph, or marks nothing.
    """
    try:
        grey = load_image(path, max_pixels=MAX_PIXELS, min_side=1, background=(0, 0, 0)).convert("L")
    except RequestError as error:
        raise DataError(f"the mask of {photo}: {error}") from error
    if grey.size != (width, height):
        raise DataError(
            f"the mask {path} is {grey.width}x{grey.height}, but {photo} is {width}x{height}; make them equal"
        )
    mask = np.asarray(grey)
    if not mask.any():
        raise DataError(f"the mask {path} is black everywhere; paint white where the thing is")
    return mask


def resized_mask(mask: npt.NDArray[np.uint8], width: int, height: int) -> npt.NDArray[np.uint8]:
    """Bring a mask to the size of its photograph."""
    if mask.shape == (height, width):
        return mask
    resized = Image.fromarray(mask).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def cut_out(photo: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Cut a thing out of a photograph.

    A mask of pure black and white gets an edge one pixel soft, as a camera would have drawn it.

    Args:
        photo: (H, W, 3) uint8.
        mask: (H, W) uint8, white is the thing.

    Returns:
        (h, w, 4) uint8, premultiplied, cropped to what is seen.
    """
    extremes = np.count_nonzero((mask == 0) | (mask == 255))
    x, y, width, height = cv2.boundingRect(np.asarray(mask >= _SOLID, np.uint8))
    if width == 0:
        raise SkippedAsset("empty mask")
    # One pixel more on each side, for the soft edge.
    top, left = max(0, y - 1), max(0, x - 1)
    window = np.s_[top : y + height + 1, left : x + width + 1]
    alpha = mask[window]
    if extremes >= _BINARY * mask.size:
        alpha = np.asarray(cv2.blur(alpha, (3, 3)), np.uint8)
    return premultiplied(photo[window], alpha)


def premultiplied(rgb: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(h, w, 4) uint8 premultiplied RGBA, cropped to what is seen."""
    x, y, width, height = cv2.boundingRect(alpha)
    window = np.s_[y : y + height, x : x + width]
    cropped = alpha[window]
    weight = cropped[..., None].astype(np.uint16)
    colour = (rgb[window].astype(np.uint16) * weight + 127) // 255
    return np.concatenate([colour.astype(np.uint8), cropped[..., None]], axis=-1)


def is_in_pieces(mask: npt.NDArray[np.uint8], least: float) -> bool:
    """Whether the largest connected part of a mask holds less than `least` of it."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(np.asarray(mask >= _SOLID, np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    return len(areas) > 1 and float(areas.max()) < least * float(areas.sum())
