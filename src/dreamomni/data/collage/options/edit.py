"""What a recipe may say about edits by instruction."""

from dreamomni.config import StrictConfig


class EditOptions(StrictConfig):
    """Options of edits by instruction."""
