"""Every shipped training recipe tells what it costs; nothing is fetched, and its words hold together."""

import functools
import json
from itertools import pairwise

import pytest

from dreamomni.config import list_recipes, load_recipe
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.errors import ConfigError, DreamOmniError
from dreamomni.training.config import DitTaskConfig, TrainRecipe
from dreamomni.training.estimate.cost import Rate
from dreamomni.training.estimate.report import Estimate
from dreamomni.training.run import dry_run

RECIPES = [name for name in list_recipes() if name.startswith("train/")]


@functools.cache
def dry(name: str) -> Estimate:
    """Many tests ask about the same recipes."""
    processes = 64 if "2.5b" in name else 1
    return dry_run(load_recipe(name, TrainRecipe), processes=processes, rate=Rate(tflops=990, mfu=0.4))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any connection is a failure of the test."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a dry run reached for the network")

    monkeypatch.setattr("socket.socket.connect", refuse)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", RECIPES)
def test_a_shipped_recipe(name: str) -> None:
    recipe = load_recipe(name, TrainRecipe)
    found = dry(name)
    told = json.loads(json.dumps(found.to_json()))
    assert told["num_samples"] == recipe.training.max_steps * recipe.training.batch_size
    assert sum(row["share"] for row in told["shapes"]) == pytest.approx(1)
    assert sum(row["share"] for row in told["tasks"]) == pytest.approx(1)
    assert told["sample"]["training_flop"] > 2 * told["sample"]["forward_flop"] > 0
    assert min(told["memory"][key] for key in ("weights", "gradients", "optimizer", "activations")) > 0
    assert told["memory"]["total"] == sum(found.memory)
    assert found.duration is not None
    assert found.duration.hours > 0


@pytest.mark.parametrize(
    ("base", "batch", "rate", "steps"),
    [(256, 2048, 1e-4, 377_000), (512, 1024, 5e-5, 189_000), (1024, 256, 2e-5, 140_000)],
)
def test_the_stages_are_those_of_the_paper(base: int, batch: int, rate: float, steps: int) -> None:
    name = f"train/dreamomni-2.5b-{base}"
    training, found = load_recipe(name, TrainRecipe).training, dry(name)
    assert (training.batch_size, training.learning_rate, training.max_steps) == (batch, rate, steps)
    assert found.parameters["trained"] == pytest.approx(2.5e9, rel=0.03)
    assert found.parameters["frozen text encoder"] == 8_291_375_616
    targets = {row.target for row in found.shapes}
    assert len(targets) == 31
    numbers = {task: number for task, _, _, number in found.tasks}
    assert all(number is not None for number in numbers.values())
    whole = sum(number or 0 for number in numbers.values())
    expected = 18e6 if base == 1024 else 193e6
    assert whole == pytest.approx(expected, rel=1e-6)
    # A sample of the second stage is seen once, as the numbers of the paper add up.
    epochs = {256: 4.0, 512: 1.0, 1024: 2.0}[base]
    assert found.num_samples / whole == pytest.approx(epochs, abs=0.01)
    assert found.memory.total < 80e9  # an A100 of the paper


def test_the_stages_of_mini_follow_each_other() -> None:
    names = ("mini-v1-64", "mini-v1-128", "mini-v1-128-selected")
    recipes = [load_recipe(name, TrainRecipe) for name in names]
    for before, after in pairwise(recipes):
        assert isinstance(after.task, DitTaskConfig)
        assert after.task.init_from == f"runs/{before.name}/export/transformer"
        assert after.training.batch_size < before.training.batch_size
        assert after.training.learning_rate < before.training.learning_rate
    square, large = (load_recipe(name, CollageRecipe) for name in ("mini-v1", "mini-v1-large"))
    assert large.model_copy(update={"size": square.size}) == square


@pytest.mark.parametrize(
    ("changes", "processes", "words"),
    [
        (["training.batch_size=30"], 4, "batch_size 30 does not divide into 4 processes"),
        (["task.preset=huge"], 1, "there is no preset 'huge'"),
        (["evaluate.every=1500"], 1, r"evaluate.every 1500 is no multiple of training.sample_every 1000"),
        (["task.data=mini-v7"], 1, "no recipe at 'mini-v7'"),
        (["validation=[{prompt: ''}]"], 1, "the prompt is empty"),
        (["validation=[{prompt: a, tusk: edit}]"], 1, "unknown key tusk"),
    ],
)
def test_what_cannot_be_is_one_sentence(changes: list[str], processes: int, words: str) -> None:
    with pytest.raises(DreamOmniError, match=words) as caught:
        dry_run(load_recipe("mini-v1-64", TrainRecipe, changes), processes=processes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (Rate(tflops=990), "mfu, the share of the peak that is used"),
        (Rate(mfu=0.4), "tflops, the peak of a GPU"),
        (Rate(tflops=990, mfu=40), "at most 1"),
        (Rate(samples_per_second=0), "a number above 0"),
    ],
)
def test_a_rate_must_make_sense(rate: Rate, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        dry_run(load_recipe("mini-vae", TrainRecipe), rate=rate)


def test_a_stated_rate_gives_the_time() -> None:
    found = dry_run(load_recipe("mini-vae", TrainRecipe), processes=2, rate=Rate(samples_per_second=100))
    assert found.duration is not None
    assert found.duration.hours == pytest.approx(found.num_samples / 100 / 3600)
    assert found.duration.gpu_hours == 2 * found.duration.hours
