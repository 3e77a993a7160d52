"""A gallery as in Figure 2(b): a row for each family, each kind with its inputs, its target and its words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from dreamomni.data.sheet.overlays import draw_drags, font, frames_of, scaled, wrapped
from dreamomni.errors import DataError
from dreamomni.tasks.sample import TrainingSample

ROWS: Mapping[str, tuple[str, ...]] = {
    "Text to image": ("text", "shapes", "counting", "description"),
    "Inpainting and outpainting": ("inpaint", "outpaint"),
    "Instruction editing": ("add", "remove", "replace", "multi_edit"),
    "Drag editing": ("drag_move", "drag_scale", "drag_rotate"),
    "Reference image generation": ("canny", "depth", "segmentation", "subject"),
    "Editing after references: things": ("reference_add", "reference_replace"),
    "Editing after references: what things are like": (
        "reference_colour",
        "reference_pattern",
        "reference_style",
        "reference_background",
        "reference_font",
    ),
    "Generation after references": ("subject_scene", "subject_colour"),
    "Segmentation, detection, and several tasks at once": ("segment", "detect", "combined"),
}
"""Kinds by the row that shows them."""

_PAPER, _INK, _FAINT, _PANEL, _LINE = (
    (255, 255, 255),
    (24, 24, 28),
    (96, 96, 104),
    (244, 244, 242),
    (210, 210, 208),
)
_PAD_PX = 12
_GAP_PX = 8
_TITLE_PX = 20
_TEXT_PX = 15
_NOTE_PX = 12
_MAX_LINES = 9


@dataclass(frozen=True, slots=True)
class _Card:
    """The pictures of one sample, ready to be pasted."""

    sample: TrainingSample
    pictures: tuple[tuple[Image.Image, str], ...]

    @property
    def width(self) -> int:
        return sum(picture.width for picture, _ in self.pictures) + _GAP_PX * (len(self.pictures) - 1)

    @property
    def height(self) -> int:
        return max(picture.height for picture, _ in self.pictures)


def gallery(
    samples: Mapping[str, TrainingSample], *, cell_px: int = 176, width_px: int = 1600
) -> Image.Image:
    """Draw one sample of each kind.

    Args:
        samples: A sample for every kind that shall be shown.
        cell_px: Longest side of each picture.
        width_px: Width of the whole; a row that is wider goes on in the next line.

    Raises:
        DataError: No kind of any row is among the samples.
    """
    blocks: list[Image.Image] = []
    for title, kinds in ROWS.items():
        cards = [_card(samples[kind], cell_px) for kind in kinds if kind in samples]
        if cards:
            blocks.append(_row(title, cards, cell_px, width_px))
    if not blocks:
        raise DataError("a gallery needs at least one sample")
    height = sum(block.height for block in blocks) + _PAD_PX * (len(blocks) + 1)
    sheet = Image.new("RGB", (width_px + 2 * _PAD_PX, height), _PAPER)
    top = _PAD_PX
    for block in blocks:
        sheet.paste(block, (_PAD_PX, top))
        top += block.height + _PAD_PX
    return sheet


def _card(sample: TrainingSample, cell_px: int) -> _Card:
    pictures = []
    for frame in frames_of(sample):
        picture = scaled(frame.pixels, cell_px)
        draw_drags(picture, frame.drags)
        ImageDraw.Draw(picture).rectangle((0, 0, picture.width - 1, picture.height - 1), outline=_LINE)
        several = len(sample.images) > 1
        title = f"Source image {frame.title.partition(' ')[2]}" if several else "Source image"
        pictures.append((picture, "Target image" if frame.title == "target" else title))
    return _Card(sample, tuple(pictures))


def _row(title: str, cards: Sequence[_Card], cell_px: int, width_px: int) -> Image.Image:
    """One family: its title, and its cards in as many lines as they need."""
    lines: list[list[_Card]] = [[]]
    for card in cards:
        if lines[-1] and _needed([*lines[-1], card]) > width_px:
            lines.append([])
        lines[-1].append(card)
    panels = [_panels(line, width_px) for line in lines]
    height = _TITLE_PX + 2 * _GAP_PX + sum(panel.height + _GAP_PX for panel in panels)
    block = Image.new("RGB", (width_px, height), _PAPER)
    ImageDraw.Draw(block).text((2, _GAP_PX // 2), title, fill=_INK, font=font(_TITLE_PX))
    top = _TITLE_PX + 2 * _GAP_PX
    for panel in panels:
        block.paste(panel, (0, top))
        top += panel.height + _GAP_PX
    return block


def _needed(cards: Sequence[_Card]) -> int:
    return sum(card.width + 2 * _PAD_PX for card in cards) + _GAP_PX * (len(cards) - 1)


def _panels(cards: Sequence[_Card], width_px: int) -> Image.Image:
    """One line of cards, spread over the whole width: the words get the room that the pictures leave."""
    spare = max(width_px - _needed(cards), 0) // len(cards)
    texts = []
    for card in cards:
        words = card.sample.instruction or f"(no words; the target shows {card.sample.caption})"
        texts.append(wrapped(words, _TEXT_PX, card.width + spare, _MAX_LINES))
    tallest = max(card.height for card in cards)
    text_px = max(len(words) for words in texts) * (_TEXT_PX + 4)
    height = tallest + text_px + 2 * _PAD_PX + 2 * _NOTE_PX + _GAP_PX
    line = Image.new("RGB", (width_px, height), _PAPER)
    draw = ImageDraw.Draw(line)
    left = 0
    for card, lines in zip(cards, texts, strict=True):
        right = left + card.width + spare + 2 * _PAD_PX
        draw.rectangle((left, 0, right - 1, height - 1), fill=_PANEL, outline=_LINE)
        x = left + _PAD_PX
        for picture, note in card.pictures:
            line.paste(picture, (x, _PAD_PX))
            middle = x + picture.width / 2
            draw.text(
                (middle, _PAD_PX + picture.height + 8), note, fill=_FAINT, font=font(_NOTE_PX), anchor="mm"
            )
            x += picture.width + _GAP_PX
        top = _PAD_PX + tallest + _NOTE_PX + _GAP_PX
        for number, text in enumerate(lines):
            place = (left + _PAD_PX, top + number * (_TEXT_PX + 4))
            draw.text(place, text, fill=_INK, font=font(_TEXT_PX))
        left = right + _GAP_PX
    return line
