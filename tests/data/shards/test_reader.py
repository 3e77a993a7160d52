from pathlib import Path

import numpy as np
import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.shards.generate import ShardRange, generate
from dreamomni.data.shards.job import ShardJob
from dreamomni.data.shards.reader import ShardFolder, is_shard_folder, read_tar
from dreamomni.errors import DataError

RECIPE = load_recipe("mini-world", CollageRecipe)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generate(ShardJob(RECIPE, tmp_path, num_samples=14, shard_size=5, seed=3))
    return tmp_path


def test_samples_come_back_in_order_and_by_place(folder: Path) -> None:
    engine = CollageEngine(RECIPE)
    shards = ShardFolder(folder)
    assert shards.is_complete
    assert len(shards) == 14
    read = list(shards)
    assert [sample.index for sample in read] == list(range(14))
    for position in (13, 0, 7):
        expected, sample = engine.sample(3, position), shards[position]
        assert sample.key == expected.key == read[position].key
        assert sample.objects == expected.objects
        assert np.array_equal(sample.target, expected.target)
        assert np.array_equal(read[position].target, expected.target)
    assert [sample.index for sample in shards.samples([2, 0])] == [10, 11, 12, 13, 0, 1, 2, 3, 4]
    with pytest.raises(IndexError):
        shards[14]
    shards.verify()


def test_jpeg_goes_into_tars_of_its_own(tmp_path: Path) -> None:
    generate(ShardJob(RECIPE, tmp_path, num_samples=8, image_format="jpeg"))
    assert {path.parent.name for path in tmp_path.glob("*/*.tar")} == {"edit-jpeg", "text_to_image-jpeg"}
    engine = CollageEngine(RECIPE)
    for sample in ShardFolder(tmp_path):
        expected = engine.sample(0, sample.index)
        error = np.abs(sample.target.astype(int) - expected.target)
        assert error.max() > 0
        assert error.mean() < 3
        assert sample.ids is not None
        assert np.array_equal(sample.ids, expected.ids)


def test_a_tar_alone_can_be_read(folder: Path) -> None:
    samples = list(read_tar(folder / "edit/00000.tar"))
    assert samples
    assert {sample.task for sample in samples} == {"edit"}
    with pytest.raises(DataError, match="cannot be read"):
        list(read_tar(folder / "none.tar"))


def test_unfinished_shards_do_not_exist(tmp_path: Path) -> None:
    job = ShardJob(RECIPE, tmp_path, num_samples=14, shard_size=5)
    generate(job, shard_range=ShardRange(1, 3))
    shards = ShardFolder(tmp_path)
    assert not shards.is_complete
    assert [sample.index for sample in shards] == list(range(5, 10))
    assert shards[0].index == 5
    with pytest.raises(DataError, match=r"shard 0 of .* is not finished"):
        list(shards.samples([0]))


def test_damage_is_noticed(folder: Path) -> None:
    shards = ShardFolder(folder)
    path = folder / "edit/00001.tar"
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"edit/00001\.tar is damaged"):
        shards.verify()
    table = folder / "edit/00000.parquet"
    table.write_bytes(b"x" * table.stat().st_size)
    with pytest.raises(DataError, match=r"edit/00000\.parquet cannot be read"):
        shards[0]


def test_other_folders_are_refused(tmp_path: Path) -> None:
    assert not is_shard_folder(tmp_path)
    with pytest.raises(DataError, match="data generate"):
        ShardFolder(tmp_path)
