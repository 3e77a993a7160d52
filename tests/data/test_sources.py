from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine, RejectedSampleError
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.folder import write_samples
from dreamomni.data.shards.generate import generate
from dreamomni.data.shards.job import ShardJob
from dreamomni.data.sources import open_folder, open_source, spread
from dreamomni.errors import ConfigError, DataError
from dreamomni.tasks.sample import TrainingSample


@pytest.fixture(scope="module")
def recipe() -> CollageRecipe:
    return load_recipe("mini-world", CollageRecipe)


@pytest.fixture(scope="module")
def loose(recipe: CollageRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    engine = CollageEngine(recipe)
    folder = tmp_path_factory.mktemp("loose")
    kinds = ("single", "single", "single", "single", "add", "add", "remove")
    write_samples([engine.sample(0, index, kind) for index, kind in enumerate(kinds)], folder)
    return folder


def test_a_recipe_gives_what_its_engine_draws(recipe: CollageRecipe) -> None:
    source = open_source("mini-world", num_samples=3, seed=4)
    engine = CollageEngine(recipe)
    samples = list(source.samples)
    assert [sample.key for sample in samples] == [engine.sample(4, index).key for index in range(3)]
    assert source.held_out == (recipe.held_out.salt, recipe.held_out.fraction)
    assert "apple" in source.vocabulary.names
    assert [s.kind for s in open_source("mini-world", num_samples=2, kind="add").samples] == ["add", "add"]


def test_a_recipe_counts_what_it_cannot_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = CollageEngine.sample

    def unlucky(self: CollageEngine, seed: int, index: int, kind: str | None = None) -> TrainingSample:
        if index % 2:
            raise RejectedSampleError(seed, index, "two", "64x64", {"no room": 39, "hidden": 1})
        return draw(self, seed, index, kind)

    monkeypatch.setattr(CollageEngine, "sample", unlucky)
    source = open_source("mini-world", num_samples=5)
    assert [sample.index for sample in source.samples] == [0, 2, 4]
    assert source.rejected == {"no room": 2}


def test_a_folder_gives_its_samples_by_kind(loose: Path) -> None:
    source = open_source(str(loose))
    assert source.kinds == {"single": 4, "add": 2, "remove": 1}
    assert source.total == len(list(source.samples)) == 7
    assert [sample.kind for sample in open_folder(loose, kind="remove").samples] == ["remove"]
    assert open_source(str(loose), num_samples=2).total == 2


@pytest.mark.parametrize(
    ("count", "kinds"),
    [
        (3, {"single": 1, "add": 1, "remove": 1}),
        (5, {"single": 2, "add": 2, "remove": 1}),
        (None, {"single": 4, "add": 2, "remove": 1}),
        (50, {"single": 4, "add": 2, "remove": 1}),
    ],
)
def test_samples_are_spread_over_kinds(loose: Path, count: int | None, kinds: dict[str, int]) -> None:
    chosen = spread(open_folder(loose), count)
    assert Counter(sample.kind for sample in chosen) == kinds
    assert [sample.key for sample in chosen] == sorted(sample.key for sample in chosen)


def test_shards_give_their_samples_recipe_and_names(recipe: CollageRecipe, tmp_path: Path) -> None:
    generate(ShardJob(recipe, tmp_path / "shards", num_samples=12, seed=1, shard_size=6))
    source = open_source(str(tmp_path / "shards"))
    samples = list(source.samples)
    engine = CollageEngine(recipe)
    assert source.is_sharded
    assert source.recipe == recipe
    assert source.total == len(samples) == 12
    assert (samples[5].target == engine.sample(1, 5).target).all()
    assert source.kinds == Counter(sample.kind for sample in samples)
    assert source.vocabulary.names >= set(engine.names)
    assert all(source.is_exact(sample) for sample in samples)


def test_shards_of_jpeg_are_known_to_be_inexact(recipe: CollageRecipe, tmp_path: Path) -> None:
    generate(ShardJob(recipe, tmp_path / "shards", num_samples=2, image_format="jpeg"))
    source = open_source(str(tmp_path / "shards"))
    sample = next(source.samples)
    assert not source.is_exact(sample)
    assert not np.array_equal(sample.target, CollageEngine(recipe).sample(0, 0).target)


def test_what_is_not_there_is_refused(loose: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no kind"):
        open_source("mini-world", kind="nothing")
    with pytest.raises(DataError, match="holds no sample of kind"):
        open_source(str(loose), kind="drag_move")
    with pytest.raises(ConfigError, match="changes recipes and tables only"):
        open_source(str(loose), overrides=["size=64x64"])
    with pytest.raises(DataError):
        open_source(str(tmp_path))
    with pytest.raises(ConfigError):
        open_source("no-such-recipe")
