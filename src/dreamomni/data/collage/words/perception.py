"""Instructions of segmentation and detection samples."""

from collections.abc import Iterator, Sequence

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.naming import article
from dreamomni.data.collage.words.phrasing import finish, pick_phrase
from dreamomni.data.collage.words.references import Reference
from dreamomni.tasks.conditioning import BOX_AROUND, BOXES_AROUND, SEGMENT_IN

# {d} is what is meant, {c} a colour, {ac} the colour with its article. The first is the plain one.
SEGMENT: tuple[str, ...] = (
    SEGMENT_IN,
    "segment {d} using {c}",
    "color {d} {c}",
    "mark {d} in {c}",
    "fill {d} with {c}",
    "paint over {d} in {c}",
    "cover {d} with {c}",
    "mask {d} with {c}",
    "highlight {d} in {c}",
    "show the region of {d} in {c}",
    "give {d} {ac} mask",
    "draw {ac} mask over {d}",
    "fill the area of {d} with solid {c}",
    "turn every pixel of {d} {c}",
    "please segment {d} with {c}",
    "can you mark the pixels of {d} in {c}",
    "use {c} to segment {d}",
    "show with {c} where {d} {is}",
    "in {c}, segment {d}",
    "find {d} and fill the region with {c}",
)

DETECT: tuple[str, ...] = (
    BOX_AROUND,
    "detect {d} with {ac} box",
    "put {ac} bounding box around {d}",
    "draw {ac} bounding box around {d}",
    "mark {d} with {ac} box",
    "frame {d} in {c}",
    "outline the box of {d} in {c}",
    "locate {d} with {ac} box",
    "find {d} and draw {ac} box around the place",
    "show where {d} {is} with {ac} box",
    "draw {ac} frame around {d}",
    "draw {ac} rectangle around {d}",
    "enclose {d} in {ac} rectangle",
    "please box {d} in {c}",
    "can you detect {d} using {ac} bounding box",
    "use {ac} box to mark {d}",
    "point out {d} with {ac} rectangle",
    "surround {d} with {ac} box",
)

# One box for each of several things.
DETECT_MANY: tuple[str, ...] = (
    BOXES_AROUND,
    "detect {d} with {c} boxes",
    "put {c} bounding boxes around {d}",
    "draw {c} bounding boxes around {d}",
    "mark {d} with {c} boxes",
    "frame {d} in {c}",
    "locate {d} with {c} boxes",
    "find {d} and draw {c} boxes around the places",
    "show where {d} {is} with {c} boxes",
    "draw {c} frames around {d}",
    "draw {c} rectangles around {d}",
    "enclose {d} in {c} rectangles",
    "please box {d} in {c}",
    "can you detect {d} using {c} bounding boxes",
    "use {c} boxes to mark {d}",
    "point out {d} with {c} rectangles",
)

SEGMENTED: tuple[str, ...] = (
    "{x}, with {d} filled in {c}",
    "{x}, with {d} covered in solid {c}",
    "{x}, where {d} {is} painted {c}",
)
DETECTED: tuple[str, ...] = (
    "{x}, with {ac} box around {d}",
    "{x}, with {ac} bounding box around {d}",
    "{x}, where {d} {is} framed in {c}",
)
DETECTED_MANY: tuple[str, ...] = (
    "{x}, with {c} boxes around {d}",
    "{x}, with {c} bounding boxes around {d}",
    "{x}, where {d} {is} framed in {c}",
)


def write_perception(kind: str, reference: Reference, colour: str, several: bool, draws: Draws) -> str:
    """Word what to mark and how.

    Args:
        kind: "segment" or "detect".
        reference: What is meant.
        colour: Name of the colour to mark it with.
        several: Whether it is more than one thing.
        draws: Stream of the words.
    """
    bank: Sequence[str] = SEGMENT if kind == "segment" else DETECT_MANY if several else DETECT
    if reference.by == "all of a colour":
        # "segment everything red in green" would have to be read twice.
        bank = [phrase for phrase in bank if "{d} in {c}" not in phrase and "{d} {c}" not in phrase]
    return finish(_filled(pick_phrase(bank, draws), reference, colour), draws)


def describe_marked(
    kind: str, content: str, reference: Reference, colour: str, several: bool, draws: Draws
) -> str:
    """Describe the target: what it shows (`content`), and what is marked in it."""
    bank = SEGMENTED if kind == "segment" else DETECTED_MANY if several else DETECTED
    return finish(_filled(pick_phrase(bank, draws), reference, colour).replace("{x}", content), draws)


def perception_templates() -> Iterator[str]:
    """List every template, for the corpus of a tokenizer."""
    yield from (*SEGMENT, *DETECT, *DETECT_MANY, *SEGMENTED, *DETECTED, *DETECTED_MANY)


def _filled(phrase: str, reference: Reference, colour: str) -> str:
    fields = {"d": reference.text, "c": colour, "ac": f"{article(colour)} {colour}", "x": "{x}"}
    return phrase.format(**fields, **{"is": "are" if reference.many or reference.plural else "is"})
