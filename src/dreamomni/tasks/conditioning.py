"""How the structure of a request becomes words and pixels: drags, holes, margins, maps, subjects, marks.

The network knows nothing but words and pictures (section 3.2), so drag points are text, a hole is grey, and a
mark is paint. The data engine and the pipeline both take these functions and templates, so that a request
looks as its training samples did. Of every bank of phrases in the engine, the first and most frequent is the
one here.
"""

import functools
import re
from collections.abc import Iterable, Sequence
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.errors import RequestError
from dreamomni.tasks.colours import PALETTE, RGB
from dreamomni.tasks.geometry import Size

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.uint8]

HOLE_FILL: RGB = (128, 128, 128)
"""sRGB of what is to be painted anew, in image 1 of inpainting and outpainting."""

# Templates: {p} points, {s} what is said or shown, {x} content, {m} what a map shows, {k} the number of an
# image, {b} a background, {d} a thing, {c} a colour, {ac} the colour with its article.
POINTS_WITH_WORDS = "{p} {s}"
POINTS_ALONE = "{p}"
FOLLOWING_MAP = "{x}, following {m} of the image"
MAP_WORDS: dict[str, tuple[str, ...]] = {
    "canny": ("the edges", "the edge map", "the outlines", "the contours", "the lines"),
    "depth": ("the depth map", "the depth", "the depth layers", "the distances"),
    "pose": ("the pose", "the skeleton", "the posture"),
    "scribble": ("the scribble", "the sketch", "the strokes"),
    "segmentation": (
        "the segmentation map",
        "the regions",
        "the segments",
        "the colored regions",
        "the masks",
    ),
}
"""What words call a map, by its kind; the plain name first."""
PLACE_SUBJECTS = "place {s}{b}"
OF_IMAGE_NUMBER = "of image {k}"
AS_SEEN_IN = "as seen in"
SEGMENT_IN = "segment {d} in {c}"
BOX_AROUND = "draw {ac} box around {d}"
BOXES_AROUND = "draw {c} boxes around {d}"

_ANY_PICTURE = "a picture"
_ANY_THING = "the thing"

# What a whole instruction to mark begins with; anything else is taken as the name of what to mark.
MARKING_VERBS = frozenset(
    re.findall(
        r"\w+",
        "segment color colour mark fill paint cover mask highlight show give draw turn please can could use "
        "in find detect put frame outline locate enclose point surround box add make",
    )
)
_COLOUR = "|".join((*PALETTE, "grey"))
_MARK_COLOURS = (
    re.compile(rf"^in ({_COLOUR}),", re.IGNORECASE),
    re.compile(
        rf"\b({_COLOUR})(?: bounding)? (?:box|boxes|mask|masks|frame|frames|rectangle|rectangles)\b",
        re.IGNORECASE,
    ),
    re.compile(rf"\buse ({_COLOUR}) to\b", re.IGNORECASE),
    re.compile(rf"\b(?:in|with|using|solid) (?:solid )?({_COLOUR})\b", re.IGNORECASE),
    re.compile(rf"^(?:colou?r|paint|turn) .*\b({_COLOUR})\.?$", re.IGNORECASE),
)
_NAMED_IN = re.compile(rf"(.+?) in ({_COLOUR})\.?", re.IGNORECASE)
_MANY = re.compile(
    r"\b(all|every|each|both|everything|two|three|four|five|six|boxes|frames|rectangles)\b", re.IGNORECASE
)
_SAYS_IMAGE = re.compile(
    r"\bimages? (\d|one|two|three|four|five)\b|\breference images?\b|\b(given|provided) images?\b"
    r"|\b(first|second|third|fourth|fifth)( \w+){0,2} image\b|\bthe images?\b",
    re.IGNORECASE,
)


class DragPoint(Protocol):
    """A point and where it goes: fractions of width and height."""

    @property
    def x(self) -> float: ...  # noqa: D102
    @property
    def y(self) -> float: ...  # noqa: D102
    @property
    def dx(self) -> float: ...  # noqa: D102
    @property
    def dy(self) -> float: ...  # noqa: D102


def drag_text(drags: Iterable[DragPoint]) -> str:
    """Points as text: "(0.4123, 0.2500, 0.1000, 0.0000) (...)", as fractions with four decimals."""
    return " ".join(f"({d.x:.4f}, {d.y:.4f}, {d.dx:.4f}, {d.dy:.4f})" for d in drags)


def drag_words(prompt: str, drags: Sequence[DragPoint]) -> str:
    """The words of a request with drags: the points, then what was said, if anything.

    Points that the prompt spells out already are not said twice.
    """
    if all(drag_text([drag]) in prompt for drag in drags):
        return prompt
    points = drag_text(drags)
    return POINTS_WITH_WORDS.format(p=points, s=prompt) if prompt.strip() else POINTS_ALONE.format(p=points)


def control_words(prompt: str, control: str) -> str:
    """The words of a request with a map: "a red house, following the edges of the image".

    A prompt that speaks of the map itself ("use the edge map of image 1 to draw ...") is left as it is.
    """
    names = MAP_WORDS[control]
    text = prompt.strip().rstrip(".")
    if any(re.search(rf"\b{name}\b", text, re.IGNORECASE) for name in names):
        return prompt
    return FOLLOWING_MAP.format(x=text or _ANY_PICTURE, m=names[0])


def subject_words(prompt: str, num_images: int) -> str:
    """The words of a request with subjects: each is said to be that of an image.

    A prompt that speaks of its images is left as it is; without one, the thing of each image is placed.
    """
    if _SAYS_IMAGE.search(prompt):
        return prompt
    numbers = range(1, num_images + 1)
    text = prompt.strip().rstrip(".")
    if not text:
        things = [f"{_ANY_THING} {OF_IMAGE_NUMBER.format(k=number)}" for number in numbers]
        return PLACE_SUBJECTS.format(s=_join(things), b="")
    return f"{text}, {AS_SEEN_IN} {_join([f'image {number}' for number in numbers])}"


def mark_words(task: str, prompt: str, colour: str) -> str:
    """The words of a segmentation or detection: "segment the fish in orange".

    Args:
        task: "segment" or "detect".
        prompt: What to mark ("the fish"), or a whole instruction ("mark the fish"), with a colour or without.
        colour: What to mark it in; that of `mark_colour` where the prompt names one.
    """
    text = prompt.strip().rstrip(".")
    if is_instruction(text):
        return prompt if mark_colour(prompt) else f"{text} in {colour}"
    named = _NAMED_IN.fullmatch(text)
    thing = named[1] if named and _as_named(named[2]) == colour else text
    template = SEGMENT_IN if task == "segment" else BOXES_AROUND if asks_many(thing) else BOX_AROUND
    return template.format(d=thing, c=colour, ac=f"{_article(colour)} {colour}")


def is_instruction(prompt: str) -> bool:
    """Say whether a prompt says what to do ("mark the fish"), or only names what to do it to ("the fish")."""
    found = re.match(r"\s*([a-z]+)", prompt, re.IGNORECASE)
    return found is not None and found[1].lower() in MARKING_VERBS


def asks_many(prompt: str) -> bool:
    """Say whether a prompt may mean more than one thing: "all fish", "draw boxes around ..."."""
    return bool(_MANY.search(prompt))


def mark_colour(prompt: str) -> str | None:
    """Return the colour that a prompt wants the mark in, as `PALETTE` names it; None if it names none.

    "the red fish" names a fish, "segment the red fish in orange" a mark.
    """
    text = prompt.strip()
    found = next((match for pattern in _MARK_COLOURS for match in list(pattern.finditer(text))[-1:]), None)
    if found is None:
        return None
    return _as_named(found[1])


def check_colour(colour: str) -> str:
    """Return the name of a colour as `PALETTE` has it.

    Raises:
        RequestError: It is none of them.
    """
    name = _as_named(colour.strip())
    if name not in PALETTE:
        raise RequestError(f"colour {colour!r} is unknown: say one of {', '.join(PALETTE)}")
    return name


def fill_hole(pixels: Pixels, mask: Mask, fill: RGB = HOLE_FILL) -> Pixels:
    """Paint over what a mask marks.

    Args:
        pixels: (H, W, 3) uint8; not changed.
        mask: (H, W) uint8, 0 or 255; white is the hole.
        fill: sRGB of the hole.

    Returns:
        (H, W, 3) uint8, a new array.
    """
    filled = pixels.copy()
    cv2.copyTo(_canvas(Size(pixels.shape[1], pixels.shape[0]), fill), mask, filled)
    return filled


def grow_canvas(
    pixels: Pixels, margins: tuple[int, int, int, int], fill: RGB = HOLE_FILL
) -> tuple[Pixels, Mask]:
    """Put an image on a larger canvas.

    Args:
        pixels: (H, W, 3) uint8.
        margins: Pixels to add: left, top, right, bottom; none negative.
        fill: sRGB of what is added.

    Returns:
        The canvas (H + top + bottom, W + left + right, 3), and its mask: uint8, 255 where it was added.
    """
    left, top, right, bottom = margins
    height, width = pixels.shape[:2]
    grown = Size(width + left + right, height + top + bottom)
    canvas = _canvas(grown, fill).copy()
    mask = np.full((grown.height, grown.width), 255, np.uint8)
    inside = np.s_[top : top + height, left : left + width]
    canvas[inside], mask[inside] = pixels, 0
    return canvas, mask


@functools.lru_cache(maxsize=64)
def _canvas(size: Size, rgb: RGB) -> Pixels:
    """A canvas of one colour; kept, because numpy needs milliseconds to repeat three bytes."""
    canvas = np.zeros((size.height, size.width, 3), np.uint8)
    cv2.rectangle(canvas, (0, 0), (size.width, size.height), rgb, cv2.FILLED)
    canvas.setflags(write=False)
    return canvas


def _as_named(colour: str) -> str:
    return {"grey": "gray"}.get(colour.lower(), colour.lower())


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _join(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]
