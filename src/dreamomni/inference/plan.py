"""From a request to a plan: every open option decided, images loaded, sizes checked. No network, no tensor.

Whatever can be refused is refused here, before the model runs.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Any, TypeAlias

from PIL import Image

from dreamomni.errors import RequestError
from dreamomni.models.folder import ModelCard
from dreamomni.tasks.geometry import Size, check_size
from dreamomni.tasks.images import load_image
from dreamomni.tasks.request import EditRequest, Request, TextToImageRequest

_FAMILIAR_AREA = 4
"""Up to this many times the training area, a model is taken to be at home."""

ServedRequest: TypeAlias = TextToImageRequest | EditRequest


@dataclass(frozen=True, slots=True)
class Plan:
    """A request with nothing left open."""

    task: str
    prompt: str
    images: tuple[Image.Image, ...]
    """Input images, RGB, in order, at the size in which the model sees them (before padding to the grid)."""
    sources: tuple[str, ...]
    """Size and sha256 of the pixels of every image as it came; no path, for results are shared."""
    size: Size
    seeds: tuple[int, ...]
    """One for each image to make."""
    num_inference_steps: int
    guidance_scale: float
    image_guidance_scale: float

    @property
    def shape(self) -> tuple[Any, ...]:
        """What plans must have in common to run as one batch."""
        sizes = tuple(image.size for image in self.images)
        return (self.size, sizes, self.num_inference_steps, self.guidance_scale, self.image_guidance_scale)


def make_plan(request: Request, card: ModelCard, grid_px: int) -> Plan:
    """Decide every open option of a request for one model.

    Args:
        request: What the user asks for.
        card: What the model learned and which options it prefers.
        grid_px: Sides that the network takes are multiples of this many pixels. A size asked for must be one;
            input images need not be: they are padded and the result is cropped back.

    Raises:
        RequestError: The model did not learn the task, an image cannot be used, or a size is not possible.
    """
    if request.task not in card.tasks:
        raise RequestError(
            f"model {card.name!r} did not learn {request.task}; it learned {', '.join(card.tasks)}"
        )
    if not isinstance(request, ServedRequest):
        raise RequestError(f"{request.task} requests cannot be served yet: say text_to_image or edit")
    images = tuple(load_image(image) for image in request.images)
    sources = tuple(_fingerprint(image) for image in images)
    if card.max_images is not None and len(images) > card.max_images:
        raise RequestError(
            f"model {card.name!r} takes {card.max_images} input images, and the request has {len(images)}"
        )
    if request.size is not None:
        check_size(request.size, grid_px, card.pixel_budget)
        if images:
            images = (_resize(images[0], request.size), *images[1:])
    size = request.size or (Size(*images[0].size) if images else _base_size(card, grid_px))
    for number, image in enumerate(images, start=1):
        _check_area(f"image {number}", Size(*image.size), card, grid_px)
    return Plan(
        task=request.task,
        prompt=request.prompt,
        images=images,
        sources=sources,
        size=size,
        seeds=tuple(request.image_seed(number) for number in range(request.num_images)),
        num_inference_steps=_first(request.num_inference_steps, card.num_inference_steps),
        guidance_scale=_first(request.guidance_scale, card.guidance_scale),
        image_guidance_scale=_first(request.image_guidance_scale, card.image_guidance_scale)
        if images
        else 1.0,
    )


def doubts(plan: Plan, card: ModelCard) -> list[str]:
    """Return what the user should know before judging the result, one sentence each."""
    area = plan.size.num_pixels
    if area <= _FAMILIAR_AREA * card.base_size**2:
        return []
    return [
        f"{plan.size} is {area / card.base_size**2:.0f} times the area that model "
        f"{card.name!r} was trained at ({card.base_size}x{card.base_size}), so expect a poor result; "
        f"a size near {card.base_size}x{card.base_size} suits it better"
    ]


def _fingerprint(image: Image.Image) -> str:
    return f"{image.width}x{image.height} sha256:{hashlib.sha256(image.tobytes()).hexdigest()}"


def _first(asked: Any, preferred: Any) -> Any:
    return preferred if asked is None else asked


def _base_size(card: ModelCard, grid_px: int) -> Size:
    side = max(grid_px, card.base_size // grid_px * grid_px)
    return Size(side, side)


def _resize(image: Image.Image, size: Size) -> Image.Image:
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def _check_area(name: str, size: Size, card: ModelCard, grid_px: int) -> None:
    if size.num_pixels <= card.pixel_budget:
        return
    scale = math.sqrt(card.pixel_budget / size.num_pixels)
    fit = Size(*(max(grid_px, int(side * scale) // grid_px * grid_px) for side in size))
    remedy = f"ask for a smaller result, such as {fit}" if name == "image 1" else f"scale it to {fit} or less"
    raise RequestError(
        f"{name} is {size}, which is {size.num_pixels:,} pixels, but model {card.name!r} takes at most "
        f"{card.pixel_budget:,}: {remedy}"
    )
