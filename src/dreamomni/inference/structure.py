"""What each task makes of its request: the words and images that the model gets, the size, what is kept.

The words and pixels themselves are made by `tasks.conditioning`, which the data engine uses too.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from dreamomni.errors import RequestError
from dreamomni.tasks import conditioning
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.images import load_mask
from dreamomni.tasks.marks import choose_colour
from dreamomni.tasks.request import (
    BaseRequest,
    ControlRequest,
    DragRequest,
    EditRequest,
    InpaintRequest,
    MarkRequest,
    OutpaintRequest,
    PartialRequest,
    SubjectRequest,
)

# Maps of flat colours: a smooth filter would invent colours between them.
_FLAT_MAPS = ("segmentation",)


@dataclass(frozen=True, slots=True)
class Kept:
    """What of the result is put back as it came.

    Attributes:
        image: RGB, of the size of the result.
        mask: Mode "L", white where the model's pixels stay, black where the image's are put back.
    """

    image: Image.Image
    mask: Image.Image


@dataclass(frozen=True, slots=True)
class Structure:
    """What is left of a request when its task has been understood.

    Attributes:
        words: What the model reads.
        images: What the model sees, image 1 first, RGB.
        size: Of the result; None leaves it to the model.
        kept: What is put back, if anything.
        colour: Of the mark, for segment and detect.
        record: What the provenance says of it, JSON-able.
    """

    words: str
    images: tuple[Image.Image, ...]
    size: Size | None
    kept: Kept | None = None
    colour: str | None = None
    record: dict[str, Any] = field(default_factory=dict)


def result_size(request: BaseRequest, images: Sequence[Image.Image]) -> Size | None:
    """Return the size of the result, or None where the model decides it.

    That of image 1 or of a map, with its margins; for subjects the one asked for.
    """
    if request.size is not None:
        return request.size
    if not images or isinstance(request, SubjectRequest):
        return None
    width, height = images[0].size
    if isinstance(request, OutpaintRequest):
        left, top, right, bottom = request.margins
        return Size(width + left + right, height + top + bottom)
    return Size(width, height)


def understand(request: BaseRequest, images: Sequence[Image.Image]) -> Structure:
    """Turn a request into words and images.

    Args:
        request: What the user asks for; its size, if it has one, is possible.
        images: Its input images, loaded, in order.

    Raises:
        RequestError: The mask cannot be used.
    """
    size = result_size(request, images)
    mask = _load_mask(request, images)
    record: dict[str, Any] = {} if mask is None else {"mask": fingerprint(mask)}
    shown = list(images)
    if size is not None and images and not isinstance(request, OutpaintRequest | SubjectRequest):
        flat = isinstance(request, ControlRequest) and request.control in _FLAT_MAPS
        shown[0] = _resized(images[0], size, Image.Resampling.NEAREST if flat else Image.Resampling.LANCZOS)
        mask = None if mask is None else _resized(mask, size, Image.Resampling.NEAREST)
    words, colour = request.prompt, None
    kept = None if mask is None else Kept(shown[0], mask)
    match request:
        case InpaintRequest():
            assert mask is not None
            shown[0] = Image.fromarray(conditioning.fill_hole(np.asarray(shown[0]), np.asarray(mask)))
        case OutpaintRequest():
            canvas, margin = conditioning.grow_canvas(np.asarray(shown[0]), request.margins)
            shown[0] = Image.fromarray(canvas)
            kept = Kept(shown[0], Image.fromarray(margin))
            record["margins"] = list(request.margins)
        case EditRequest() | DragRequest():
            words = conditioning.drag_words(request.prompt, request.drags)
            if request.drags:
                record["drags"] = [list(drag) for drag in request.drags]
        case ControlRequest():
            words = conditioning.control_words(request.prompt, request.control)
            record["control"] = request.control
        case SubjectRequest():
            words = conditioning.subject_words(request.prompt, len(images))
        case MarkRequest():
            said = conditioning.mark_colour(request.prompt)
            colour = request.colour or said or choose_colour(np.asarray(shown[0]))
            words = conditioning.mark_words(request.task, request.prompt, colour)
            record["colour"] = colour
    if kept is not None:
        assert isinstance(request, PartialRequest)
        record["keep_outside"] = request.keep_outside
        kept = kept if request.keep_outside else None
    return Structure(words, tuple(shown), size, kept, colour, record)


def fingerprint(image: Image.Image) -> str:
    """Size and sha256 of the pixels: what an image is known by where no path may be told."""
    return f"{image.width}x{image.height} sha256:{hashlib.sha256(image.tobytes()).hexdigest()}"


def _load_mask(request: BaseRequest, images: Sequence[Image.Image]) -> Image.Image | None:
    if request.mask is None:
        return None
    if not images:
        raise RequestError("a mask needs the image that it belongs to")
    return load_mask(request.mask, Size(*images[0].size))


def _resized(image: Image.Image, size: Size, how: Image.Resampling) -> Image.Image:
    return image if image.size == size else image.resize(size, how)
