"""A gallery of what a model can do: fixed prompts, and edits with a known truth, as PNG and HTML.

Nothing is picked: one seed, every result shown. Edits come from the held-out split of the world, so that the
combinations in them were never trained on.
"""

import html
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.inference.output import save_result
from dreamomni.inference.pipeline import DreamOmniPipeline
from dreamomni.storage import atomic_path, write_text
from dreamomni.tasks.images import save_png
from dreamomni.tasks.request import EditRequest, Request, TextToImageRequest
from dreamomni.tasks.result import ImageResult

PROMPTS = (
    "two red stars above a blue house",
    "a purple umbrella",
    "an orange fish and a blue cup",
    "a yellow fish to the left of a green car",
    "three red hearts",
    "a green tree to the right of a red car",
    "a blue cup",
    "a purple star above a yellow umbrella",
    "a red house and a green tree",
    "an orange heart below a blue fish",
)
SINGLE_PROMPTS = (
    "a red star",
    "a blue house",
    "a green tree",
    "a yellow car",
    "a purple umbrella",
    "an orange fish",
    "a red heart",
    "a blue cup",
    "a yellow star on a white background",
    "a green fish on a cream background",
)
"""For a world in which every picture shows one thing."""
_PROMPT_NAMES = frozenset({"star", "house", "umbrella", "fish", "cup", "car", "heart", "tree"})
_PROMPT_COLOURS = frozenset({"red", "blue", "purple", "orange", "yellow", "green"})
WORD_KINDS = ("colors", "position", "color_attribution", "two")
EDIT_KINDS = ("add", "remove", "replace")
NUM_EDITS_PER_KIND = 3
DEFAULT_WORLD = "mini-world"

_INK, _MUTED, _PAGE, _CARD, _LINE = "#1c1e21", "#6b7075", "#f4f2ee", "#ffffff", "#dedad3"
_WIDTH, _MARGIN, _GAP, _PAD = 1520, 44, 20, 14
_CAPTION_PX, _LINE_PX, _MAX_LINES = 17, 24, 3


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One request with what came out of it."""

    name: str
    """Stem of its files."""
    kind: str
    request: Request
    result: ImageResult
    source: Image.Image | None = None
    truth: Image.Image | None = None

    @property
    def pictures(self) -> list[tuple[str, Image.Image]]:
        """Label and picture, in reading order."""
        labelled = [("source", self.source), ("result", self.result.images[0]), ("ground truth", self.truth)]
        return [(label, picture) for label, picture in labelled if picture is not None]


@dataclass(frozen=True, slots=True)
class Gallery:
    """Where a gallery lies."""

    picture: Path
    page: Path


Progress = Callable[[str, int, int], None]
"""Called as (what is being made, steps done, steps in all)."""


def make_exhibits(
    pipe: DreamOmniPipeline, *, seed: int = 0, on_progress: Progress | None = None
) -> list[Exhibit]:
    """Make every picture of the gallery with one model; tasks that it did not learn are left out."""
    world = load_recipe(pipe.card.world or DEFAULT_WORLD, CollageRecipe)
    asked = _ask_words(world, seed)
    results = _serve(pipe, asked, "pictures from words", on_progress)
    if "edit" in pipe.card.tasks:
        edits = _ask_edits(world, seed)
        results += _serve(pipe, edits, "edits", on_progress)
        asked += edits
    return [
        Exhibit(one.name, one.kind, one.request, result, one.source, one.truth)
        for one, result in zip(asked, results, strict=True)
    ]


def write_gallery(exhibits: Sequence[Exhibit], folder: Path, title: str) -> Gallery:
    """Write `gallery.png`, `index.html` and every picture in its own size; the page comes last.

    Raises:
        OutputError: The folder cannot be written.
    """
    gallery = Gallery(picture=folder / "gallery.png", page=folder / "index.html")
    for exhibit in exhibits:
        save_result(exhibit.result, exhibit.request, [folder / "pictures" / f"{exhibit.name}-result.png"])
        for label, picture in exhibit.pictures:
            if label != "result":
                save_png(picture, folder / "pictures" / f"{exhibit.name}-{_slug(label)}.png", {})
    with atomic_path(gallery.picture) as part:
        draw_gallery(exhibits, title).save(part, format="PNG", optimize=True)
    write_text(gallery.page, render_page(exhibits, title))
    return gallery


def describe(pipe: DreamOmniPipeline, seed: int) -> str:
    """One line on what made the pictures."""
    count = sum(parameter.numel() for parameter in pipe.transformer.parameters())
    side = pipe.card.base_size
    return (
        f"model {pipe.card.name}: {count / 1e6:.1f} M-parameter transformer, {side}x{side} pixels, "
        f"{pipe.card.num_inference_steps} steps, seed {seed}; every result shown, none picked"
    )


def draw_gallery(exhibits: Sequence[Exhibit], title: str) -> Image.Image:
    """All exhibits as one labelled picture: words in five columns, edits in three."""
    words = [exhibit for exhibit in exhibits if exhibit.source is None]
    edits = [exhibit for exhibit in exhibits if exhibit.source is not None]
    sections = [("From words", words, 5), ("Edits: source, result, ground truth", edits, 3)]
    cards = [(heading, _cards(some, columns), columns) for heading, some, columns in sections if some]

    height = (
        118
        + sum(52 + -(-len(own) // columns) * (own[0].height + _GAP) for _, own, columns in cards)
        + _MARGIN
    )
    page = Image.new("RGB", (_WIDTH, height), _PAGE)
    draw = ImageDraw.Draw(page)
    draw.text((_MARGIN, 34), "dreamomni", font=_font(38), fill=_INK)
    draw.text((_MARGIN, 84), title, font=_font(17), fill=_MUTED)
    top = 118
    for heading, own, columns in cards:
        draw.text((_MARGIN, top + 14), heading, font=_font(22), fill=_INK)
        top += 52
        for number, card in enumerate(own):
            left = _MARGIN + number % columns * (card.width + _GAP)
            page.paste(card, (left, top + number // columns * (card.height + _GAP)))
        top += -(-len(own) // columns) * (own[0].height + _GAP)
    return page


def render_page(exhibits: Sequence[Exhibit], title: str) -> str:
    """The same as HTML, with the pictures by relative path."""
    sections = []
    for heading, kinds in (
        ("From words", ("words",)),
        *((kind.capitalize(), (kind,)) for kind in EDIT_KINDS),
    ):
        figures = "\n".join(_figure(exhibit) for exhibit in exhibits if exhibit.kind in kinds)
        if figures:
            sections.append(f'<h2>{heading}</h2>\n<div class="grid">\n{figures}\n</div>')
    options = json.dumps(exhibits[0].result.provenance.model_dump(mode="json"), indent=2) if exhibits else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>dreamomni gallery</title>
<style>
body {{ margin: 0 auto; max-width: 1280px; padding: 32px 24px; background: {_PAGE}; color: {_INK};
  font: 16px/1.45 system-ui, sans-serif; }}
h1 {{ margin: 0; }} h2 {{ margin: 36px 0 12px; font-size: 20px; }}
p.note {{ margin: 4px 0 0; color: {_MUTED}; }}
.grid {{ display: flex; flex-wrap: wrap; gap: 18px; }}
figure {{ margin: 0; padding: 12px; background: {_CARD}; border: 1px solid {_LINE}; border-radius: 10px; }}
.row {{ display: flex; gap: 10px; }}
.row div {{ width: 168px; color: {_MUTED}; font-size: 13px; text-align: center; }}
img {{ display: block; width: 168px; border-radius: 6px; }}
figcaption {{ max-width: 524px; margin-top: 8px; contain: inline-size; }}
pre {{ overflow: auto; padding: 12px; background: {_CARD}; border: 1px solid {_LINE}; border-radius: 10px;
font-size: 12px; }} </style>
</head>
<body>
<h1>dreamomni</h1>
<p class="note">{html.escape(title)}</p>
{chr(10).join(sections)}
<h2>How the first picture was made</h2>
<p class="note">Every result PNG carries the same record in its metadata.</p>
<pre>{html.escape(options)}</pre>
</body>
</html>
"""


class _Asked(NamedTuple):
    """An exhibit before its result."""

    name: str
    kind: str
    request: Request
    source: Image.Image | None = None
    truth: Image.Image | None = None


def _ask_words(world: CollageRecipe, seed: int) -> list[_Asked]:
    kinds = _kinds_of(world, WORD_KINDS)
    engine = _engine(world, kinds)
    prompts = list(PROMPTS if set(kinds) >= set(WORD_KINDS) else SINGLE_PROMPTS)
    if not (set(engine.names) >= _PROMPT_NAMES and set(engine.colours) >= _PROMPT_COLOURS):
        prompts = [
            engine.sample(seed, number, kind=kinds[number % len(kinds)]).instruction
            for number in range(len(prompts))
        ]
    return [
        _Asked(f"words-{number:02d}", "words", TextToImageRequest(prompt=prompt, seed=seed))
        for number, prompt in enumerate(prompts, start=1)
    ]


def _ask_edits(world: CollageRecipe, seed: int) -> list[_Asked]:
    kinds = _kinds_of(world, EDIT_KINDS)
    engine = _engine(world, kinds)
    asked = []
    for number in range(1, NUM_EDITS_PER_KIND + 1):
        for place, kind in enumerate(kinds):
            # An index of its own for every edit: kinds of one index share their things and their ground.
            sample = engine.sample(seed, 100 * place + number, kind=kind)
            source = Image.fromarray(sample.images[0])
            request = EditRequest(prompt=sample.instruction, images=(source,), seed=seed)
            asked.append(
                _Asked(f"{kind}-{number:02d}", kind, request, source, Image.fromarray(sample.target))
            )
    return asked


def _kinds_of(world: CollageRecipe, kinds: Sequence[str]) -> list[str]:
    """Those of the kinds that the world draws; all of them if it draws none."""
    return [kind for kind, weight in world.mixture.items() if kind in kinds and weight > 0] or list(kinds)


def _engine(world: CollageRecipe, kinds: Sequence[str]) -> CollageEngine:
    """The held-out split, which a small world may have for these kinds and not for others."""
    mixture = dict.fromkeys(kinds, 1.0)
    return CollageEngine(world.model_copy(update={"mixture": mixture}), split="held_out")


def _serve(
    pipe: DreamOmniPipeline, asked: Sequence[_Asked], what: str, on_progress: Progress | None
) -> list[ImageResult]:
    requests = [one.request for one in asked]
    total = pipe.card.num_inference_steps
    if on_progress is None:
        return pipe.run_batch(requests)
    on_progress(what, 0, total)
    return pipe.run_batch(requests, callback_on_step_end=partial(_tell, on_progress, what, total))


def _tell(on_progress: Progress, what: str, total: int, pipe: object, step: int, *rest: object) -> None:
    on_progress(what, step + 1, total)


def _slug(label: str) -> str:
    return label.replace(" ", "-")


def _figure(exhibit: Exhibit) -> str:
    pictures = "".join(
        f'<div><img src="pictures/{exhibit.name}-{_slug(label)}.png" alt="{label}">'
        f"{label if exhibit.source is not None else ''}</div>"
        for label, _ in exhibit.pictures
    )
    return (
        f'<figure><div class="row">{pictures}</div><figcaption>{html.escape(exhibit.request.prompt)}'
        "</figcaption></figure>"
    )


def _cards(exhibits: Sequence[Exhibit], columns: int) -> list[Image.Image]:
    """Exhibits of one section as white cards of one size, for rows of `columns`."""
    width = (_WIDTH - 2 * _MARGIN - (columns - 1) * _GAP) // columns
    font = _font(_CAPTION_PX)
    captions = [_wrap(exhibit.request.prompt, font, width - 2 * _PAD) for exhibit in exhibits]
    num_lines = max(len(lines) for lines in captions)
    return [
        _card(exhibit, lines, width, num_lines) for exhibit, lines in zip(exhibits, captions, strict=True)
    ]


def _card(exhibit: Exhibit, lines: Sequence[str], width: int, num_lines: int) -> Image.Image:
    """One exhibit: its pictures side by side, labels if there are several, then the words."""
    pictures = exhibit.pictures
    side = (width - 2 * _PAD - (len(pictures) - 1) * 10) // len(pictures)
    caption_top = _PAD + side + (28 if len(pictures) > 1 else 0) + 12
    card = Image.new("RGB", (width, caption_top + num_lines * _LINE_PX + _PAD), _PAGE)
    draw = ImageDraw.Draw(card)
    draw.rounded_rectangle((0, 0, width - 1, card.height - 1), radius=12, fill=_CARD, outline=_LINE)
    for number, (label, picture) in enumerate(pictures):
        left = _PAD + number * (side + 10)
        card.paste(_fit(picture, side), (left, _PAD))
        draw.rectangle((left, _PAD, left + side - 1, _PAD + side - 1), outline=_LINE)
        if len(pictures) > 1:
            middle = (left + side // 2, _PAD + side + 7)
            draw.text(middle, label, font=_font(14), fill=_INK if label == "result" else _MUTED, anchor="ma")
    for number, line in enumerate(lines):
        draw.text((_PAD, caption_top + number * _LINE_PX), line, font=_font(_CAPTION_PX), fill=_INK)
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
