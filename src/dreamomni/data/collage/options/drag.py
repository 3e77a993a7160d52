"""What a recipe may say about drags."""

from dreamomni.config import StrictConfig


class DragOptions(StrictConfig):
    """Options of drags."""
