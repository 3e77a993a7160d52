"""Instructions of subject samples: which thing of which image goes where."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.labels import PREDICATES, cosines
from dreamomni.data.collage.naming import is_pair
from dreamomni.data.collage.words.lexicon import indefinite
from dreamomni.data.collage.words.phrasing import finish, pick_phrase
from dreamomni.data.collage.words.references import (
    join_words,
    list_things,
    locate,
    pick_reference,
    place_phrase,
    refer,
    relation_phrase,
)
from dreamomni.tasks.conditioning import AS_SEEN_IN, OF_IMAGE_NUMBER, PLACE_SUBJECTS
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.sample import ObjectLabel

# {s} is what goes into the picture, {b} the background. The first is the plain one.
SHORT: tuple[str, ...] = (
    PLACE_SUBJECTS,
    "put {s}{b}",
    "show {s}{b}",
    "draw {s}{b}",
    "arrange {s}{b}",
    "{s}{b}",
    "a picture of {s}{b}",
    "a new picture with {s}{b}",
    "an image that shows {s}{b}",
    "create an image of {s}{b}",
    "make a picture with {s}{b}",
    "generate a scene with {s}{b}",
    "compose a picture from {s}{b}",
    "please place {s}{b}",
    "can you put {s}{b}",
    "i want to see {s}{b}",
    "paint a scene of {s}{b}",
    "take {s} and show the result{b}",
)

OF_IMAGE: tuple[str, ...] = (
    OF_IMAGE_NUMBER,
    "from image {k}",
    "in image {k}",
    "of reference image {k}",
    "from reference image {k}",
    "of the {o} image",
    "from the {o} reference image",
    "in the {o} image",
)

DERIVED: tuple[str, ...] = (
    "derived from reference image {k}",
    "taken from reference image {k}",
    "taken from the {o} given image",
    "included from the {o} provided image",
    "copied from image {k}",
    "the {one} of reference image {k}",
    f"{AS_SEEN_IN} image {{k}}",
)

# Sentences of a full description: {x} is the thing, {p} where it is, {d} where it comes from.
PLACED: tuple[str, ...] = (
    "{x} {is} {p}, {d}",
    "{p}, there {is} {x}, {d}",
    "{x}, {d}, {is} {p}",
    "{x} {is} placed {p}, {d}",
    "{p} {stands} {x}, {d}",
    "{x} can be seen {p}, {d}",
    "{p}, {x} {is} shown, {d}",
)
UNPLACED: tuple[str, ...] = (
    "there {is} {x}, {d}",
    "the picture shows {x}, {d}",
    "{x} {is} there too, {d}",
    "{x} {belongs} to the picture, {d}",
)
ON: tuple[str, ...] = ("everything is{b}", "draw all of it{b}", "the whole scene is{b}", "all of this is{b}")

CHANGES: dict[str, tuple[str, ...]] = {
    "larger": ("make {t} larger", "enlarge {t}", "show {t} larger than before"),
    "smaller": ("make {t} smaller", "shrink {t}", "show {t} smaller than before"),
    "turned left": ("turn {t} counterclockwise", "rotate {t} to the left"),
    "turned right": ("turn {t} clockwise", "rotate {t} to the right"),
}

_VERBS: tuple[dict[str, str], ...] = (
    {"is": "is", "stands": "stands", "belongs": "belongs", "one": "one"},
    {"is": "are", "stands": "stand", "belongs": "belong", "one": "ones"},
)
"""Of one thing, and of what is a plural in grammar."""
_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_CLEAR = 0.85
_DIAGONAL = 0.5
_SAY_PLACE = 0.4


@dataclass(frozen=True, slots=True)
class Subject:
    """A thing on its way from a source to the target.

    Attributes:
        image: Number of its source, from 1.
        label: What it is in the target.
        references: Phrases (see `refer`) that mean it in its source.
        source_label: What it is in its source.
        changes: Keys of `CHANGES` that the words shall say.
    """

    image: int
    label: ObjectLabel
    source_label: ObjectLabel
    references: tuple[str, ...]
    changes: tuple[str, ...] = ()


def write_short(subjects: Sequence[Subject], size: Size, behind: str, draws: Draws) -> str:
    """Word a subject sample in one sentence.

    Args:
        subjects: In the order in which they are named.
        size: Canvas of the target.
        behind: Words for the background with a space in front, or nothing.
        draws: Stream of the words.
    """
    labels = [subject.label for subject in subjects]
    form = pick_phrase(OF_IMAGE, draws)
    nouns = []
    for subject in subjects:
        noun = draws.pick(subject.references)
        nouns.append(f"{noun} {_of(form, subject.image)}")
    parts = []
    start = 0
    predicate = _clear_relation(labels[0], labels[1]) if len(labels) > 1 else None
    if predicate is not None:
        parts.append(f"{nouns[0]} {relation_phrase(predicate, nouns[1], draws)}")
        start = 2
    for subject, noun in zip(subjects[start:], nouns[start:], strict=True):
        location = locate(subject.label, size) if draws.chance(_SAY_PLACE) else None
        parts.append(f"{noun} {place_phrase(location, draws)}" if location else noun)
    text = pick_phrase(SHORT, draws).format(s=join_words(parts), b=behind)
    changes = [_change(subject, labels, size, draws) for subject in subjects if subject.changes]
    return finish(", and ".join([text, *changes]), draws)


def write_long(subjects: Sequence[Subject], size: Size, behind: str, draws: Draws) -> str:
    """Word a subject sample as a full description, a sentence for each thing, as in Figure 2."""
    labels = [subject.label for subject in subjects]
    sentences = []
    for number, subject in enumerate(subjects):
        derived = pick_phrase(DERIVED, draws)
        plain = indefinite(subject.label.name, subject.label.colour)
        named = f"the {plain.split(' ', 1)[1]}" if plain.startswith(("a ", "an ")) else ""
        # "a red star" is enough only where the source has no other one.
        noun = plain if named in subject.references else draws.pick(subject.references)
        place = _place(subject.label, labels[:number], labels, size, draws)
        bank = UNPLACED if place is None else PLACED
        # "A pair of scissors is", but "the scissors are".
        verbs = _VERBS[noun != plain and is_pair(subject.label.name)]
        derived = _of(derived, subject.image, verbs["one"])
        sentences.append(pick_phrase(bank, draws).format(x=noun, p=place, d=derived, **verbs))
    sentences += [_change(subject, labels, size, draws) for subject in subjects if subject.changes]
    if behind:
        sentences.append(pick_phrase(ON, draws).format(b=behind))
    return " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences)


def describe_subjects(labels: Sequence[ObjectLabel], behind: str, draws: Draws) -> str:
    """Describe the target without a word about sources."""
    predicate = _clear_relation(labels[0], labels[1]) if len(labels) == 2 else None
    if predicate is None:
        return finish(list_things(labels) + behind, draws)
    first, second = (indefinite(label.name, label.colour) for label in labels)
    return finish(f"{first} {relation_phrase(predicate, second, draws)}{behind}", draws)


def subject_templates() -> Iterator[str]:
    """List every template, for the corpus of a tokenizer."""
    yield from (*SHORT, *OF_IMAGE, *DERIVED, *PLACED, *UNPLACED, *ON, *_ORDINALS)
    for phrases in CHANGES.values():
        yield from phrases
    yield "above below and to the left right of stands stand belongs belong one ones"


def _of(form: str, image: int, one: str = "one") -> str:
    return form.format(k=image, o=_ORDINALS[image - 1], one=one)


def _clear_relation(first: ObjectLabel, second: ObjectLabel) -> str | None:
    found = cosines(first.box, second.box)
    return next((predicate for predicate in PREDICATES if found[predicate] > _CLEAR), None)


def _place(
    label: ObjectLabel,
    earlier: Sequence[ObjectLabel],
    labels: Sequence[ObjectLabel],
    size: Size,
    draws: Draws,
) -> str | None:
    """Where a thing is: from one that was named before, or on the canvas; None where neither is clear."""
    location = locate(label, size)
    anchor = draws.pick(earlier) if earlier else None
    if anchor is not None and (location is None or not draws.chance(_SAY_PLACE)):
        names = [
            reference.text for reference in refer(anchor, labels, size) if reference.by in ("name", "colour")
        ]
        relation = _relation(label, anchor, draws)
        if names and relation is not None:
            return f"{relation} {names[0]}"
    return place_phrase(location, draws) if location is not None else None


def _relation(label: ObjectLabel, anchor: ObjectLabel, draws: Draws) -> str | None:
    predicate = _clear_relation(label, anchor)
    if predicate is not None:
        return relation_phrase(predicate, "", draws).strip()
    found = cosines(label.box, anchor.box)
    # Neither direction is clear alone, but both hold.
    both = [predicate for predicate in PREDICATES if found[predicate] > _DIAGONAL]
    return f"{both[1]} and to the {both[0]}" if len(both) == 2 else None  # "below and to the left of"


def _change(subject: Subject, labels: Sequence[ObjectLabel], size: Size, draws: Draws) -> str:
    target = pick_reference(refer(subject.label, labels, size), draws).text
    return " and ".join(pick_phrase(CHANGES[change], draws).format(t=target) for change in subject.changes)
