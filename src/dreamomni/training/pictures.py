"""Pictures for people who watch a run: pixels back to bytes, grids, text. Nothing here reaches a loss."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

_GREY = (128, 128, 128)
_LINE = 14


def to_uint8(pixels: Tensor) -> np.ndarray:
    """Pixels (B, 3, H, W) in [-1, 1] to uint8 (B, H, W, 3)."""
    levels = pixels.detach().float().add(1).mul(127.5).round().clamp(0, 255).byte()
    images: np.ndarray = levels.permute(0, 2, 3, 1).cpu().numpy()
    return images


def tile(rows: Sequence[np.ndarray]) -> Image.Image:
    """One picture from rows of equally many images (B, H, W, 3) of one size."""
    return Image.fromarray(np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0))


def framed(image: np.ndarray, side: int) -> np.ndarray:
    """A picture (H, W, 3) in the middle of a grey square, made smaller where it does not fit; not larger."""
    height, width = image.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = Image.fromarray(image)
    small = small if size == (width, height) else small.resize(size, Image.Resampling.LANCZOS)
    frame = Image.new("RGB", (side, side), _GREY)
    frame.paste(small, ((side - size[0]) // 2, (side - size[1]) // 2))
    return np.asarray(frame)


def titled(blocks: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Pictures below each other, each under a line of text."""
    width = max(block.width for _, block in blocks)
    sheet = Image.new("RGB", (width, sum(block.height + _LINE for _, block in blocks)), (255, 255, 255))
    draw, top, font = ImageDraw.Draw(sheet), 0, ImageFont.load_default(11)
    for title, block in blocks:
        draw.text((3, top + 1), title, fill=(0, 0, 0), font=font)
        sheet.paste(block, (0, top + _LINE))
        top += block.height + _LINE
    return sheet


def side_by_side(images: Sequence[np.ndarray], gap: int = 4) -> np.ndarray:
    """Images (H, W, 3) in a row, uint8, on white where they are lower than the highest."""
    if len(images) == 1:
        return images[0]
    height = max(image.shape[0] for image in images)
    row = np.full((height, sum(image.shape[1] + gap for image in images) - gap, 3), 255, np.uint8)
    left = 0
    for image in images:
        row[: image.shape[0], left : left + image.shape[1]] = image
        left += image.shape[1] + gap
    return row


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


def request_sheet(rows: Sequence[tuple[Sequence[Image.Image], Image.Image, str]]) -> Image.Image:
    """Answers to requests: the input images of each, its answer behind a line, the words below.

    Args:
        rows: For each request its input images, the answer, and what was asked.
    """
    font, gap, line = ImageFont.load_default(12), 6, 16
    widths = [sum(picture.width + gap for picture in (*given, made)) for given, made, _ in rows]
    widths += [int(font.getlength(words)) + gap for _, _, words in rows]
    heights = [max(picture.height for picture in (*given, made)) + line + gap for given, made, _ in rows]
    sheet = Image.new("RGB", (max(widths) + gap, sum(heights) + gap), (255, 255, 255))
    draw, top = ImageDraw.Draw(sheet), gap
    for (given, made, words), height in zip(rows, heights, strict=True):
        left = gap
        for picture in given:
            sheet.paste(picture.convert("RGB"), (left, top))
            left += picture.width + gap
        if given:
            middle = left - gap // 2 - 1
            draw.line([(middle, top), (middle, top + height - line - gap)], fill=(0, 0, 0))
        sheet.paste(made.convert("RGB"), (left, top))
        draw.text((gap, top + height - line - gap // 2), words, fill=(0, 0, 0), font=font)
        top += height
    return sheet
