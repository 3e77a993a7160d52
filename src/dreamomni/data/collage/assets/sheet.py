"""A picture of what a library holds."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dreamomni.data.collage.assets.asset import AssetInfo, AssetSource, Crop
from dreamomni.data.collage.palette import PALETTE
from dreamomni.errors import DataError

_CELL_PX = 128
_PAD_PX = 10
_LINE_PX = 15
_PAPER, _INK, _FAINT, _OUT = (250, 250, 248), (30, 30, 34), (120, 120, 128), (190, 60, 20)
_CHECKS = ((228, 228, 228), (242, 242, 242))
_CHECK_PX = 8


def asset_sheet(source: AssetSource, assets: Sequence[AssetInfo], *, columns: int = 8) -> Image.Image:
    """Draw assets side by side, each with its name, colour and licence; held-out ones are marked.

    Args:
        source: Where they come from.
        assets: Which of them.
        columns: How many beside each other.

    Raises:
        DataError: There is nothing to show.
    """
    if not assets:
        raise DataError("there is no asset to show")
    columns = min(columns, len(assets))
    width, height = _CELL_PX + _PAD_PX, _CELL_PX + 3 * _LINE_PX + _PAD_PX
    rows = -(-len(assets) // columns)
    sheet = Image.new("RGB", (columns * width + _PAD_PX, rows * height + _PAD_PX), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, info in enumerate(assets):
        left = _PAD_PX + number % columns * width
        top = _PAD_PX + number // columns * height
        sheet.paste(_thumbnail(source, info), (left, top))
        colour = "any colour" if info.recolourable else (info.colour or "")
        held_out = " (held out)" if info.split == "held_out" else ""
        for line, (text, ink) in enumerate(
            [
                (info.name, _INK),
                (f"{colour}{held_out}".strip() or info.kind, _OUT if held_out else _FAINT),
                (info.licence, _FAINT),
            ]
        ):
            draw.text((left, top + _CELL_PX + 2 + line * _LINE_PX), _short(text), fill=ink, font=_font())
    return sheet


def _thumbnail(source: AssetSource, info: AssetInfo) -> Image.Image:
    if info.kind == "background":
        return Image.fromarray(source.background(info.id, _CELL_PX, _CELL_PX, Crop()))
    cell = Image.fromarray(_checks())
    if info.kind == "font":
        face = ImageFont.truetype(io.BytesIO(source.font(info.id)), _CELL_PX // 2)
        middle = (_CELL_PX / 2, _CELL_PX / 2)
        ImageDraw.Draw(cell).text(middle, "Ag", fill=_INK, font=face, anchor="mm")
        return cell
    drawn = Image.fromarray(source.render(info.id, PALETTE["blue"], _CELL_PX - 8))
    cell.paste(drawn, ((_CELL_PX - drawn.width) // 2, (_CELL_PX - drawn.height) // 2), drawn)
    return cell


def _checks() -> np.ndarray:
    rows, columns = np.indices((_CELL_PX, _CELL_PX)) // _CHECK_PX
    return np.array(_CHECKS, np.uint8)[(rows + columns) % 2]


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(12)


def _short(text: str) -> str:
    font = _font()
    while text and font.getlength(text) > _CELL_PX:
        text = text[:-2] if not text.endswith("...") else text[:-4] + "..."
        text = text if text.endswith("...") else text + "..."
    return text
