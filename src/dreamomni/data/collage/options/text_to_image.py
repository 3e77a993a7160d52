"""What a recipe may say about pictures from words."""

from dreamomni.config import StrictConfig


class TextToImageOptions(StrictConfig):
    """Options of pictures from words."""
