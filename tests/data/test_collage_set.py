"""A collage set tells shapes without drawing, and they are those of the samples."""

from typing import get_args

import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import KINDS, CollageEngine
from dreamomni.data.collage.recipe import TASK_OF_KIND, CollageRecipe
from dreamomni.data.dataset import CollageSet, sample_or_next
from dreamomni.data.sample_set import SampleShape
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.request import Request


def shape_of(sample) -> SampleShape:
    def size(pixels) -> Size:
        return Size(pixels.shape[1], pixels.shape[0])

    return SampleShape(sample.kind, size(sample.target), tuple(size(image) for image in sample.images))


@pytest.mark.parametrize(
    ("recipe", "changes", "total"),
    [
        ("mini-v1", ["mixture.subject=6"], 60),
        ("dreamomni", ["buckets=64", "reference.source_sizes=[64x64, 96x64]", "mixture.subject=30"], 60),
    ],
)
def test_shapes_are_those_of_the_samples(recipe: str, changes: list[str], total: int) -> None:
    samples = CollageSet(CollageEngine(load_recipe(recipe, CollageRecipe, changes)), 5, total)
    drawn = [samples[index] for index in range(total)]
    assert [samples.shape(index) for index in range(total)] == [shape_of(sample) for sample in drawn]
    assert len({sample.kind for sample in drawn}) > 10
    assert any(sample.details["attempts"] > 1 for sample in drawn if sample.kind == "subject")
    assert all(TASK_OF_KIND[sample.kind] == sample.task for sample in drawn)


def test_every_kind_has_a_task_that_can_be_asked_for() -> None:
    assert set(TASK_OF_KIND) == set(KINDS)
    union = get_args(Request)[0]
    asked = {request.model_fields["task"].default for request in get_args(union)}
    assert set(TASK_OF_KIND.values()) == asked


def test_the_identity_says_what_decides_the_content() -> None:
    engine = CollageEngine(load_recipe("mini-v1", CollageRecipe))
    other = CollageEngine(load_recipe("mini-v1", CollageRecipe, ["gap=0.02"]))
    sets = [
        CollageSet(engine, 1, 10),
        CollageSet(engine, 2, 10),
        CollageSet(engine, 1, 11),
        CollageSet(other, 1, 10),
        CollageSet(CollageEngine(engine.recipe, split="held_out"), 1, 10),
    ]
    assert len({str(samples.identity) for samples in sets}) == len(sets)
    with pytest.raises(IndexError):
        sets[0].shape(10)


def test_what_cannot_be_drawn_gives_its_place_to_another(caplog: pytest.LogCaptureFixture) -> None:
    crowded = CollageRecipe.model_validate(
        {
            "size": "32x32",
            "names": ["star", "heart"],
            "mixture": {"two": 1},
            "held_out": {"fraction": 0},
            "object_sizes": {1: [0.5, 0.6], 2: [0.45, 0.66]},
        }
    )
    engine = CollageEngine(crowded)
    caplog.set_level("INFO")
    keys = [sample_or_next(engine, 0, index).index for index in range(40)]
    moved = [index for index, found in enumerate(keys) if found != index]
    assert moved
    assert all(keys[index] % 2**32 == index for index in moved)
    assert caplog.text.count("left out: sample") == sum(key // 2**32 for key in keys)
