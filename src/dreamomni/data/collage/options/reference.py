"""What a recipe may say about control maps and subjects."""

from dreamomni.config import StrictConfig


class ReferenceOptions(StrictConfig):
    """Options of control maps and subjects."""
