from pathlib import Path

import numpy as np
import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.shards.generate import generate
from dreamomni.data.shards.job import ShardJob
from dreamomni.data.shards.reader import ShardFolder
from dreamomni.data.shards.shard_set import ShardSet
from dreamomni.errors import DataError
from dreamomni.tasks.geometry import Size

CHANGES = [
    "size=[64x64, 96x48]",
    "mixture={single: 1, replace: 1, subject: 2}",
    "reference.source_sizes=[48x48, 64x32]",
]
RECIPE = load_recipe("mini-v1", CollageRecipe, CHANGES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shards")
    generate(ShardJob(RECIPE, path, num_samples=24, shard_size=10, seed=1))
    return path


def test_shapes_are_those_of_the_samples(folder: Path) -> None:
    samples, kinds = ShardSet(folder), set()
    assert len(samples) == len(ShardFolder(folder))
    for index in range(len(samples)):
        sample, shape = samples[index], samples.shape(index)
        assert shape.kind == sample.kind
        assert shape.target == Size(*sample.target.shape[1::-1])
        assert shape.images == tuple(Size(*image.shape[1::-1]) for image in sample.images)
        kinds.add((sample.kind, shape.images == (shape.target,) * len(shape.images)))
    assert ("subject", False) in kinds
    assert {kind for kind, _ in kinds} == {"single", "replace", "subject"}


def test_the_first_samples(folder: Path) -> None:
    every, first = ShardSet(folder), ShardSet(folder, 7)
    assert len(first) == 7
    assert first.identity != every.identity
    np.testing.assert_array_equal(first[6].target, every[6].target)
    for read in (first.__getitem__, first.shape):
        with pytest.raises(IndexError, match="sample 7 of 7"):
            read(7)
    with pytest.raises(DataError, match=f"has {len(every)} samples, not num_samples 1,000"):
        ShardSet(folder, 1000)


def test_nothing_finished(tmp_path: Path) -> None:
    generate(ShardJob(RECIPE, tmp_path, num_samples=4, shard_size=2, seed=1))
    for done in ("00001", "00000"):
        assert len(ShardSet(tmp_path)) == 2 * (1 + int(done))
        (tmp_path / "stats" / f"{done}.json").unlink()
    with pytest.raises(DataError, match="has no finished shard yet"):
        ShardSet(tmp_path)
