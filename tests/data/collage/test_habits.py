"""Habits: what the words leave open looks as it usually does, and nothing else changes."""

import numpy as np
import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine, RejectedSampleError
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.errors import ConfigError
from dreamomni.tasks.sample import TrainingSample


@pytest.fixture(scope="module")
def engine() -> CollageEngine:
    return CollageEngine(load_recipe("mini-v2", CollageRecipe))


def drawn(engine: CollageEngine, kind: str, count: int = 60) -> list[TrainingSample]:
    samples = []
    for index in range(count):
        try:
            samples.append(engine.sample(4, index, kind=kind))
        except RejectedSampleError:
            continue
    assert len(samples) > count // 2
    return samples


@pytest.mark.parametrize("kind", ["single", "two", "counting", "position"])
def test_a_colour_that_is_not_said_is_the_usual_one(engine: CollageEngine, kind: str) -> None:
    usual, others = engine.recipe.habits.usual_colours, 0
    for sample in drawn(engine, kind):
        said = [colour for colour in engine.colours if colour in sample.instruction.split()]
        for label in sample.objects:
            if label.colour not in said:
                assert label.colour == usual[label.name], sample.instruction
            others += label.colour != usual[label.name]
    assert (others > 0) == (kind in ("counting", "position")), "said colours are drawn as before"


def test_an_addition_without_a_colour_comes_in_the_usual_one(engine: CollageEngine) -> None:
    found = 0
    for sample in drawn(engine, "add"):
        added = sample.details["added"]
        if not set(engine.colours) & set(sample.instruction.lower().split()):
            assert added["colour"] == engine.recipe.habits.usual_colours[added["name"]]
            found += 1
    assert found > 3


@pytest.mark.parametrize("kind", ["two", "color_attribution", "counting"])
def test_things_stand_in_the_order_of_the_words(engine: CollageEngine, kind: str) -> None:
    for sample in drawn(engine, kind):
        height = sample.target.shape[0]
        rows = [round(2 * label.box.centre[1] / height, 1) for label in sample.objects]
        xs = [label.box.centre[0] for label in sample.objects]
        if len(xs) == 2:
            assert xs[0] < xs[1]
            assert all(0.8 < row < 1.2 for row in rows), "side by side in the middle"
            places = [sample.instruction.find(label.name) for label in sample.objects]
            assert places == sorted(places), sample.instruction
        if len(xs) == 3:
            assert xs[0] < xs[1]
            assert rows[0] < 1 < rows[2]
            assert abs(xs[0] - xs[2]) < height / 8


def test_without_mirrors_a_thing_always_looks_one_way() -> None:
    def variants(mirror: bool) -> int:
        overrides = [
            "names=[fish]",
            "colours=[blue]",
            "backgrounds=[white]",
            "jitter=0",
            "held_out.fraction=0",
            "habits.usual_colours={}",
            f"habits.mirror={str(mirror).lower()}",
            "object_sizes={1: [0.6, 0.6]}",
            "mixture={single: 1}",
        ]
        engine = CollageEngine(load_recipe("mini-v2", CollageRecipe, overrides))
        return len({engine.sample(0, index).target.tobytes() for index in range(24)})

    assert variants(mirror=False) == 1
    assert variants(mirror=True) == 2


def test_a_world_without_habits_draws_what_it_drew_before() -> None:
    """The streams of the layout and of the things are the same with and without."""
    plain = CollageEngine(load_recipe("mini-v1", CollageRecipe))
    calm = CollageEngine(
        load_recipe("mini-v2", CollageRecipe, ["habits.reading_order=false", "habits.mirror=true"])
    )
    for index in range(12):
        one, other = (engine.sample(9, index, kind="colors") for engine in (plain, calm))
        assert one.instruction == other.instruction
        assert np.array_equal(one.target, other.target)


@pytest.mark.parametrize(
    ("habit", "words"),
    [
        ("{dragon: red}", "dragon: red, but the recipe does not draw the thing 'dragon'"),
        ("{apple: pink}", "apple: pink, but the recipe does not draw the colour 'pink'"),
        ("{tree: red}", "tree: red, which is kept for evaluation"),
    ],
)
def test_impossible_habits_are_refused(habit: str, words: str) -> None:
    recipe = load_recipe("mini-v2", CollageRecipe, [f"habits.usual_colours={habit}"])
    with pytest.raises(ConfigError, match=words):
        CollageEngine(recipe)
