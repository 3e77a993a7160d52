"""What a request gives: images, and where they come from."""

from dataclasses import dataclass
from typing import Any

from PIL import Image
from pydantic import Field

from dreamomni.config import StrictConfig
from dreamomni.tasks.geometry import Box, Size

PNG_KEY = "dreamomni.provenance"
"""The text key under which a PNG of ours carries its provenance."""


class Provenance(StrictConfig):
    """All it takes to make the same images again: every value is resolved, none says "default"."""

    model: str
    model_hash: str
    """Of the weights; the empty string where they come from no file."""
    task: str
    prompt: str
    words: str | None = None
    """What the model read, where it is more than the prompt: drag points, the name of a map, a colour."""
    structure: dict[str, Any] = Field(default_factory=dict)
    """What the task adds: `drags`, `margins`, `control`, `colour`, `mask` (size, sha256), `keep_outside`."""
    images: tuple[str, ...] = ()
    """Where the input images came from, in order."""
    seed: int
    size: Size
    num_images: int = 1
    num_inference_steps: int
    guidance_scale: float
    image_guidance_scale: float | None = None
    adapter: str | None = None
    """The LoRA that was on; None for the base model."""
    revised_prompt: str | None = None
    """What the rewriter made of the prompt; None where the user's own words were read."""
    warnings: tuple[str, ...] = ()
    """What the user should know of how the request was understood."""
    versions: dict[str, str]
    licence: str
    """Of the model's weights."""

    def png_metadata(self) -> dict[str, str]:
        """The text that `tasks.images.save_png` writes into the file."""
        return {PNG_KEY: self.model_dump_json()}


@dataclass(frozen=True, slots=True)
class Marks:
    """What was marked in one image of a segmentation or detection, read off its pixels.

    The picture is the answer of the model, and this is a reading of it (see `tasks.marks`): exact for flat
    paint; wrong where the model changed something else to about that colour, or left gaps; at soft borders
    off by a pixel or two. Nothing is read where image 1 shows the colour already.
    """

    colour: str
    """Of the paint, by its name in `tasks.colours.PALETTE`."""
    boxes: tuple[Box, ...]
    """In pixels of the image. Detection: the boxes drawn. Segmentation: around each painted region."""
    mask: Image.Image | None = None
    """Segmentation: mode "L", white where the image is painted. None for detection."""


@dataclass(frozen=True, slots=True)
class ImageResult:
    """The images of one request, in order of their noise, with their common provenance."""

    images: tuple[Image.Image, ...]
    provenance: Provenance
    marks: tuple[Marks, ...] = ()
    """For segment and detect what was marked in each image; else empty."""

    @property
    def mask(self) -> Image.Image | None:
        """What a segmentation painted in the first image: mode "L", white on it. None for other tasks."""
        return self.marks[0].mask if self.marks else None

    @property
    def boxes(self) -> tuple[Box, ...]:
        """The boxes of a detection, or around the regions of a segmentation, in the first image."""
        return self.marks[0].boxes if self.marks else ()
