"""Full descriptions of a scene: what, how many, which colour, and where everything is.

Statements are found in the labels, so each is true of the pixels; sentences only word them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.labels import PREDICATES, Predicate, cosines
from dreamomni.data.collage.layout import LOCATIONS
from dreamomni.data.collage.words.captions import RELATIONS
from dreamomni.data.collage.words.lexicon import NUMBER_WORDS, bare, counted
from dreamomni.data.collage.words.phrasing import pick_phrase
from dreamomni.data.collage.words.places import WHERE
from dreamomni.tasks.geometry import Box, Size
from dreamomni.tasks.sample import ObjectLabel

_STRAIGHT = 0.85
"""Cosine from which one direction says it all."""
_DIAGONAL = 0.5
_UPRIGHT_FIRST: tuple[Predicate, ...] = ("above", "below", "left of", "right of")
"""As people say a diagonal: "above and to the left of"."""
"""Cosine that both directions of a diagonal need; GenEval asks as much of either."""
_DIRECTLY = 0.985
_NEAR = 0.25
"""Gap, as a part of the shorter side, up to which something may be directly beside."""

# {x} what, {is} is or are, {l} where on the canvas.
PLACED: tuple[str, ...] = (
    "{l} there {is} {x}",
    "{x} {is} {l}",
    "{l} {is} {x}",
    "{l} you can see {x}",
    "{x} can be seen {l}",
    "{l} {is} drawn {x}",
    "{x} {is} placed {l}",
    "{x} {is} located {l}",
    "{l} {is} placed {x}",
    "{x} {has} a place {l}",
    "{x} {is} shown {l}",
    "{l} we find {x}",
    "{x} {appears} {l}",
    "{l} {appears} {x}",
    "there {is} {x} {l}",
)

# {y} is the thing that the place is seen from, {r} the direction.
RELATED: tuple[str, ...] = (
    "{r} {y} {is} {x}",
    "{r} {y} there {is} {x}",
    "{x} {is} {r} {y}",
    "{x} can be seen {r} {y}",
    "{x} {is} placed {r} {y}",
    "{r} {y} you can see {x}",
    "{x} {is} shown {r} {y}",
    "{x} {is} located {r} {y}",
    "{r} {y} we find {x}",
    "{r} {y} {appears} {x}",
    "{x} {appears} {r} {y}",
    "{r} {y} {is} drawn {x}",
    "{r} {y} {is} placed {x}",
    "there {is} {x} {r} {y}",
    "{x} {is} found {r} {y}",
)

# A place on the canvas and a direction in one sentence.
BOTH: tuple[str, ...] = (
    "{l}, {r} {y}, there {is} {x}",
    "{x} {is} {l}, {r} {y}",
    "{r} {y}, {l}, {is} {x}",
    "{l}, {r} {y}, you can see {x}",
    "{x} {appears} {l}, {r} {y}",
)

INTRO: tuple[str, ...] = (
    "the picture shows {n}{b}",
    "there are {n}{b}",
    "a picture of {n}{b}",
    "an image of {n}{b}",
    "{n} can be seen{b}",
    "we see {n}{b}",
    "a collage of {n}{b}",
    "an illustration of {n}{b}",
    "{n} are arranged{b}",
    "a scene with {n}{b}",
    "draw {n}{b}",
    "show {n}{b}",
    "create a picture of {n}{b}",
    "a canvas with {n}{b}",
    "{n} are placed{b}",
)

QUADRANTS: dict[str, tuple[str, ...]] = {
    "upper left": ("in the upper left quadrant", "in the upper left part of the picture"),
    "upper right": ("in the upper right quadrant", "in the upper right part of the picture"),
    "lower left": ("in the lower left quadrant", "in the lower left part of the picture"),
    "lower right": ("in the lower right quadrant", "in the lower right part of the picture"),
    "top": ("at the top of the picture", "near the top"),
    "bottom": ("at the bottom of the picture", "near the bottom"),
    "left": ("on the left side of the picture", "near the left edge"),
    "right": ("on the right side of the picture", "near the right edge"),
    "center": ("in the center of the picture", "in the middle of the picture"),
}

DIRECTLY: dict[str, tuple[str, ...]] = {
    "left of": ("directly to the left of",),
    "right of": ("directly to the right of",),
    "above": ("directly above", "right above"),
    "below": ("directly below", "right below"),
}

DIAGONAL: dict[tuple[str, str], tuple[str, ...]] = {
    ("above", "left of"): ("above and to the left of", "to the upper left of"),
    ("above", "right of"): ("above and to the right of", "to the upper right of"),
    ("below", "left of"): ("below and to the left of", "to the lower left of"),
    ("below", "right of"): ("below and to the right of", "to the lower right of"),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """Equal things as the labels show them.

    Attributes:
        name: What they are.
        colour: Their colour, or None where it has no name.
        boxes: Their visible boxes.
    """

    name: str
    colour: str | None
    boxes: tuple[Box, ...]

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the box around all of them, in pixels."""
        x0, y0 = min(box.x0 for box in self.boxes), min(box.y0 for box in self.boxes)
        x1, y1 = max(box.x1 for box in self.boxes), max(box.y1 for box in self.boxes)
        return (x0 + x1) / 2, (y0 + y1) / 2

    def noun(self) -> str:
        """First mention: "two red apples"."""
        return counted(len(self.boxes), self.name, self.colour)


@dataclass(frozen=True, slots=True)
class Statement:
    """Where one group is: a place on the canvas, or directions from a group named before, or both.

    Attributes:
        group: Number of the group.
        location: One of `LOCATIONS`, true of every member, or None.
        predicates: No, one or two directions, true of every member seen from every member of `anchor`.
        anchor: Number of the other group.
    """

    group: int
    location: str | None
    predicates: tuple[Predicate, ...] = ()
    anchor: int | None = None


def seen_groups(labels: Sequence[ObjectLabel]) -> tuple[Seen, ...]:
    """Gather equal things, in the order of their first label."""
    boxes: dict[tuple[str, str | None], list[Box]] = {}
    for label in labels:
        boxes.setdefault((label.name, label.colour), []).append(label.box)
    return tuple(Seen(name, colour, tuple(own)) for (name, colour), own in boxes.items())


def make_statements(groups: Sequence[Seen], size: Size, draws: Draws) -> tuple[Statement, ...] | None:
    """Say where every group is, each once, from places and from groups named before.

    Returns:
        One statement for each group, or None when the place of one cannot be said clearly.
    """
    pending = draws.shuffled(range(len(groups)))
    known: list[int] = []
    statements: list[Statement] = []
    while pending:
        for group in pending:
            statement = _statement(group, known, groups, size, draws)
            if statement is not None:
                break
        else:
            return None
        pending.remove(group)
        known.append(group)
        statements.append(statement)
    return tuple(statements)


def write_description(
    groups: Sequence[Seen], statements: Sequence[Statement], behind: str, size: Size, draws: Draws
) -> str:
    """Word statements as whole sentences.

    Args:
        groups: What is there.
        statements: Where everything is.
        behind: The background (" on a cream background"), or nothing.
        size: The canvas.
        draws: Stream of the words.
    """
    clauses = [
        _clause(statement, place, groups, statements, size, draws)
        for place, statement in enumerate(statements)
    ]
    total = sum(len(group.boxes) for group in groups)
    intro = pick_phrase(INTRO, draws).format(n=f"{NUMBER_WORDS[total]} things", b=behind)
    pairs = draws.chance(0.35)
    if behind or draws.chance(0.2):
        clauses.insert(0, intro)
    sentences = ["; ".join(clauses[first : first + 1 + pairs]) for first in range(0, len(clauses), 1 + pairs)]
    return " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences)


def as_details(groups: Sequence[Seen], statements: Sequence[Statement]) -> list[dict[str, Any]]:
    """Statements as plain facts, for checks."""
    return [
        {
            "name": groups[statement.group].name,
            "colour": groups[statement.group].colour,
            "count": len(groups[statement.group].boxes),
            "location": statement.location,
            "predicates": list(statement.predicates),
            "anchor": None if statement.anchor is None else groups[statement.anchor].name,
        }
        for statement in statements
    ]


def description_templates() -> Iterator[str]:
    """List every template, for the corpus of a tokenizer."""
    yield from (*PLACED, *RELATED, *BOTH, *INTRO)
    for phrases in (*QUADRANTS.values(), *DIRECTLY.values(), *DIAGONAL.values()):
        yield from phrases
    yield "is are has have appears appear it them"
    yield from (f"{number} things" for number in NUMBER_WORDS[2:])


def location_of(group: Seen, size: Size) -> str | None:
    """The named part of the canvas that holds the middle of a group and roughly each member."""
    x, y = group.centre[0] / size.width, group.centre[1] / size.height
    for name, (x0, y0, x1, y1) in LOCATIONS.items():
        if x0 <= x <= x1 and y0 <= y <= y1:
            # Members stand around the middle: none of them may reach the other side of the canvas.
            slack = 0.12
            inside = all(
                x0 - slack <= box.centre[0] / size.width <= x1 + slack
                and y0 - slack <= box.centre[1] / size.height <= y1 + slack
                for box in group.boxes
            )
            return name if inside else None
    return None


def direction_of(group: Seen, other: Seen) -> tuple[Predicate, ...]:
    """The direction, or the two of a diagonal, in which all of a group clearly lie from all of another."""
    values = [cosines(box, from_box) for box in group.boxes for from_box in other.boxes]
    lowest = {predicate: min(value[predicate] for value in values) for predicate in PREDICATES}
    straight = [predicate for predicate in PREDICATES if lowest[predicate] > _STRAIGHT]
    if straight:
        return (straight[0],)
    slanted = tuple(predicate for predicate in _UPRIGHT_FIRST if lowest[predicate] > _DIAGONAL)
    return slanted if len(slanted) == 2 else ()


def _statement(
    group: int, known: Sequence[int], groups: Sequence[Seen], size: Size, draws: Draws
) -> Statement | None:
    location = location_of(groups[group], size)
    anchors = [
        (other, found) for other in reversed(known) if (found := direction_of(groups[group], groups[other]))
    ]
    if not anchors:
        return None if location is None else Statement(group, location)
    # The group named last is the natural one to look from.
    anchor, predicates = anchors[0] if draws.chance(0.5) else draws.pick(anchors)
    style = draws.weighted({"relation": 0.6, "location": 0.2, "both": 0.2})
    if location is None or style == "relation":
        return Statement(group, None, predicates, anchor)
    if style == "location":
        return Statement(group, location)
    return Statement(group, location, predicates, anchor)


def _clause(
    statement: Statement,
    place: int,
    groups: Sequence[Seen],
    statements: Sequence[Statement],
    size: Size,
    draws: Draws,
) -> str:
    group = groups[statement.group]
    one = len(group.boxes) == 1
    words = {"is": "is" if one else "are", "has": "has" if one else "have"}
    words |= {"appears": "appears" if one else "appear", "x": group.noun()}
    where = towards = seen_from = ""
    if statement.location is not None:
        where = draws.pick((*WHERE[statement.location], *QUADRANTS[statement.location]))
    if statement.anchor is not None:
        towards = _towards(group, groups[statement.anchor], statement.predicates, size, draws)
        before = statements[place - 1]
        # "them" may only mean the one group that the clause before spoke of.
        alone = before.group == statement.anchor and before.anchor is None
        seen_from = _again(groups[statement.anchor], groups, draws, pronoun=alone)
    bank = PLACED if not towards else BOTH if where else RELATED
    return pick_phrase(bank, draws).format(l=where, r=towards, y=seen_from, **words)


def _towards(group: Seen, anchor: Seen, predicates: Sequence[Predicate], size: Size, draws: Draws) -> str:
    if len(predicates) == 2:
        return draws.pick(DIAGONAL[predicates[0], predicates[1]])
    (only,) = predicates
    exact = all(
        cosines(a, b)[only] > _DIRECTLY and _gap(a, b) <= _NEAR * min(size)
        for a in group.boxes
        for b in anchor.boxes
    )
    return draws.pick(DIRECTLY[only]) if exact and draws.chance(0.5) else pick_phrase(RELATIONS[only], draws)


def _again(group: Seen, groups: Sequence[Seen], draws: Draws, *, pronoun: bool) -> str:
    """A group that was named before: "them", "the two red apples", "the apples"."""
    count = len(group.boxes)
    if pronoun and draws.chance(0.6):
        return "it" if count == 1 else "them"
    alike = sum(other.name == group.name for other in groups) > 1
    colour = group.colour if alike or draws.chance(0.6) else None
    if count == 1:
        return f"the {bare(group.name, colour)}"
    many = counted(count, group.name, colour)
    return f"the {many}" if alike or draws.chance(0.5) else f"the {many.partition(' ')[2]}"


def _gap(first: Box, second: Box) -> int:
    """Empty pixels between two boxes along the longer way; 0 when they touch."""
    across = max(first.x0 - second.x1, second.x0 - first.x1, 0)
    return max(across, first.y0 - second.y1, second.y0 - first.y1)
