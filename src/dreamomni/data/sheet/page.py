"""An HTML page that needs no other file: pictures inside, overlays at a click or under the mouse."""

import base64
import html
import io
import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dreamomni import storage
from dreamomni.data.sheet.overlays import MASK_TINT, Frame, colour_of, frames_of, painted_ids
from dreamomni.errors import DataError
from dreamomni.tasks.sample import TrainingSample

_LAYERS = {"boxes": "boxes", "arrows": "drag arrows", "mask": "mask", "ids": "instances"}
"""Overlays by class: each has a check box at the top of the page."""


def write_html(samples: Sequence[TrainingSample], path: str | Path, *, title: str = "Samples") -> None:
    """Write the page. Check boxes show a layer on all pictures; the mouse shows all layers on one.

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
    heading = html.escape(title)
    tasks = Counter(sample.task for sample in samples)
    switches = "".join(
        f'<input type="checkbox" id="show-{name}"><label for="show-{name}">{words}</label>'
        for name, words in _LAYERS.items()
    )
    choices = '<input type="radio" name="task" id="task-all" checked><label for="task-all">all</label>'
    choices += "".join(
        f'<input type="radio" name="task" id="task-{task}"><label for="task-{task}">{task} {count}</label>'
        for task, count in sorted(tasks.items())
    )
    articles = "\n".join(_article(sample) for sample in samples)
    page = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{heading}</title>\n'
        f"<style>{_style(tasks)}</style>\n</head>\n<body>\n<h1>{heading}</h1>\n"
        f"<p>{len(samples)} samples. Point at a picture to see its labels, or show them on all:</p>\n"
        f"{switches}<br>\n{choices}\n<main>\n{articles}\n</main>\n</body>\n</html>\n"
    )
    storage.write_text(Path(path), page)


def _style(tasks: Sequence[str] | Counter[str]) -> str:
    # The switches stand before <main>, so plain CSS can follow them: the page has no script.
    shown = ",".join(f"#show-{name}:checked~main .{name}" for name in _LAYERS)
    hidden = "".join(f"#task-{task}:checked~main article:not(.{task}){{display:none}}" for task in tasks)
    return (
        "body{font:15px/1.45 system-ui,sans-serif;margin:24px;color:#1e1e22;background:#fafaf8}"
        "main{display:flex;flex-wrap:wrap;gap:20px;margin-top:16px}"
        "input{margin:0 4px 0 0}label{margin-right:16px}"
        "article{background:#fff;border:1px solid #ddd;border-radius:8px;padding:12px;max-width:640px}"
        "figure{display:inline-block;margin:0 8px 4px 0;position:relative;vertical-align:top}"
        ".canvas{position:relative;height:184px;border:1px solid #ddd}"
        ".canvas>*{height:184px;display:block}.canvas>img{image-rendering:pixelated}"
        ".layer{position:absolute;left:0;top:0;opacity:0;transition:opacity .12s}"
        f"figure:hover .boxes,figure:hover .arrows,{shown}{{opacity:1}}"
        "figure:hover .mask,figure:hover .ids{opacity:.45}"
        "figcaption{font-size:12px;color:#666}p{margin:8px 0 0;overflow-wrap:anywhere}"
        ".fact{font-size:12px;color:#666}details{font-size:12px;color:#444}"
        f"pre{{white-space:pre-wrap;margin:4px 0}}{hidden}"
    )


def _article(sample: TrainingSample) -> str:
    figures = "".join(_figure(frame) for frame in frames_of(sample))
    relations = "; ".join(_relation_words(sample))
    facts = f"{sample.task} / {sample.kind}, sample {sample.index} of seed {sample.seed}"
    lines = [html.escape(relations)] if relations else []
    if sample.caption != sample.instruction:
        lines.insert(0, html.escape(sample.caption))
    words = html.escape(sample.instruction) or '<span class="fact">(no instruction)</span>'
    extra = "".join(f'<p class="fact">{line}</p>' for line in (*lines, html.escape(facts)))
    details = html.escape(json.dumps(dict(sample.details), indent=1, ensure_ascii=False))
    assets = html.escape(", ".join((*sample.assets, *sample.licences)))
    return (
        f'<article id="{html.escape(sample.key)}" class="{html.escape(sample.task)}">{figures}<p>{words}</p>'
        f"{extra}<details><summary>details</summary><pre>{details}</pre><p>{assets}</p></details></article>"
    )


def _relation_words(sample: TrainingSample) -> list[str]:
    labels = {label.instance_id: label for label in sample.objects}
    words = []
    for relation in sample.relations:
        if relation.subject < relation.object:
            first, second = (
                f"{labels[number].colour or ''} {labels[number].name}".strip()
                for number in (relation.subject, relation.object)
            )
            words.append(f"{first} {relation.predicate} {second}")
    return words


def _figure(frame: Frame) -> str:
    layers = []
    if frame.mask is not None:
        layers.append(_picture_layer("mask", _tinted(frame.mask)))
    if frame.ids is not None and frame.ids.any():
        layers.append(_picture_layer("ids", painted_ids(frame.ids)))
    layers += [_svg(name, frame, shapes) for name, shapes in _shapes(frame).items() if shapes]
    caption = html.escape(frame.title)
    picture = f'<img src="{_data_uri(frame.pixels)}" alt="{caption}">'
    return (
        f'<figure><div class="canvas">{picture}{"".join(layers)}</div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _shapes(frame: Frame) -> dict[str, str]:
    """Boxes and arrows as SVG elements, by layer."""
    height, width = frame.pixels.shape[:2]
    stroke = max(width, height) / 160
    boxes = []
    for label in frame.labels:
        colour = "#{:02x}{:02x}{:02x}".format(*colour_of(label.instance_id))
        name = f"{label.colour or ''} {label.name}".strip()
        title = html.escape(f"{name}, {math.floor(label.visibility * 100)}% visible")
        boxes.append(
            f'<rect x="{label.box.x0}" y="{label.box.y0}" '
            f'width="{label.box.width}" height="{label.box.height}" '
            f'fill="transparent" stroke="{colour}" stroke-width="{stroke:.2f}"><title>{title}</title></rect>'
        )
    arrows = []
    outlined = f'fill="#ff145a" stroke="#fff" stroke-width="{0.6 * stroke:.2f}"'
    for drag in frame.drags:
        x0, y0 = drag.x * width, drag.y * height
        x1, y1 = x0 + drag.dx * width, y0 + drag.dy * height
        line = f'x1="{x0:.2f}" y1="{y0:.2f}" x2="{x1:.2f}" y2="{y1:.2f}"'
        arrows.append(
            f'<line {line} stroke="#fff" stroke-width="{2.6 * stroke:.2f}"/>'
            f'<line {line} stroke="#ff145a" stroke-width="{1.4 * stroke:.2f}"/>'
            f'<circle cx="{x0:.2f}" cy="{y0:.2f}" r="{1.8 * stroke:.2f}" {outlined}/>'
            f'<polygon points="{_arrow_head(x0, y0, x1, y1, 5 * stroke)}" {outlined}/>'
        )
    return {"boxes": "".join(boxes), "arrows": "".join(arrows)}


def _arrow_head(x0: float, y0: float, x1: float, y1: float, size: float) -> str:
    length = math.hypot(x1 - x0, y1 - y0) or 1.0
    dx, dy = (x1 - x0) / length * size, (y1 - y0) / length * size
    corners = ((x1, y1), (x1 - dx - dy / 2, y1 - dy + dx / 2), (x1 - dx + dy / 2, y1 - dy - dx / 2))
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in corners)


def _svg(name: str, frame: Frame, shapes: str) -> str:
    height, width = frame.pixels.shape[:2]
    return f'<svg class="layer {name}" viewBox="0 0 {width} {height}">{shapes}</svg>'


def _picture_layer(name: str, pixels: np.ndarray) -> str:
    return f'<img class="layer {name}" src="{_data_uri(pixels)}" alt="">'


def _tinted(mask: np.ndarray) -> np.ndarray:
    """A mask as a clear picture whose white pixels are tinted, uint8 (H, W, 4)."""
    tint = np.array((*MASK_TINT, 170), np.uint8)
    return np.asarray((mask[..., None] > 0) * tint, np.uint8)


def _data_uri(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
