"""What a request gives: images, and where they come from."""

from dataclasses import dataclass

from PIL import Image

from dreamomni.config import StrictConfig
from dreamomni.tasks.geometry import Size

PNG_KEY = "dreamomni.provenance"
"""The text key under which a PNG of ours carries its provenance."""


class Provenance(StrictConfig):
    """All it takes to make the same images again: every value is resolved, none says "default"."""

    model: str
    model_hash: str
    """Of the weights; the empty string where they come from no file."""
    task: str
    prompt: str
    images: tuple[str, ...] = ()
    """Where the input images came from, in order."""
    seed: int
    size: Size
    num_images: int = 1
    num_inference_steps: int
    guidance_scale: float
    image_guidance_scale: float | None = None
    versions: dict[str, str]
    licence: str
    """Of the model's weights."""

    def png_metadata(self) -> dict[str, str]:
        """The text that `tasks.images.save_png` writes into the file."""
        return {PNG_KEY: self.model_dump_json()}


@dataclass(frozen=True, slots=True)
class ImageResult:
    """The images of one request, in order of their noise, with their common provenance."""

    images: tuple[Image.Image, ...]
    provenance: Provenance
