"""What a recipe may say about how things are blended into the background."""

from dreamomni.config import StrictConfig


class BlendingOptions(StrictConfig):
    """Options of how things are blended into the background."""
