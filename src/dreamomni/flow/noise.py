"""The noise that images start from: each its own, the same on every device and in every batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamomni.runtime import cpu_generator


def draw_noise(shape_CHW: tuple[int, int, int], seeds: Sequence[int]) -> Tensor:
    """Return normal noise (B, C, h, w), float32 on the CPU; image i depends on seeds[i] and the shape.

    Args:
        shape_CHW: Shape of one image's latents.
        seeds: One for each image, 0 or more.

    Raises:
        ConfigError: A seed is negative.
    """
    drawn = [torch.randn(shape_CHW, generator=cpu_generator(seed)) for seed in seeds]
    return torch.stack(drawn) if drawn else torch.empty(0, *shape_CHW)
