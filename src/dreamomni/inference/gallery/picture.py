"""All exhibits of a gallery as one labelled picture."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dreamomni.inference.gallery.exhibits import Exhibit
from dreamomni.inference.gallery.questions import SECTIONS

INK, MUTED, PAGE, CARD, LINE = "#1c1e21", "#6b7075", "#f4f2ee", "#ffffff", "#dedad3"
_WIDTH, _MARGIN, _GAP, _PAD = 1520, 44, 20, 14
_CAPTION_PX, _LINE_PX, _MAX_LINES = 17, 24, 3
_TOP, _HEADING = 118, 52
_NO_WORDS = "(no words)"


def draw_gallery(exhibits: Sequence[Exhibit], title: str) -> Image.Image:
    """Draw every section with its heading, each exhibit as a card: its pictures and its words."""
    cards = []
    for section in SECTIONS:
        some = [exhibit for exhibit in exhibits if exhibit.section is section]
        if some:
            cards.append((section.title, _cards(some, section.columns), section.columns))
    height = (
        _TOP
        + sum(_HEADING + -(-len(own) // columns) * (own[0].height + _GAP) for _, own, columns in cards)
        + _MARGIN
    )
    page = Image.new("RGB", (_WIDTH, height), PAGE)
    draw = ImageDraw.Draw(page)
    draw.text((_MARGIN, 34), "dreamomni", font=_font(38), fill=INK)
    draw.text((_MARGIN, 84), title, font=_font(17), fill=MUTED)
    top = _TOP
    for heading, own, columns in cards:
        draw.text((_MARGIN, top + 14), heading, font=_font(22), fill=INK)
        top += _HEADING
        for number, card in enumerate(own):
            left = _MARGIN + number % columns * (card.width + _GAP)
            page.paste(card, (left, top + number // columns * (card.height + _GAP)))
        top += -(-len(own) // columns) * (own[0].height + _GAP)
    return page


def _cards(exhibits: Sequence[Exhibit], columns: int) -> list[Image.Image]:
    """Exhibits of one section as white cards of one size, for rows of `columns`."""
    width = (_WIDTH - 2 * _MARGIN - (columns - 1) * _GAP) // columns
    font = _font(_CAPTION_PX)
    captions = [_wrap(words_of(exhibit), font, width - 2 * _PAD) for exhibit in exhibits]
    num_lines = max(len(lines) for lines in captions)
    num_pictures = max(len(exhibit.pictures) for exhibit in exhibits)
    return [
        _card(exhibit, lines, width, num_lines, num_pictures)
        for exhibit, lines in zip(exhibits, captions, strict=True)
    ]


def words_of(exhibit: Exhibit) -> str:
    """What stands below an exhibit: the prompt."""
    return exhibit.request.prompt.strip() or _NO_WORDS


def _card(
    exhibit: Exhibit, lines: Sequence[str], width: int, num_lines: int, num_pictures: int
) -> Image.Image:
    """One exhibit: its pictures side by side, labels if there are several, then the words.

    Room is kept for `num_lines` of words and `num_pictures`, so that all cards of a section agree.
    """
    pictures = exhibit.pictures
    side = (width - 2 * _PAD - (num_pictures - 1) * 10) // num_pictures
    caption_top = _PAD + side + (28 if len(pictures) > 1 else 0) + 12
    card = Image.new("RGB", (width, caption_top + num_lines * _LINE_PX + _PAD), PAGE)
    draw = ImageDraw.Draw(card)
    draw.rounded_rectangle((0, 0, width - 1, card.height - 1), radius=12, fill=CARD, outline=LINE)
    for number, (label, picture) in enumerate(pictures):
        left = _PAD + number * (side + 10)
        card.paste(_fit(picture, side), (left, _PAD))
        draw.rectangle((left, _PAD, left + side - 1, _PAD + side - 1), outline=LINE)
        if len(pictures) > 1:
            middle = (left + side // 2, _PAD + side + 7)
            draw.text(middle, label, font=_font(14), fill=INK if label == "result" else MUTED, anchor="ma")
    for number, line in enumerate(lines):
        draw.text((_PAD, caption_top + number * _LINE_PX), line, font=_font(_CAPTION_PX), fill=INK)
    return card


def _fit(picture: Image.Image, side: int) -> Image.Image:
    """Scale to fit a square, centred on white. Bicubic: smooth edges with little ringing."""
    scale = side / max(picture.size)
    scaled = picture.resize([max(1, round(edge * scale)) for edge in picture.size], Image.Resampling.BICUBIC)
    square = Image.fromarray(np.full((side, side, 3), 255, dtype=np.uint8))
    square.paste(scaled, ((side - scaled.width) // 2, (side - scaled.height) // 2))
    return square


def _wrap(text: str, font: ImageFont.FreeTypeFont, width_px: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width_px:
            lines.append(word)
        else:
            lines[-1] = longer
    if len(lines) > _MAX_LINES:
        lines = [*lines[: _MAX_LINES - 1], f"{lines[_MAX_LINES - 1]} ..."]
    return lines


def _font(size_px: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size_px)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return font
