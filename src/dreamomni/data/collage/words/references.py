"""Which one? Noun phrases that fit exactly one thing of a picture, or exactly the things that are meant.

Everything is read off labels, so a phrase is true of the pixels. A thing whose colour has no name may look
like any colour, so it counts as a rival of every colour.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.labels import PREDICATES, cosines
from dreamomni.data.collage.layout import LOCATIONS
from dreamomni.data.collage.naming import article, is_pair, plural
from dreamomni.data.collage.words.captions import RELATIONS
from dreamomni.data.collage.words.lexicon import bare, counted, definite
from dreamomni.data.collage.words.phrasing import pick_phrase
from dreamomni.data.collage.words.places import WHERE
from dreamomni.tasks.geometry import Box, Size
from dreamomni.tasks.sample import ObjectLabel

By = Literal["name", "colour", "place", "size", "relation", "all of a name", "all of a colour"]

# Comparisons along an axis: (sign, index of the centre's coordinate), phrases for many, more for exactly two.
_ENDS: dict[str, tuple[tuple[int, int], tuple[str, ...], tuple[str, ...]]] = {
    "left": (
        (-1, 0),
        ("the leftmost {n}", "the {n} furthest to the left"),
        ("the left {n}", "the {n} on the left"),
    ),
    "right": (
        (1, 0),
        ("the rightmost {n}", "the {n} furthest to the right"),
        ("the right {n}", "the {n} on the right"),
    ),
    "top": ((-1, 1), ("the topmost {n}", "the highest {n}"), ("the upper {n}", "the {n} at the top")),
    "bottom": ((1, 1), ("the lowest {n}", "the bottommost {n}"), ("the lower {n}", "the {n} at the bottom")),
}
_LARGEST = ("the largest {n}", "the biggest {n}")
_LARGER = ("the larger {n}", "the bigger {n}")
_SMALLEST = ("the smallest {n}",)
_SMALLER = ("the smaller {n}",)
NEXT_TO: tuple[str, ...] = ("the {n} next to {a}", "the {n} beside {a}", "the {n} near {a}")
ALL_NAMED: tuple[str, ...] = ("all {p}", "every {n}", "each {n}", "all the {p}", "all of the {p}")
BOTH_NAMED: tuple[str, ...] = ("both {p}", "the two {p}", "all {p}", "every {n}")
ALL_COLOURED: tuple[str, ...] = (
    "everything that is {c}",
    "everything {c}",
    "all {c} things",
    "every {c} thing",
    "all {c} objects",
    "every {c} object",
    "all things that are {c}",
)

_END_MARGIN = 0.12
_SIZE_RATIO = 1.6
_CLEAR = 0.85
_UNCLEAR = 0.3
_CELL_MARGIN = 0.13
_CENTER_MARGIN = 0.18
_NEAR = 0.12


@dataclass(frozen=True, slots=True)
class Reference:
    """A phrase, and what it tells things apart by.

    Attributes:
        text: "the red star", "the leftmost star", "the star above the house".
        by: The weakest means that made it unambiguous.
        many: Whether it speaks of several things.
        plural: Whether its verb is plural, as that of "the scissors" is.
    """

    text: str
    by: By
    many: bool = False
    plural: bool = False


def refer(label: ObjectLabel, labels: Sequence[ObjectLabel], size: Size) -> tuple[Reference, ...]:
    """List true phrases that fit one thing of a picture and no other.

    Args:
        label: The thing that is meant.
        labels: Everything in the picture, the thing itself included.
        size: Canvas.

    Returns:
        Phrases by name and colour first; empty when the thing cannot be told from others.
    """
    found: list[Reference] = []
    others = [other for other in labels if other.instance_id != label.instance_id]
    pair = is_pair(label.name)
    for colour in (None, label.colour) if label.colour else (None,):
        rivals = [other for other in others if _is_rival(other, label.name, colour)]
        noun = bare(label.name, colour)
        if not rivals:
            found.append(Reference(f"the {noun}", "name" if colour is None else "colour", plural=pair))
        else:
            found += [
                Reference(text, by, plural=pair)
                for text, by in _told_apart(noun, label, rivals, others, size)
            ]
    return tuple(found)


def refer_to_name(name: str, labels: Sequence[ObjectLabel]) -> tuple[Reference, ...]:
    """List phrases for all things of a name; empty where another name could be meant too."""
    same = [label for label in labels if label.name == name]
    if not same or any(label.name != name and _is_rival(label, name, None) for label in labels):
        return ()
    bank = BOTH_NAMED if len(same) == 2 else ALL_NAMED
    pair = article(name) == "a pair of"
    one, many = (f"pair of {name}", f"pairs of {plural(name)}") if pair else (name, plural(name))
    texts = [phrase.format(n=one, p=many) for phrase in bank]
    return tuple(Reference(text, "all of a name", _is_plural(text)) for text in texts)


def refer_to_colour(colour: str, labels: Sequence[ObjectLabel]) -> tuple[Reference, ...]:
    """List phrases for all things of a colour; empty where one has it in part, or a colour without a name."""
    others = [label.colour for label in labels if label.colour != colour]
    if len(others) == len(labels) or any(other is None or colour in other.split() for other in others):
        return ()
    texts = [phrase.format(c=colour) for phrase in ALL_COLOURED]
    return tuple(Reference(text, "all of a colour", _is_plural(text)) for text in texts)


def locate(label: ObjectLabel, size: Size) -> str | None:
    """Name the part of the canvas (a key of `LOCATIONS`) that holds the centre of a thing, if it is clear."""
    x, y = label.box.centre
    for location, (x0, y0, x1, y1) in LOCATIONS.items():
        if x0 * size.width <= x <= x1 * size.width and y0 * size.height <= y <= y1 * size.height:
            return location
    return None


def list_things(labels: Sequence[ObjectLabel]) -> str:
    """Name everything with number and colour: "a red apple and two green stars"; "nothing" when empty."""
    counts: dict[tuple[str, str, str | None], int] = {}
    for label in labels:
        key = (label.kind, label.name, label.colour)
        counts[key] = counts.get(key, 0) + 1
    nouns = [
        f'the text "{name}" in {colour}' if kind == "text" else counted(count, name, colour)
        for (kind, name, colour), count in counts.items()
    ]
    return join_words(nouns) if nouns else "nothing"


def join_words(parts: Sequence[str]) -> str:
    """Join phrases as people do: "a", "a and b", "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def pick_reference(references: Sequence[Reference], draws: Draws) -> Reference:
    """Draw one of several phrases; the plain forms (the first) come often."""
    plain, any_of = draws.chance(0.5), draws.pick(references)
    return references[0] if plain else any_of


def relation_phrase(predicate: str, noun: str, draws: Draws) -> str:
    """Word a relation: "to the left of the house"."""
    return f"{pick_phrase(RELATIONS[predicate], draws)} {noun}"


def place_phrase(location: str, draws: Draws) -> str:
    """Word a part of the canvas: "in the upper left"."""
    return pick_phrase(WHERE[location], draws)


def short_reference(
    label: ObjectLabel,
    labels: Sequence[ObjectLabel],
    size: Size,
    draws: Draws,
    *,
    say_colour: bool = False,
    say_where: float = 0.0,
    moves: bool = False,
) -> str | None:
    """Say which thing is meant: by name or colour if that is enough, else by what tells it apart.

    Args:
        label: The thing that is meant.
        labels: Everything in the picture, the thing itself included.
        size: Canvas.
        draws: Stream of the words.
        say_colour: Whether the words name its colour although its name is enough.
        say_where: How often they say where it is although its name or colour is enough.
        moves: Whether the words tell to move it: "the cat above the house" would then read as where to.

    Returns:
        The phrase, or None when words cannot tell the thing from its like.
    """
    found = refer(label, labels, size)
    if moves:
        found = tuple(reference for reference in found if reference.text.endswith(label.name))
    short = {reference.by: reference.text for reference in found if reference.by in ("name", "colour")}
    if not short:
        ways: dict[By, list[str]] = {}
        for reference in found:
            ways.setdefault(reference.by, []).append(reference.text)
        return draws.pick(ways[draws.pick(tuple(ways))]) if ways else None
    text = short["colour"] if "colour" in short and (say_colour or "name" not in short) else short["name"]
    if draws.chance(say_where):
        location = locate(label, size)
        if location is not None:
            return f"{text} {place_phrase(location, draws)}"
    return text


def reference_templates() -> Iterator[str]:
    """List every template, for the corpus of a tokenizer."""
    for _, many, two in _ENDS.values():
        yield from (*many, *two)
    yield from (*_LARGEST, *_LARGER, *_SMALLEST, *_SMALLER, *NEXT_TO, *ALL_NAMED, *BOTH_NAMED, *ALL_COLOURED)


def _is_rival(other: ObjectLabel, name: str, colour: str | None) -> bool:
    """Say whether words for (name, colour) could mean `other`: a "hot air balloon" is a "balloon" too."""
    if other.kind == "text" or not (other.name == name or other.name.endswith(f" {name}")):
        return False
    return colour is None or other.colour is None or other.colour == colour


def _told_apart(
    noun: str, label: ObjectLabel, rivals: Sequence[ObjectLabel], others: Sequence[ObjectLabel], size: Size
) -> Iterator[tuple[str, By]]:
    two = len(rivals) == 1
    for (sign, axis), many_phrases, two_phrases in _ENDS.values():
        margin = _END_MARGIN * size[axis]
        own = label.box.centre[axis]
        if all(sign * (own - rival.box.centre[axis]) > margin for rival in rivals):
            half = sign * (own - size[axis] / 2) > 0
            for phrase in (*two_phrases, *many_phrases) if two else many_phrases:
                # "On the left" is also said of the canvas, so it must be true there.
                if half or not phrase.startswith("the {n} "):
                    yield phrase.format(n=noun), "place"
    location = locate(label, size)
    if location is not None and not any(_near_cell(rival, location, size) for rival in rivals):
        for phrase in WHERE[location]:
            yield f"the {noun} {phrase}", "place"
    for phrases, compare in (
        (_LARGER if two else _LARGEST, _larger),
        (_SMALLER if two else _SMALLEST, _smaller),
    ):
        if all(compare(label, rival) for rival in rivals):
            for phrase in phrases:
                yield phrase.format(n=noun), "size"
    for anchor in others:
        if anchor in rivals or any(_is_rival(o, anchor.name, None) for o in others if o is not anchor):
            continue
        if _is_rival(label, anchor.name, None) or anchor.kind == "text":
            continue
        reach = _NEAR * min(size)
        if _gap(label.box, anchor.box) <= reach and all(
            _gap(rival.box, anchor.box) > 3 * reach for rival in rivals
        ):
            for phrase in NEXT_TO:
                yield phrase.format(n=noun, a=definite(anchor.name)), "relation"
        own_cosines = cosines(label.box, anchor.box)
        for predicate in PREDICATES:
            if own_cosines[predicate] > _CLEAR and all(
                cosines(rival.box, anchor.box)[predicate] < _UNCLEAR for rival in rivals
            ):
                for phrase in RELATIONS[predicate]:
                    yield f"the {noun} {phrase} {definite(anchor.name)}", "relation"


def _gap(first: Box, second: Box) -> float:
    """Empty pixels between two boxes along the longer way; 0 when they touch."""
    across = max(first.x0 - second.x1, second.x0 - first.x1, 0)
    return float(max(across, first.y0 - second.y1, second.y0 - first.y1))


def _near_cell(label: ObjectLabel, location: str, size: Size) -> bool:
    x0, y0, x1, y1 = LOCATIONS[location]
    # What is at the lower left is at the bottom too.
    if location in ("top", "bottom"):
        x0, x1 = 0.0, 1.0
    elif location in ("left", "right"):
        y0, y1 = 0.0, 1.0
    x, y = label.box.centre[0] / size.width, label.box.centre[1] / size.height
    margin = _CENTER_MARGIN if location == "center" else _CELL_MARGIN
    return x0 - margin <= x <= x1 + margin and y0 - margin <= y <= y1 + margin


def _larger(label: ObjectLabel, rival: ObjectLabel) -> bool:
    # Both what is seen and the whole thing must be larger: half of a large thing is no small thing.
    return label.area >= _SIZE_RATIO * rival.area and label.area / label.visibility >= _SIZE_RATIO * (
        rival.area / rival.visibility
    )


def _smaller(label: ObjectLabel, rival: ObjectLabel) -> bool:
    return _larger(rival, label)


def _is_plural(text: str) -> bool:
    return text.startswith(("all ", "both ", "the two "))
