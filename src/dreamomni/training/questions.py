"""Questions with one right answer, read off the labels of a sample. Nothing here looks at pixels."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dreamomni.data.collage.naming import plural
from dreamomni.data.collage.words.lexicon import NUMBER_WORDS
from dreamomni.tasks.sample import ObjectLabel, TrainingSample

CAPTION_PROMPT = "Describe the image."
_THIRDS_MARGIN = 0.05
"""Share of the canvas on either side of a third's border in which a place is not asked for."""


class Question(NamedTuple):
    """A question about a picture and its answer; `subject` is one of colour, count, what, where, is."""

    subject: str
    text: str
    answer: str


def draw_question(sample: TrainingSample, things: Sequence[str], rng: np.random.Generator) -> Question:
    """One of the questions that the sample's target can answer; every subject is as likely as any other.

    Args:
        sample: labels of its target are the truth.
        things: all names of the world, for questions about what is not there.
        rng: decides.
    """
    by_subject: dict[str, list[Question]] = {}
    for question in all_questions(sample, things, rng):
        by_subject.setdefault(question.subject, []).append(question)
    subjects = sorted(by_subject)
    chosen = by_subject[subjects[rng.integers(len(subjects))]]
    return chosen[rng.integers(len(chosen))]


def all_questions(sample: TrainingSample, things: Sequence[str], rng: np.random.Generator) -> list[Question]:
    """Every question about the target; `rng` picks which absent thing is asked for."""
    objects = sample.objects
    height, width = sample.target.shape[:2]
    counts = Counter(thing.name for thing in objects)
    colours = Counter(thing.colour for thing in objects)
    unique = {thing.name: thing for thing in objects if counts[thing.name] == 1}
    absent = [name for name in things if name not in counts]
    missing = absent[rng.integers(len(absent))] if absent else None

    questions = [
        Question("count", f"How many {plural(name)} are there?", _number(n)) for name, n in counts.items()
    ]
    questions += [Question("is", f"Is there a picture of {plural(name)} here?", "yes") for name in counts]
    if missing is not None:
        questions.append(Question("count", f"How many {plural(missing)} are there?", _number(0)))
        questions.append(Question("is", f"Is there a picture of {plural(missing)} here?", "no"))
    for name, thing in unique.items():
        if thing.colour is not None:
            questions.append(Question("colour", f"What color is the {name}?", thing.colour))
        place = place_of(thing, width, height)
        if place is not None:
            questions.append(Question("where", f"Where is the {name}?", place))
    questions += [
        Question("what", f"What is {thing.colour}?", thing.name)
        for thing in objects
        if thing.colour is not None and colours[thing.colour] == 1
    ]
    return questions + _relation_questions(sample, unique)


def place_of(thing: ObjectLabel, width: int, height: int) -> str | None:
    """Which ninth of the canvas the centre of a thing lies in, or None near a border between ninths."""
    box = thing.box
    column = _third((box.x0 + box.x1) / 2 / width)
    row = _third((box.y0 + box.y1) / 2 / height)
    if column is None or row is None:
        return None
    across, down = ("left", "middle", "right")[column], ("top", "middle", "bottom")[row]
    return down if across == down else f"{down} {across}"


def _third(position: float) -> int | None:
    if min(abs(position - 1 / 3), abs(position - 2 / 3)) < _THIRDS_MARGIN:
        return None
    return min(int(position * 3), 2)


def _relation_questions(sample: TrainingSample, unique: dict[str, ObjectLabel]) -> list[Question]:
    names = {thing.instance_id: name for name, thing in unique.items()}
    pairs = [relation for relation in sample.relations if {relation.subject, relation.object} <= names.keys()]
    alone = Counter((relation.predicate, relation.object) for relation in sample.relations)
    return [
        Question(
            "what",
            f"What is {_said(relation.predicate)} the {names[relation.object]}?",
            names[relation.subject],
        )
        for relation in pairs
        if alone[relation.predicate, relation.object] == 1
    ]


def _said(predicate: str) -> str:
    return f"to the {predicate}" if predicate.endswith(" of") else predicate


def _number(count: int) -> str:
    return NUMBER_WORDS[count]
