"""Instructions of drags: words for what happens, and the points as text (x, y, dx, dy)."""

import math
from collections.abc import Iterator, Sequence

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.motions import Motion
from dreamomni.data.collage.options.drag import DragOptions
from dreamomni.data.collage.words.phrasing import as_sentence, pick_phrase
from dreamomni.tasks.conditioning import POINTS_ALONE, POINTS_WITH_WORDS, drag_text
from dreamomni.tasks.sample import DragLabel

MOVE: tuple[str, ...] = (
    "move {d}{a}",
    "shift {d}{a}",
    "drag {d}{a}",
    "slide {d}{a}",
    "push {d}{a}",
    "pull {d}{a}",
    "translate {d}{a}",
    "carry {d}{a}",
    "displace {d}{a}",
    "relocate {d}{a}",
    "transport {d}{a}",
    "please move {d}{a}",
    "can you move {d}{a}",
    "now move {d}{a}",
    "let {d} move{a}",
    "i want {d} moved{a}",
    "{d} should move{a}",
)

ENLARGE: tuple[str, ...] = (
    "make {d} larger{a}",
    "enlarge {d}{a}",
    "scale up {d}{a}",
    "make {d} bigger{a}",
    "magnify {d}{a}",
    "grow {d}{a}",
    "expand {d}{a}",
    "blow up {d}{a}",
    "increase the size of {d}{a}",
    "upscale {d}{a}",
    "inflate {d}{a}",
    "please enlarge {d}{a}",
    "can you make {d} larger{a}",
    "let {d} grow{a}",
    "i want {d} larger{a}",
    "{d} should be bigger{a}",
    "{d} should get larger{a}",
)

SHRINK: tuple[str, ...] = (
    "make {d} smaller{a}",
    "shrink {d}{a}",
    "scale down {d}{a}",
    "reduce {d}{a}",
    "reduce the size of {d}{a}",
    "decrease the size of {d}{a}",
    "downscale {d}{a}",
    "contract {d}{a}",
    "make {d} tinier{a}",
    "please shrink {d}{a}",
    "please make {d} smaller{a}",
    "can you make {d} smaller{a}",
    "let {d} shrink{a}",
    "i want {d} smaller{a}",
    "{d} should be smaller{a}",
    "{d} should get smaller{a}",
)

ROTATE: tuple[str, ...] = (
    "rotate {d}{a}",
    "turn {d}{a}",
    "revolve {d}{a}",
    "spin {d}{a}",
    "twist {d}{a}",
    "swivel {d}{a}",
    "pivot {d}{a}",
    "swing {d}{a}",
    "turn {d} on the spot{a}",
    "rotate {d} in place{a}",
    "please rotate {d}{a}",
    "can you turn {d}{a}",
    "now rotate {d}{a}",
    "let {d} turn{a}",
    "i want {d} rotated{a}",
    "{d} should be turned{a}",
    "{d} should be rotated{a}",
)

DIRECTIONS: dict[str, tuple[str, ...]] = {
    "right": (" to the right", " right", " rightwards", " towards the right"),
    "upper right": (" up and to the right", " to the upper right", " diagonally up and right"),
    "up": (" up", " upwards", " towards the top"),
    "upper left": (" up and to the left", " to the upper left", " diagonally up and left"),
    "left": (" to the left", " left", " leftwards", " towards the left"),
    "lower left": (" down and to the left", " to the lower left", " diagonally down and left"),
    "down": (" down", " downwards", " towards the bottom"),
    "lower right": (" down and to the right", " to the lower right", " diagonally down and right"),
}

TURNS: dict[str, tuple[str, ...]] = {
    "left": (" counterclockwise", " anticlockwise", " counter-clockwise"),
    "right": (" clockwise",),
}

# What a sentence and its points look like together; the first is the form of the paper.
LAYOUTS: tuple[str, ...] = (
    POINTS_WITH_WORDS,
    "{s} {p}",
    "{s}: {p}",
    "{p}: {s}",
    "{s}, {p}",
    "{s} with the points {p}",
    "{s} using {p}",
    "{s}, drag {p}",
    "{s}; points {p}",
    "drag {p} to do this: {s}",
)

ONLY_POINTS: tuple[str, ...] = (
    POINTS_ALONE,
    "drag {p}",
    "drag points {p}",
    "drag the points {p}",
    "points: {p}",
    "follow the points {p}",
    "apply {p}",
)

JOINTS: tuple[str, ...] = ("{x}, and {y}", "{x}; {y}", "{x}, then {y}", "{x}, also {y}", "{x} and then {y}")

_SENTENCE = 0.15
_NO_CLAUSE = ("please", "can you", "now", "let", "i want", "{d}")
_SECTOR_DEGREES = 45.0
# In the width of a sector, so that "right" never means a clear diagonal.
_STRAIGHT_SHARE = 0.5


def write_drag(
    motions: Sequence[Motion],
    nouns: Sequence[str],
    points: Sequence[Sequence[DragLabel]],
    options: DragOptions,
    draws: Draws,
) -> str:
    """Word a drag.

    Args:
        motions: What happens to each thing.
        nouns: What to call each thing: "the red car".
        points: The points of each thing.
        options: How often what is said.
        draws: Stream of the words.
    """
    told = all(
        len(own) > 1 or motion.operation == "move" for motion, own in zip(motions, points, strict=True)
    )
    if draws.chance(options.only_points) and told:
        every = [label for own in points for label in own]
        return pick_phrase(ONLY_POINTS, draws).format(p=drag_text(every))
    layout, sentence = pick_phrase(LAYOUTS, draws), draws.chance(_SENTENCE)
    joint = pick_phrase(JOINTS, draws)
    parts = []
    for motion, noun, own in zip(motions, nouns, points, strict=True):
        words = motion_words(motion, noun, options, draws)
        if sentence and len(motions) == 1:
            words = as_sentence(words) if layout.endswith("{s}") else f"{words[0].upper()}{words[1:]}"
        parts.append(layout.format(p=drag_text(own), s=words))
    return parts[0] if len(parts) == 1 else joint.format(x=parts[0], y=parts[1])


def motion_words(
    motion: Motion, noun: str, options: DragOptions, draws: Draws, *, plain: bool = False
) -> str:
    """Say what happens to a thing: "move the red car to the right".

    Args:
        motion: What happens.
        noun: What to call the thing: "the red car".
        options: How often what is said.
        draws: Stream of the words.
        plain: Whether the phrase must do as one clause of several, starting with its verb.
    """
    say_amount, say_direction = draws.chance(options.say_amount), draws.chance(options.say_direction)
    if motion.operation == "move":
        bank = MOVE
        amount = pick_phrase(DIRECTIONS[direction(*motion.offset)], draws) if say_direction else ""
    elif motion.operation == "scale":
        bank = ENLARGE if motion.amount > 1 else SHRINK
        amount = f" by a factor of {max(motion.amount, 1 / motion.amount):.2f}" if say_amount else ""
    else:
        bank = ROTATE
        amount = f" by {abs(round(motion.amount))} degrees" if say_amount else ""
        if say_direction or say_amount:
            amount += pick_phrase(TURNS["left" if motion.amount > 0 else "right"], draws)
    if plain:
        bank = tuple(phrase for phrase in bank if not phrase.startswith(_NO_CLAUSE))
    return pick_phrase(bank, draws).format(d=noun, a=amount)


def direction(dx: float, dy: float) -> str:
    """Name the direction of a step to the right (dx) and down (dy): one of `DIRECTIONS`."""
    angle = math.degrees(math.atan2(-dy, dx)) % 360.0
    nearest = round(angle / 90.0) * 90.0
    names = tuple(DIRECTIONS)
    if abs(angle - nearest) <= _STRAIGHT_SHARE * _SECTOR_DEGREES:
        return names[int(nearest // _SECTOR_DEGREES) % 8]
    return names[int(angle // 90.0) * 2 + 1]


def drag_templates() -> Iterator[str]:
    """List every template, for the corpus of a tokenizer."""
    yield from (*MOVE, *ENLARGE, *SHRINK, *ROTATE, *LAYOUTS, *ONLY_POINTS, *JOINTS)
    for bank in (DIRECTIONS, TURNS):
        for phrases in bank.values():
            yield from phrases
    yield " by a factor of 1.25"
    yield " by 90 degrees"
    yield drag_text([DragLabel(0.1234, 0.5678, -0.9, 0.25, 1)])
