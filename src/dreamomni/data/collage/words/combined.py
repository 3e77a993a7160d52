"""Clauses of combined tasks: drags and marks that stand among edits in one instruction."""

from collections.abc import Iterator, Sequence

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.motions import Motion
from dreamomni.data.collage.naming import article
from dreamomni.data.collage.options.drag import DragOptions
from dreamomni.data.collage.words.drag import motion_words
from dreamomni.data.collage.words.phrasing import pick_phrase
from dreamomni.tasks.conditioning import drag_text
from dreamomni.tasks.sample import DragLabel

WITH_POINTS: tuple[str, ...] = (
    "{s} {p}",
    "{s} following {p}",
    "{s} with the points {p}",
    "{s} using {p}",
    "{s} by the drag {p}",
)

# {d} is the thing, {c} a colour, {ac} the colour with its article.
MARKS: dict[str, tuple[str, ...]] = {
    "segment": (
        "segment {d} in {c}",
        "segment {d} using {c}",
        "mark {d} in {c}",
        "fill {d} with {c}",
        "paint over {d} in {c}",
        "cover {d} with {c}",
        "mask {d} with {c}",
        "highlight {d} in {c}",
        "show the region of {d} in {c}",
        "draw {ac} mask over {d}",
        "give {d} {ac} mask",
        "fill the area of {d} with solid {c}",
        "mark the pixels of {d} in {c}",
        "turn every pixel of {d} {c}",
        "use {c} to segment {d}",
    ),
    "detect": (
        "draw {ac} box around {d}",
        "put {ac} box around {d}",
        "detect {d} with {ac} box",
        "mark {d} with {ac} box",
        "draw {ac} bounding box around {d}",
        "put {ac} bounding box around {d}",
        "frame {d} in {c}",
        "draw {ac} frame around {d}",
        "draw {ac} rectangle around {d}",
        "enclose {d} in {ac} rectangle",
        "locate {d} with {ac} box",
        "box {d} in {c}",
        "use {ac} box to mark {d}",
        "point out {d} with {ac} rectangle",
        "surround {d} with {ac} box",
    ),
}


def write_motion_clause(
    motion: Motion, noun: str, points: Sequence[DragLabel], options: DragOptions, draws: Draws
) -> str:
    """Word one drag among other operations: "move the blue car to the right along (0.4123, ...)"."""
    layout = pick_phrase(WITH_POINTS, draws)
    words = motion_words(motion, noun, options, draws, plain=True)
    return layout.format(s=words, p=drag_text(points))


def write_mark_clause(kind: str, noun: str, colour: str, draws: Draws) -> str:
    """Word one segmentation or detection among other operations: "draw a red box around the tree"."""
    return pick_phrase(MARKS[kind], draws).format(d=noun, c=colour, ac=f"{article(colour)} {colour}")


def combined_templates() -> Iterator[str]:
    """List every template, for the corpus of a tokenizer."""
    yield from WITH_POINTS
    for bank in MARKS.values():
        yield from bank
