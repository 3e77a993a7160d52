"""Every answer is what the labels say, and every subject is asked."""

import re
from collections import Counter

import numpy as np
import pytest

from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.naming import plural
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.seeding import generator
from dreamomni.tasks.geometry import Box
from dreamomni.tasks.sample import ObjectLabel, TrainingSample
from dreamomni.training.questions import Question, all_questions, draw_question, is_right, place_of

THINGS = ("star", "heart", "fish", "tree", "car", "cup")


@pytest.fixture(scope="module")
def samples() -> list[TrainingSample]:
    engine = CollageEngine(CollageRecipe(names=THINGS))
    return [engine.sample(0, index) for index in range(64)]


def test_answers_agree_with_the_labels(samples: list[TrainingSample]) -> None:
    numbers = ("zero", "one", "two", "three", "four", "five", "six")
    for sample in samples:
        counts = Counter(thing.name for thing in sample.objects)
        singles = {thing.name: thing for thing in sample.objects if counts[thing.name] == 1}
        for question in all_questions(sample, THINGS, np.random.default_rng(0)):
            words = question.text.rstrip("?").split()
            if question.subject == "count":
                named = next(name for name in THINGS if plural(name) in words)
                assert question.answer == numbers[counts[named]]
            elif question.subject == "is":
                named = next(name for name in THINGS if plural(name) in words)
                assert question.answer == ("yes" if counts[named] else "no")
            elif question.subject == "colour":
                assert question.answer == singles[words[-1]].colour
            elif question.subject == "box":
                height, width = sample.target.shape[:2]
                x0, y0, x1, y1 = map(int, re.findall(r"\d+", question.answer))
                box = singles[words[-1]].box
                assert abs(x0 - 100 * box.x0 / width) <= 0.5
                assert abs(y1 - 100 * box.y1 / height) <= 0.5
                assert x0 < x1
                assert y0 < y1
            elif question.subject == "where":
                height, width = sample.target.shape[:2]
                assert question.answer == place_of(singles[words[-1]], width, height)
            else:
                assert question.answer in counts


def test_a_drawn_question_is_a_pure_function_and_covers_every_subject(samples: list[TrainingSample]) -> None:
    drawn = [draw_question(sample, THINGS, generator(0, i)) for i, sample in enumerate(samples)]
    assert drawn == [draw_question(sample, THINGS, generator(0, i)) for i, sample in enumerate(samples)]
    assert {question.subject for question in drawn} == {"box", "colour", "count", "what", "where", "is"}


@pytest.mark.parametrize(
    ("box", "place"),
    [
        (Box(0, 0, 20, 20), "top left"),
        (Box(44, 44, 64, 64), "bottom right"),
        (Box(22, 22, 42, 42), "middle"),
        (Box(22, 0, 42, 20), "top middle"),
        (Box(0, 22, 20, 42), "middle left"),
        (Box(11, 0, 31, 20), None),
    ],
)
def test_places(box: Box, place: str | None) -> None:
    thing = ObjectLabel(1, "star", "red", box, 1.0, "sticker", box.area)
    assert place_of(thing, 64, 64) == place


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("(10, 20) to (50, 60)", True),
        ("(12, 22) to (52, 62)", True),
        ("(30, 40) to (70, 80)", False),
        ("(50, 60) to (10, 20)", False),
        ("(10, 20) to (50", False),
        ("top left", False),
    ],
)
def test_a_box_is_right_when_it_covers_the_same_place(answer: str, right: bool) -> None:
    assert is_right(Question("box", "What is the box of the star?", "(10, 20) to (50, 60)"), answer) is right


def test_letters_are_read_and_never_counted() -> None:
    engine = CollageEngine(CollageRecipe(names=THINGS, mixture={"text": 1.0}))
    sample = engine.sample(0, 0)
    label = next(thing for thing in sample.objects if thing.kind == "text")
    asked = all_questions(sample, THINGS, np.random.default_rng(0))
    assert [question.answer for question in asked if question.subject == "text"] == [label.name]
    assert not any(label.name in question.text for question in asked)
