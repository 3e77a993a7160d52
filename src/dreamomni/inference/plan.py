"""From a request to a plan: every open option decided, images loaded, sizes checked. No network, no tensor.

Whatever can be refused is refused here, before the model runs.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from dreamomni.errors import RequestError
from dreamomni.inference.adapters import choose_adapter
from dreamomni.inference.structure import Kept, fingerprint, result_size, understand
from dreamomni.models.folder import ModelCard
from dreamomni.tasks.geometry import Size, check_size
from dreamomni.tasks.images import load_image
from dreamomni.tasks.references import check_references
from dreamomni.tasks.request import ControlRequest, OutpaintRequest, Request, SubjectRequest

_FAMILIAR_AREA = 4
"""Up to this many times the training area, a model is taken to be at home."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A request with nothing left open."""

    task: str
    prompt: str
    words: str
    """What the model reads: the prompt, and what the task adds to it."""
    images: tuple[Image.Image, ...]
    """Input images, RGB, in order, as the model sees them (before padding to the grid): holes filled."""
    sources: tuple[str, ...]
    """Size and sha256 of the pixels of every image as it came; no path, for results are shared."""
    size: Size
    seeds: tuple[int, ...]
    """One for each image to make."""
    num_inference_steps: int
    guidance_scale: float
    image_guidance_scale: float
    kept: Kept | None = None
    """What of the result is put back as it came."""
    colour: str | None = None
    """Of the mark, for segment and detect."""
    structure: Mapping[str, Any] = field(default_factory=dict)
    """What the provenance says of drags, margins, masks and the like."""
    adapter: str | None = None
    """The LoRA that is on; None is the base model."""
    rewrite: bool = False
    """Whether a rewriter is wanted, and has references to look at."""
    revised_prompt: str | None = None
    """What a rewriter made of the prompt."""
    warnings: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[Any, ...]:
        """What plans must have in common to run as one batch."""
        sizes = tuple(image.size for image in self.images)
        options = (self.num_inference_steps, self.guidance_scale, self.image_guidance_scale)
        return (self.size, sizes, *options, self.adapter)

    @property
    def num_pixels(self) -> int:
        """Pixels of one result and all its input images, which share the network's memory."""
        return self.size.num_pixels + sum(image.width * image.height for image in self.images)


def check_request(request: Request, card: ModelCard) -> None:
    """Refuse what a model did not learn. It takes the card alone, so it can come before the weights.

    Raises:
        RequestError: The model does not know the task or the kind of map, or does not take so many images.
    """
    if request.task not in card.tasks:
        raise RequestError(
            f"model {card.name!r} did not learn {request.task}; it learned {', '.join(card.tasks)}"
        )
    if isinstance(request, ControlRequest) and request.control not in (card.controls or (request.control,)):
        raise RequestError(
            f"model {card.name!r} did not learn to follow a {request.control} map; it learned "
            f"{', '.join(card.controls or ())}"
        )
    if card.max_images is not None and len(request.images) > card.max_images:
        raise RequestError(
            f"model {card.name!r} takes {card.max_images} input images, and the request has "
            f"{len(request.images)}"
        )


def make_plan(request: Request, card: ModelCard, grid_px: int, adapters: Collection[str] = ()) -> Plan:
    """Decide every open option of a request for one model.

    Args:
        request: What the user asks for.
        card: What the model learned and which options it prefers.
        grid_px: Sides that the network takes are multiples of this many pixels. A size asked for must be one;
            input images need not be: they are padded and the result is cropped back.
        adapters: The LoRAs that the model has.

    Raises:
        RequestError: The model did not learn the task, an image cannot be used, the prompt names an image
            that is not there, a size is not possible, or there is no such LoRA.
    """
    check_request(request, card)
    check_references(request.prompt, len(request.images))
    adapter = choose_adapter(request, adapters)
    loaded = tuple(load_image(image) for image in request.images)
    if request.size is not None:
        check_size(request.size, grid_px, card.pixel_budget)
    _check_areas(request, loaded, card, grid_px)
    found = understand(request, loaded)
    return Plan(
        task=request.task,
        prompt=request.prompt,
        words=found.words,
        images=found.images,
        sources=tuple(fingerprint(image) for image in loaded),
        size=found.size or _base_size(card, grid_px),
        seeds=tuple(request.image_seed(number) for number in range(request.num_images)),
        num_inference_steps=_first(request.num_inference_steps, card.num_inference_steps),
        guidance_scale=_first(request.guidance_scale, card.guidance_scale),
        image_guidance_scale=_first(request.image_guidance_scale, card.image_guidance_scale)
        if loaded
        else 1.0,
        kept=found.kept,
        colour=found.colour,
        structure=found.record,
        adapter=adapter,
        rewrite=request.rewrite
        and (request.task == "subject" or (request.task == "edit" and len(loaded) > 1)),
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


def _first(asked: Any, preferred: Any) -> Any:
    return preferred if asked is None else asked


def _base_size(card: ModelCard, grid_px: int) -> Size:
    side = max(grid_px, card.base_size // grid_px * grid_px)
    return Size(side, side)


def _check_areas(request: Request, images: tuple[Image.Image, ...], card: ModelCard, grid_px: int) -> None:
    """Refuse images that are too large, each as large as the model would see it, before any is made."""
    sizes = [Size(*image.size) for image in images]
    if sizes and not isinstance(request, SubjectRequest):
        sizes[0] = result_size(request, images) or sizes[0]
    for number, size in enumerate(sizes, start=1):
        if size.num_pixels <= card.pixel_budget:
            continue
        scale = math.sqrt(card.pixel_budget / size.num_pixels)
        fit = Size(*(max(grid_px, int(side * scale) // grid_px * grid_px) for side in size))
        name, remedy = f"image {number}", f"scale it to {fit} or less"
        if number == 1 and isinstance(request, OutpaintRequest):
            name, remedy = "image 1 with its margins", "take smaller margins, or scale the image down first"
        elif number == 1 and not isinstance(request, SubjectRequest):
            remedy = f"ask for a smaller result, such as {fit}"
        raise RequestError(
            f"{name} is {size}, which is {size.num_pixels:,} pixels, but model {card.name!r} takes at most "
            f"{card.pixel_budget:,}: {remedy}"
        )
