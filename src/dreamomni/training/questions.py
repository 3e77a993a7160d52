"""Questions with one right answer, read off the labels of a sample. Nothing here looks at pixels."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dreamomni.data.collage.naming import plural
from dreamomni.data.collage.words.lexicon import NUMBER_WORDS
from dreamomni.tasks.geometry import Box
from dreamomni.tasks.sample import ObjectLabel, TrainingSample
from dreamomni.tasks.standard import (
    parse_answer,
    request_text,
    standard_edit,
    standard_generation,
    wrap,
)

CAPTION_PROMPT = "Describe the image."
_THIRDS_MARGIN = 0.05
"""Share of the canvas on either side of a third's border in which a place is not asked for."""
_BOX = re.compile(r"\((\d+), (\d+)\) to \((\d+), (\d+)\)")
_ANY_IMAGE = 99
"""More images than any sample has: which of them there are is not asked here."""
_SAME_BOX = 0.5
"""Intersection over union from which a box counts as found."""


class Question(NamedTuple):
    """A question about a picture and its answer.

    Attributes:
        subject: One of box, colour, count, is, rewrite, text, what, where.
        text: The question.
        answer: The one right answer, but for boxes and rewrites (see `is_right`).
    """

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
    objects = [thing for thing in sample.objects if thing.kind != "text"]
    texts = [thing.name for thing in sample.objects if thing.kind == "text"]
    height, width = sample.target.shape[:2]
    counts = Counter(thing.name for thing in objects)
    colours = Counter(thing.colour for thing in objects)
    unique = {thing.name: thing for thing in objects if counts[thing.name] == 1}
    absent = [name for name in things if name not in counts]
    missing = absent[rng.integers(len(absent))] if absent else None

    questions = [
        Question("count", f"How many {plural(name)} are there?", _number(n)) for name, n in counts.items()
    ]
    if len(texts) == 1:
        questions.append(Question("text", "What is written here?", texts[0]))
    questions += [Question("is", f"Is there a picture of {plural(name)} here?", "yes") for name in counts]
    if missing is not None:
        questions.append(Question("count", f"How many {plural(missing)} are there?", _number(0)))
        questions.append(Question("is", f"Is there a picture of {plural(missing)} here?", "no"))
    for name, thing in unique.items():
        if thing.colour is not None:
            questions.append(Question("colour", f"What color is the {name}?", thing.colour))
        questions.append(
            Question("box", f"What is the box of the {name}?", say_box(thing.box, width, height))
        )
        place = place_of(thing, width, height)
        if place is not None:
            questions.append(Question("where", f"Where is the {name}?", place))
    questions += [
        Question("what", f"What is {thing.colour}?", thing.name)
        for thing in objects
        if thing.colour is not None and colours[thing.colour] == 1
    ]
    return questions + _relation_questions(sample, unique)


def rewrite_question(sample: TrainingSample) -> Question:
    """What a rewriter is asked about a sample, and the standard form of it (DreamOmni2 section 3.2).

    Raises:
        ValueError: The sample has no words in the standard form.
    """
    standard = sample.details.get("standard")
    if standard is None:
        raise ValueError(f"sample {sample.key} of kind {sample.kind} has no words in the standard form")
    if sample.task == "edit":
        content = standard_edit(standard["instruction"], standard["caption"])
        return Question("rewrite", request_text(sample.instruction, "edit"), wrap(content))
    content = standard_generation(standard["caption"])
    return Question("rewrite", request_text(sample.instruction, "generate"), wrap(content))


def say_box(box: Box, width: int, height: int) -> str:
    """Two corners in hundredths of width and height: "(12, 30) to (45, 71)"."""
    x0, x1 = (round(100 * x / width) for x in (box.x0, box.x1))
    y0, y1 = (round(100 * y / height) for y in (box.y0, box.y1))
    return f"({x0}, {y0}) to ({x1}, {y1})"


def is_right(question: Question, answer: str) -> bool:
    """Whether an answer is the wanted one.

    A box: whether it covers the same place (IoU from 0.5). A rewrite: whether it reads the same.
    """
    if question.subject == "rewrite":
        told, asked = parse_answer(answer, _ANY_IMAGE), parse_answer(question.answer, _ANY_IMAGE)
        return not told.problems and told.content == asked.content
    if question.subject != "box":
        return answer == question.answer
    given, wanted = _read_box(answer), _read_box(question.answer)
    return given is not None and wanted is not None and _overlap(given, wanted) >= _SAME_BOX


def _read_box(text: str) -> tuple[int, ...] | None:
    found = _BOX.fullmatch(text.strip())
    return None if found is None else tuple(int(number) for number in found.groups())


def _overlap(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return width * height / (areas - width * height)


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
