"""What a recipe may say about segmentation and detection."""

from dreamomni.config import StrictConfig


class PerceptionOptions(StrictConfig):
    """Options of segmentation and detection."""
