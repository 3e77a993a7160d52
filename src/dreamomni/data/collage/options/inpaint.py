"""What a recipe may say about inpainting and outpainting."""

from dreamomni.config import StrictConfig


class InpaintOptions(StrictConfig):
    """Options of inpainting and outpainting."""
