"""Contact sheets: samples as people look at them, with words, boxes and masks, as one PNG or an HTML page."""

import base64
import html
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dreamomni import storage
from dreamomni.errors import DataError
from dreamomni.tasks.sample import ObjectLabel, TrainingSample

_CELL_PX = 192
_PAD_PX = 10
_FONT_PX = 14
_MAX_LINES = 6
_PAPER, _INK, _FAINT = (250, 250, 248), (30, 30, 34), (120, 120, 128)
_BOX_COLOURS = ((220, 30, 60), (20, 110, 220), (20, 140, 70), (170, 70, 200), (220, 120, 0), (0, 150, 160))
_MASK_TINT = np.array([255, 0, 160], np.float32)


def contact_sheet(
    samples: Sequence[TrainingSample],
    *,
    columns: int = 4,
    cell_px: int = _CELL_PX,
    boxes: bool = True,
    masks: bool = True,
) -> Image.Image:
    """Draw samples side by side, each with its words; an edit shows source, target and changed pixels.

    Args:
        samples: What to show.
        columns: Widest row, counted in pictures; an edit takes three.
        cell_px: Longest side of each picture on the sheet.
        boxes: Whether to draw the labels' boxes.
        masks: Whether edits show the changed pixels as a third picture.

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


def write_html(samples: Sequence[TrainingSample], path: str | Path, *, title: str = "Samples") -> None:
    """Write a page that needs no other file: pictures inside, boxes drawn over them, words and facts beside.

    Args:
        samples: What to show.
        path: The file.
        title: Heading of the page.

    Raises:
        DataError: There is nothing to show.
        OutputError: The file cannot be written.
    """
    if not samples:
        raise DataError("a page of samples needs at least one sample")
    articles = "\n".join(_article(sample) for sample in samples)
    heading = html.escape(title)
    page = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{heading}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{heading}</h1>\n"
        f"<p>{len(samples)} samples. Point at a picture to see its boxes.</p>\n<main>\n{articles}\n</main>\n"
        "</body>\n</html>\n"
    )
    storage.write_text(Path(path), page)


_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;margin:24px;color:#1e1e22;background:#fafaf8}"
    "main{display:flex;flex-wrap:wrap;gap:20px}"
    "article{background:#fff;border:1px solid #ddd;border-radius:8px;padding:12px;max-width:620px}"
    "figure{display:inline-block;margin:0 8px 0 0;position:relative;vertical-align:top}"
    "figure img{height:184px;image-rendering:pixelated;display:block;border:1px solid #ddd}"
    "figcaption{font-size:12px;color:#666}"
    "svg{position:absolute;left:1px;top:1px;height:184px;opacity:0;transition:opacity .15s}"
    "figure:hover svg{opacity:1}"
    "p{margin:8px 0 0}.kind{font-size:12px;color:#666}"
)


def _card(sample: TrainingSample, cell_px: int, boxes: bool, masks: bool) -> Image.Image:
    pictures = [
        _picture(image, sample.source_objects if number == 0 and boxes else (), cell_px)
        for number, image in enumerate(sample.images)
    ]
    pictures.append(_picture(sample.target, sample.objects if boxes else (), cell_px))
    if masks and sample.mask is not None:
        pictures.append(_picture(_masked(sample.target, sample.mask), (), cell_px))
    arrow = 18
    width = sum(picture.width for picture in pictures) + arrow * (len(pictures) - 1)
    font = _font(_FONT_PX)
    lines = _wrapped(sample.instruction, font, width)
    line_px = _FONT_PX + 4
    height = max(picture.height for picture in pictures)
    card = Image.new("RGB", (width, height + 6 + line_px * (len(lines) + 1)), _PAPER)
    draw = ImageDraw.Draw(card)
    left = 0
    for number, picture in enumerate(pictures):
        if number:
            mark = ">" if number == len(sample.images) else "|"
            draw.text((left + arrow / 2, height / 2), mark, fill=_FAINT, font=_font(20), anchor="mm")
            left += arrow
        card.paste(picture, (left, 0))
        left += picture.width
    for number, line in enumerate(lines):
        draw.text((0, height + 4 + number * line_px), line, fill=_INK, font=font)
    note = f"{sample.kind} #{sample.index}"
    draw.text((0, height + 4 + len(lines) * line_px), note, fill=_FAINT, font=_font(_FONT_PX - 2))
    return card


def _picture(image: np.ndarray, labels: Sequence[ObjectLabel], cell_px: int) -> Image.Image:
    picture = Image.fromarray(image)
    scale = cell_px / max(picture.size)
    # Small worlds are shown pixel by pixel, so that what the model sees is what the reader sees.
    mode = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
    side = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(side, mode)
    draw = ImageDraw.Draw(picture)
    for label in labels:
        x0, y0, x1, y1 = (value * scale for value in label.box)
        colour = _BOX_COLOURS[(label.instance_id - 1) % len(_BOX_COLOURS)]
        draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=colour)
    draw.rectangle((0, 0, picture.width - 1, picture.height - 1), outline=(205, 205, 205))
    return picture


def _masked(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    share = (mask[..., None] > 0).astype(np.float32) * 0.6
    faded = image * 0.5 + 127.0
    return np.asarray(np.clip(faded * (1 - share) + _MASK_TINT * share, 0, 255), np.uint8)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    if len(lines) > _MAX_LINES:
        lines = [*lines[: _MAX_LINES - 1], lines[_MAX_LINES - 1] + " ..."]
    return lines


def _article(sample: TrainingSample) -> str:
    figures = [
        _figure(image, f"image {number}", sample.source_objects if number == 1 else ())
        for number, image in enumerate(sample.images, start=1)
    ]
    figures.append(_figure(sample.target, "target", sample.objects))
    if sample.mask is not None:
        figures.append(_figure(_masked(sample.target, sample.mask), "changed pixels", ()))
    relations = "; ".join(_relation_words(sample))
    facts = f"{sample.task} / {sample.kind}, sample {sample.index} of seed {sample.seed}"
    extra = f'<p class="kind">{html.escape(relations)}</p>' if relations else ""
    caption = (
        "" if sample.caption == sample.instruction else f'<p class="kind">{html.escape(sample.caption)}</p>'
    )
    return (
        f'<article id="{html.escape(sample.key)}">{"".join(figures)}<p>{html.escape(sample.instruction)}</p>'
        f'{caption}{extra}<p class="kind">{html.escape(facts)}</p></article>'
    )


def _relation_words(sample: TrainingSample) -> list[str]:
    labels = {label.instance_id: label for label in sample.objects}
    words = []
    for relation in sample.relations:
        if relation.subject < relation.object:
            first, second = labels[relation.subject], labels[relation.object]
            words.append(f"{first.colour} {first.name} {relation.predicate} {second.colour} {second.name}")
    return words


def _figure(image: np.ndarray, caption: str, labels: Sequence[ObjectLabel]) -> str:
    height, width = image.shape[:2]
    stroke = max(width, height) / 160
    shapes = []
    for label in labels:
        colour = "#{:02x}{:02x}{:02x}".format(*_BOX_COLOURS[(label.instance_id - 1) % len(_BOX_COLOURS)])
        title = html.escape(f"{label.colour} {label.name}, {math.floor(label.visibility * 100)}% visible")
        shapes.append(
            f'<rect x="{label.box.x0}" y="{label.box.y0}" '
            f'width="{label.box.width}" height="{label.box.height}" '
            f'fill="transparent" stroke="{colour}" stroke-width="{stroke:.2f}"><title>{title}</title></rect>'
        )
    overlay = f'<svg viewBox="0 0 {width} {height}">{"".join(shapes)}</svg>' if shapes else ""
    return (
        f'<figure><img src="data:image/png;base64,{_png(image)}" alt="{html.escape(caption)}">{overlay}'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _png(image: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
