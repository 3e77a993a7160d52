"""From a request to a plan for Kontext: sizes, images as the network sees them, the LoRA, what to warn of.

An edit keeps the size of image 1: it is padded to the token grid and the result cropped back, never
stretched. References larger than the training area are scaled down to it with their aspect ratio. With
`official` all sizes are those of the published release instead. No network, no tensor.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any, Self

from PIL import Image

from dreamomni.errors import RequestError
from dreamomni.inference.adapters import choose_adapter, wanted_adapter
from dreamomni.inference.plan import check_request
from dreamomni.inference.rewriting.rewriter import Rewriting
from dreamomni.inference.structure import Kept, fingerprint
from dreamomni.models.folder import ModelCard
from dreamomni.models.kontext.files import KONTEXT, LICENCE
from dreamomni.models.kontext.resolutions import (
    BASE_AREA,
    GRID_PX,
    fit_area,
    nearest_kontext_size,
    official_result_size,
    on_grid,
)
from dreamomni.models.kontext.text import MAX_T5_TOKENS
from dreamomni.models.packing import Grid
from dreamomni.runtime import versions
from dreamomni.tasks.geometry import Size, check_size
from dreamomni.tasks.images import load_images, load_mask
from dreamomni.tasks.references import check_references
from dreamomni.tasks.request import EditRequest, Request
from dreamomni.tasks.result import Provenance

DOCUMENTED_IMAGES = 5
"""The LoRAs were trained with 1 to 5 references (DreamOmni2, appendix)."""
MAX_TOKENS = 65_536
"""Of one sequence, text included: 14 images of a megapixel beside the result."""
ADAPTER_STEPS = 30
"""Denoising steps of the published release; the base alone recommends those of its card."""
_FAMILIAR_AREA = 4
"""Up to this many times the training area is allowed, and down to this part of it comes without a warning."""
_BASE_SIZE = Size(1024, 1024)


def kontext_card() -> ModelCard:
    """Return what FLUX.1-Kontext and the published LoRAs can do."""
    return ModelCard(
        name=KONTEXT,
        tasks=("text_to_image", "edit", "subject"),
        base_size=_BASE_SIZE.width,
        max_pixels=_FAMILIAR_AREA * BASE_AREA,
        licence=LICENCE,
        num_inference_steps=28,
        guidance_scale=3.5,
    )


@dataclass(frozen=True, slots=True)
class KontextPlan:
    """A request with nothing left open but its words, which a rewriter may still revise."""

    task: str
    prompt: str
    words: str
    """What CLIP and T5 read."""
    seen: tuple[Image.Image, ...]
    """Input images as they came, RGB: what a rewriter sees."""
    images: tuple[Image.Image, ...]
    """The same at the sizes that the autoencoder reads, before padding to the grid."""
    sources: tuple[str, ...]
    """Size and sha256 of the pixels of every image as it came."""
    size: Size
    """Of the result."""
    canvas: Size
    """Of the noise in pixels, on the grid; the result is its upper left part."""
    seeds: tuple[int, ...]
    num_inference_steps: int
    guidance_scale: float
    adapter: str | None
    rewrite: bool
    """Whether a rewriter is wanted, and has references to look at."""
    official: bool
    kept: Kept | None = None
    revised_prompt: str | None = None
    structure: dict[str, Any] = field(default_factory=dict)
    """What the provenance says of masks and sizes."""
    warnings: tuple[str, ...] = ()

    @property
    def noise_grid(self) -> Grid:
        """Rows and columns of the noise tokens."""
        return grid_of(self.canvas)

    @property
    def image_grids(self) -> tuple[Grid, ...]:
        """Rows and columns of the tokens of each image."""
        return tuple(grid_of(on_grid(Size(*image.size))) for image in self.images)

    @property
    def num_tokens(self) -> int:
        """Of one sequence, without the text."""
        return self.noise_grid.num_tokens + sum(grid.num_tokens for grid in self.image_grids)

    @property
    def shape(self) -> tuple[Any, ...]:
        """What plans must have in common to be denoised as one batch."""
        settings = (self.num_inference_steps, self.guidance_scale, self.adapter, self.official)
        return (self.size, self.image_grids, settings)

    def warned(self, *sentences: str) -> Self:
        """The same with more warnings."""
        return replace(self, warnings=(*self.warnings, *sentences))

    def reworded(self, found: Rewriting) -> Self:
        """The same with what a rewriter made of the prompt."""
        revised = replace(self, words=found.prompt, revised_prompt=found.revised_prompt)
        return revised.warned(*found.warnings)


def grid_of(size: Size) -> Grid:
    """Return the token grid of a size that is on it."""
    return Grid(size.height // GRID_PX, size.width // GRID_PX)


def make_kontext_plan(
    request: Request, card: ModelCard, adapters: Collection[str], *, official: bool = False
) -> KontextPlan:
    """Decide every open option of a request.

    Args:
        request: What the user asks for.
        card: From `kontext_card`.
        adapters: Names of the LoRAs that are there.
        official: Round sizes and ids as the published release does.

    Raises:
        RequestError: The request cannot be served; the message says why and what would do.
    """
    _check_options(request, card, official)
    seen = load_images(request.images)
    check_references(request.prompt, len(seen))
    sizes = official_sizes(request, seen) if official else own_sizes(request, seen, card)
    mask = None if request.mask is None else load_mask(request.mask, Size(*seen[0].size))
    shown = tuple(_resized(image, size) for image, size in zip(seen, sizes.images, strict=True))
    structure: dict[str, Any] = {"official": True} if official else {}
    if any(image.size != own.size for image, own in zip(seen, shown, strict=True)):
        structure["read_at"] = [str(size) for size in sizes.images]
    kept = None
    if mask is not None:
        assert isinstance(request, EditRequest)
        structure |= {"mask": fingerprint(mask), "keep_outside": request.keep_outside}
        nearest = Image.Resampling.NEAREST
        kept = Kept(shown[0], mask.resize(shown[0].size, nearest)) if request.keep_outside else None
    adapter = choose_adapter(request, adapters)
    plan = KontextPlan(
        task=request.task,
        prompt=request.prompt,
        words=request.prompt,
        seen=seen,
        images=shown,
        sources=tuple(fingerprint(image) for image in seen),
        size=sizes.result,
        canvas=on_grid(sizes.result),
        seeds=tuple(request.image_seed(number) for number in range(request.num_images)),
        num_inference_steps=request.num_inference_steps
        or (card.num_inference_steps if adapter is None else ADAPTER_STEPS),
        guidance_scale=card.guidance_scale if request.guidance_scale is None else request.guidance_scale,
        adapter=adapter,
        rewrite=request.rewrite and wanted_adapter(request) is not None,
        official=official,
        kept=kept,
        structure=structure,
        warnings=tuple(_doubts(request, sizes.result, adapters)),
    )
    _check_tokens(plan)
    return plan


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of the result, and of each image as the autoencoder reads it before padding."""

    result: Size
    images: tuple[Size, ...]


def own_sizes(request: Request, images: Collection[Image.Image], card: ModelCard) -> Sizes:
    """Return our sizes: an edit has that of image 1, references shrink to the training area.

    Raises:
        RequestError: The result would be too large, or is asked for off the grid.
    """
    given = [Size(*image.size) for image in images]
    if request.size is not None:
        check_size(request.size, GRID_PX, card.pixel_budget)
    edited = isinstance(request, EditRequest)
    result = request.size or (given[0] if edited else _BASE_SIZE)
    if result.num_pixels > card.pixel_budget:
        fit = fit_area(result)
        fit = Size(*(max(GRID_PX, side // GRID_PX * GRID_PX) for side in fit))
        raise RequestError(
            f"image 1 is {result}, which is {result.num_pixels:,} pixels, but model {card.name!r} makes at "
            f"most {card.pixel_budget:,}: ask for a smaller result, such as {fit}, or scale the image down"
        )
    shown = [result if edited and number == 0 else fit_area(size) for number, size in enumerate(given)]
    return Sizes(result, tuple(shown))


def official_sizes(request: Request, images: Collection[Image.Image]) -> Sizes:
    """Return the sizes of the published release: every image is stretched to one of 17 sizes.

    The result has that of image 1 (or the one asked for, or 1024x1024), rounded to a megapixel.
    """
    shown = tuple(nearest_kontext_size(Size(*image.size)) for image in images)
    asked = request.size or (shown[0] if isinstance(request, EditRequest) else _BASE_SIZE)
    return Sizes(official_result_size(asked), shown)


def record(plan: KontextPlan, card: ModelCard, model_hash: str) -> Provenance:
    """Return how the images of a plan were made."""
    return Provenance(
        model=card.name,
        model_hash=model_hash,
        task=plan.task,
        prompt=plan.prompt,
        words=None if plan.words == plan.prompt else plan.words,
        structure=plan.structure,
        images=plan.sources,
        seed=plan.seeds[0],
        size=plan.size,
        num_images=len(plan.seeds),
        num_inference_steps=plan.num_inference_steps,
        guidance_scale=plan.guidance_scale,
        adapter=plan.adapter,
        revised_prompt=plan.revised_prompt,
        warnings=plan.warnings,
        versions=versions(),
        licence=card.licence,
    )


def _check_options(request: Request, card: ModelCard, official: bool) -> None:
    check_request(request, card)
    if not request.prompt.strip():
        raise RequestError("the prompt is empty: say in words what you want")
    if request.drags:
        raise RequestError(f"model {card.name!r} takes no drags: say in words what is to move where")
    if request.image_guidance_scale not in (None, 1.0):
        raise RequestError(
            f"model {card.name!r} has no image guidance: leave it out, and say in words what is to be kept"
        )
    if request.mask is not None and official:
        raise RequestError("a mask does not go with the official sizes, which stretch image 1: leave one out")


def _doubts(request: Request, result: Size, adapters: Collection[str]) -> list[str]:
    """What the user should know before judging the result, one sentence each."""
    count, found = len(request.images), []
    if count > DOCUMENTED_IMAGES:
        found.append(
            f"{count} images came, but the model was trained with 1 to {DOCUMENTED_IMAGES}: it may overlook "
            "or mix up some of them"
        )
    wanted = wanted_adapter(request)
    if request.adapter == "auto" and wanted is not None and wanted not in adapters:
        found.append(
            f"the LoRA {wanted!r} is not there, so the base model serves this, which was trained with one "
            "image"
        )
    if request.adapter == "none" and wanted is not None and count > 1:
        found.append("without a LoRA the base model serves this, which was trained with one image")
    if result.num_pixels * _FAMILIAR_AREA < BASE_AREA:
        found.append(
            f"the result is {result}, far below the {_BASE_SIZE} that the model was trained at, so expect a "
            "poor one; --size asks for a larger result"
        )
    return found


def _check_tokens(plan: KontextPlan) -> None:
    total = MAX_T5_TOKENS + plan.num_tokens
    if total <= MAX_TOKENS:
        return
    each = ", ".join(f"image {n}: {grid.num_tokens:,}" for n, grid in enumerate(plan.image_grids, start=1))
    raise RequestError(
        f"{len(plan.images)} images and the result make {total:,} tokens, and the limit is {MAX_TOKENS:,} "
        f"(result: {plan.noise_grid.num_tokens:,}; {each}): give fewer or smaller images"
    )


def _resized(image: Image.Image, size: Size) -> Image.Image:
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)
