"""A planned row to a training sample: pictures decoded by the one loader, and fitted to their buckets."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dreamomni.data.external.cache import cache_folder
from dreamomni.data.external.cells import Picture, open_picture, read_picture
from dreamomni.data.external.fit import Rectangle, crop_of, fit_mask, fit_picture, same_crop, same_shape
from dreamomni.data.external.plan import Plan
from dreamomni.errors import DataError, RequestError
from dreamomni.tasks.geometry import Size, nearest_bucket
from dreamomni.tasks.images import decode_image, decode_layers, read_size
from dreamomni.tasks.sample import TrainingSample

MAX_PIXELS = 2**26
"""Largest picture: larger than a camera's, small enough to be decoded by many workers at once."""
_COLOURED = 24
"""Difference of two channels from which a pixel of a mask is coloured, of 255."""
_PAINTED = 32
"""Difference from the source from which a pixel counts as painted over, of 255."""


def measure(plan: Plan) -> tuple[Size, ...]:
    """Sizes of the target and of every input image, upright, from their headers.

    Raises:
        DataError: A picture is missing or is no image; image 1 of an edit or its mask has another shape.
    """
    sizes = (
        _measure(plan.target, "target"),
        *(_measure(image, f"image {number}") for number, image in enumerate(plan.images, start=1)),
    )
    check_shapes(plan, sizes)
    if plan.mask is not None:
        mask = _measure(plan.mask, "mask")
        if not same_shape(mask, sizes[1]):
            raise DataError(f"the mask is {mask}, but image 1 is {sizes[1]}; make their shapes equal")
    return sizes


def check_shapes(plan: Plan, sizes: Sequence[Size]) -> None:
    """Refuse an image 1 that cannot show the place of the target.

    Raises:
        DataError: Its shape is another one.
    """
    if plan.is_aligned and not same_shape(sizes[0], sizes[1]):
        raise DataError(
            f"image 1 is {sizes[1]} and the target {sizes[0]}: an edit keeps the shape of image 1; crop them "
            f"alike, or set `task: subject` if image 1 is a reference"
        )


def check_pixels(plan: Plan) -> None:
    """Decode every picture, to find those that are cut short.

    Raises:
        DataError: One cannot be decoded.
    """
    _picture(plan.target, "target")
    for number, image in enumerate(plan.images, start=1):
        _picture(image, f"image {number}")
    if plan.mask is not None:
        _mask(plan.mask, _picture(plan.images[0], "image 1"))


def bucket_sizes(plan_sizes: Sequence[Size], is_aligned: bool, buckets: tuple[Size, ...]) -> tuple[Size, ...]:
    """Sizes that the target and the images get: image 1 of an edit that of the target, others their own.

    Args:
        plan_sizes: Of the target and of every input image.
        is_aligned: Whether image 1 shows the place of the target.
        buckets: What there is.
    """
    target = _bucket(plan_sizes[0], buckets)
    return target, *(
        target if is_aligned and number == 0 else _bucket(size, buckets)
        for number, size in enumerate(plan_sizes[1:])
    )


@lru_cache(maxsize=1 << 16)
def _bucket(size: Size, buckets: tuple[Size, ...]) -> Size:
    return nearest_bucket(size, buckets)


def make_sample(
    plan: Plan,
    sizes: Sequence[Size],
    fitted: Sequence[Size],
    *,
    key: str,
    index: int,
    licence: str | None,
    details: dict[str, Any],
) -> TrainingSample:
    """Decode a row.

    Args:
        plan: The row.
        sizes: Of its pictures as `measure` told them.
        fitted: What `bucket_sizes` made of them.
        key: Of the sample.
        index: Of the sample in its set.
        licence: Of rows that name none.
        details: What to note about it.

    Raises:
        DataError: A picture cannot be decoded, or has another size than before.
    """
    target = _picture(plan.target, "target")
    images = [_picture(image, f"image {number}") for number, image in enumerate(plan.images, start=1)]
    for name, image, size in zip(("target", *_numbered(images)), (target, *images), sizes, strict=True):
        if image.size != size:
            raise DataError(
                f"{name} is {image.width}x{image.height}, but it was {size} when the table was first opened: "
                f"if it was changed, delete {cache_folder()}, else save it anew"
            )
    crop = crop_of(sizes[0], fitted[0])
    crops: list[Rectangle] = [
        same_crop(crop, sizes[0], size) if plan.is_aligned and number == 0 else crop_of(size, bucket)
        for number, (size, bucket) in enumerate(zip(sizes[1:], fitted[1:], strict=True))
    ]
    mask = None
    if plan.mask is not None:
        found = _mask(plan.mask, images[0])
        mask = fit_mask(found, same_crop(crop, sizes[0], Size(found.shape[1], found.shape[0])), fitted[0])
    licence = plan.licence or licence
    return TrainingSample(
        key=key,
        task=plan.task,
        kind=plan.task,
        target=fit_picture(target, crop, fitted[0]),
        images=tuple(
            fit_picture(image, part, bucket)
            for image, part, bucket in zip(images, crops, fitted[1:], strict=True)
        ),
        mask=mask,
        instruction=plan.instruction,
        caption=plan.caption,
        objects=(),
        image_objects=(),
        relations=(),
        details=details | {"scale": round(fitted[0].width / (crop[2] - crop[0]), 4)},
        licences=(licence,) if licence else (),
        seed=0,
        index=index,
    )


def _numbered(images: Sequence[Image.Image]) -> list[str]:
    return [f"image {number}" for number in range(1, len(images) + 1)]


def _measure(picture: Picture, name: str) -> Size:
    try:
        with open_picture(picture) as file:
            return read_size(file, _called(picture, name), max_pixels=MAX_PIXELS)
    except RequestError as error:
        raise DataError(str(error)) from None
    except DataError as error:  # it starts with the file
        raise DataError(f"{name} {error}") from None


def _picture(picture: Picture, name: str) -> Image.Image:
    try:
        return decode_image(read_picture(picture), _called(picture, name), max_pixels=MAX_PIXELS)
    except RequestError as error:
        raise DataError(str(error)) from None
    except DataError as error:
        raise DataError(f"{name} {error}") from None


def _mask(picture: Picture, source: Image.Image) -> npt.NDArray[np.bool_]:
    """Where image 1 may change, (H, W).

    A mask may be a picture in black and white (white changes), one with holes (what is transparent changes),
    or image 1 painted over (what differs changes).
    """
    try:
        rgb, alpha = decode_layers(read_picture(picture), _called(picture, "mask"), max_pixels=MAX_PIXELS)
    except RequestError as error:
        raise DataError(str(error)) from None
    except DataError as error:
        raise DataError(f"mask {error}") from None
    if alpha is not None and np.asarray(alpha).min() < 128:
        return np.asarray(alpha) < 128
    pixels = np.asarray(rgb).astype(np.int16)
    if ((pixels.max(axis=2) - pixels.min(axis=2)) > _COLOURED).mean() < 0.01:
        return pixels.mean(axis=2) >= 128
    if rgb.size != source.size:
        raise DataError(
            f"the mask is a coloured picture of {rgb.width}x{rgb.height}: it can only be image 1 painted "
            f"over, but that is {source.width}x{source.height}"
        )
    painted = np.abs(pixels - np.asarray(source)).max(axis=2) > _PAINTED
    if not 0 < painted.mean() < 0.95:
        raise DataError(
            "the mask is a coloured picture that differs from image 1 in "
            f"{painted.mean():.0%} of its pixels: save it in black and white"
        )
    return painted


def _called(picture: Picture, name: str) -> str:
    return f"{name} ({picture})" if isinstance(picture, Path) else name
