import json
from collections import Counter

import hypothesis.strategies as st
import pytest
from hypothesis import given

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.statistics import SampleStatistics, quantiles


@pytest.fixture(scope="module")
def engine() -> CollageEngine:
    return CollageEngine(load_recipe("mini-world", CollageRecipe, ["size=[64x64, 96x64]"]))


def test_counts_are_those_of_the_samples(engine: CollageEngine) -> None:
    kinds = ("text", "add", "add", "subject", "detect")
    samples = [engine.sample(0, index, kind) for index, kind in enumerate(kinds)]
    statistics = SampleStatistics()
    for sample in samples:
        statistics.add(sample)
    values = statistics.as_json()
    assert values["num_samples"] == 5
    assert values["tasks"] == {"detect": 1, "edit": 2, "subject": 1, "text_to_image": 1}
    assert values["kinds"]["edit"] == {"add": 2}
    assert sum(values["sizes"].values()) == 5
    assert set(values["sizes"]) <= {"64x64", "96x64"}
    labels = [label for s in samples for own in (s.objects, *s.image_objects) for label in own]
    assert sum(values["things"].values()) == sum(values["colours"].values()) == len(labels)
    assert values["things"]["(text)"] == sum(label.kind == "text" for label in labels)
    assert values["assets"] == dict(Counter(one for s in samples for one in s.assets).most_common())
    assert json.loads(json.dumps(values))["num_samples"] == 5


@given(st.lists(st.integers(0, 40), min_size=1), st.floats(0, 1))
def test_quantiles_split_the_values(values: list[int], share: float) -> None:
    (found,) = quantiles(Counter(values), [share])
    assert found in values
    below = sum(value <= found for value in values)
    assert below >= share * len(values)
    assert all(sum(v <= other for v in values) < share * len(values) for other in values if other < found)


def test_quantiles_of_nothing_are_nothing() -> None:
    assert quantiles(Counter(), [0.0, 1.0]) == [0, 0]
