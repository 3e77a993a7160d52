"""Contact sheets as one picture."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from dreamomni.data.sheet.overlays import draw_boxes, draw_drags, font, frames_of, masked, scaled, wrapped
from dreamomni.errors import DataError
from dreamomni.tasks.sample import TrainingSample

_CELL_PX = 192
_PAD_PX = 10
_FONT_PX = 14
_MAX_LINES = 6
_ARROW_PX = 18
_PAPER, _INK, _FAINT, _LINE = (250, 250, 248), (30, 30, 34), (120, 120, 128), (205, 205, 205)


def contact_sheet(
    samples: Sequence[TrainingSample],
    *,
    columns: int = 4,
    cell_px: int = _CELL_PX,
    boxes: bool = True,
    masks: bool = True,
) -> Image.Image:
    """Draw samples side by side, each with its words: input images, target, and the mask where there is one.

    Args:
        samples: What to show.
        columns: Widest row, counted in pictures; an edit takes three.
        cell_px: Longest side of each picture on the sheet.
        boxes: Whether to draw the labels' boxes.
        masks: Whether the mask is shown as one more picture.

    Raises:
        DataError: There is nothing to show.
    """
    if not samples:
        raise DataError("a contact sheet needs at least one sample")
    cards = [_card(sample, cell_px, boxes, masks) for sample in samples]
    limit = max(columns * (cell_px + _PAD_PX) + _PAD_PX, max(card.width for card in cards) + 2 * _PAD_PX)
    rows: list[list[Image.Image]] = [[]]
    used = _PAD_PX
    for card in cards:
        if rows[-1] and used + card.width + _PAD_PX > limit:
            rows.append([])
            used = _PAD_PX
        rows[-1].append(card)
        used += card.width + _PAD_PX
    heights = [max(card.height for card in row) for row in rows]
    sheet = Image.new("RGB", (limit, sum(heights) + _PAD_PX * (len(rows) + 1)), _PAPER)
    top = _PAD_PX
    for row, height in zip(rows, heights, strict=True):
        left = _PAD_PX
        for card in row:
            sheet.paste(card, (left, top))
            left += card.width + _PAD_PX
        top += height + _PAD_PX
    return sheet


def _card(sample: TrainingSample, cell_px: int, boxes: bool, masks: bool) -> Image.Image:
    pictures = []
    for frame in frames_of(sample):
        picture = scaled(frame.pixels, cell_px)
        if boxes:
            draw_boxes(picture, frame.labels, cell_px / max(frame.pixels.shape[:2]))
        draw_drags(picture, frame.drags)
        pictures.append(_framed(picture))
    if masks and sample.mask is not None:
        pictures.append(_framed(scaled(masked(sample.target, sample.mask), cell_px)))
    width = sum(picture.width for picture in pictures) + _ARROW_PX * (len(pictures) - 1)
    lines = wrapped(sample.instruction or "(no instruction)", _FONT_PX, width, _MAX_LINES)
    line_px = _FONT_PX + 4
    height = max(picture.height for picture in pictures)
    card = Image.new("RGB", (width, height + 6 + line_px * (len(lines) + 1)), _PAPER)
    draw = ImageDraw.Draw(card)
    left = 0
    for number, picture in enumerate(pictures):
        if number:
            mark = ">" if number == len(sample.images) else "+" if number < len(sample.images) else "|"
            draw.text((left + _ARROW_PX / 2, height / 2), mark, fill=_FAINT, font=font(20), anchor="mm")
            left += _ARROW_PX
        card.paste(picture, (left, 0))
        left += picture.width
    for number, line in enumerate(lines):
        draw.text((0, height + 4 + number * line_px), line, fill=_INK, font=font(_FONT_PX))
    note = f"{sample.kind} #{sample.index}"
    draw.text((0, height + 4 + len(lines) * line_px), note, fill=_FAINT, font=font(_FONT_PX - 2))
    return card


def _framed(picture: Image.Image) -> Image.Image:
    ImageDraw.Draw(picture).rectangle((0, 0, picture.width - 1, picture.height - 1), outline=_LINE)
    return picture
