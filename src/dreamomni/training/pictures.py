"""Pictures for people who watch a run: pixels back to bytes, grids, text. Nothing here reaches a loss."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor


def to_uint8(pixels: Tensor) -> np.ndarray:
    """Pixels (B, 3, H, W) in [-1, 1] to uint8 (B, H, W, 3)."""
    levels = pixels.detach().float().add(1).mul(127.5).round().clamp(0, 255).byte()
    images: np.ndarray = levels.permute(0, 2, 3, 1).cpu().numpy()
    return images


def tile(rows: Sequence[np.ndarray]) -> Image.Image:
    """One picture from rows of equally many images (B, H, W, 3) of one size."""
    return Image.fromarray(np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0))


def text_sheet(
    entries: Sequence[tuple[np.ndarray, str]], *, title: str = "", width: int = 640
) -> Image.Image:
    """Images (H, W, 3), each with its lines of text at the right, below a title."""
    font = ImageFont.load_default(12)
    heights = [max(image.shape[0], 16 * (1 + text.count("\n"))) + 8 for image, text in entries]
    sheet = Image.new("RGB", (width, sum(heights) + 24), (255, 255, 255))
    draw, top = ImageDraw.Draw(sheet), 24
    draw.text((4, 4), title, fill=(0, 0, 0), font=font)
    for (image, text), height in zip(entries, heights, strict=True):
        sheet.paste(Image.fromarray(image), (4, top + 4))
        draw.multiline_text((image.shape[1] + 12, top + 4), text, fill=(0, 0, 0), font=font)
        top += height
    return sheet
