"""Pictures that differ strongly, so that swapping two of them shows."""

import numpy as np
from PIL import Image


def coloured(width: int, height: int, seed: int = 0) -> Image.Image:
    """Large random blocks of strong colours."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (-(-height // 16), -(-width // 16), 3), dtype=np.uint8)
    return Image.fromarray(blocks.repeat(16, axis=0).repeat(16, axis=1)[:height, :width])
