import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter
from tiny_pictures import png

from dreamomni.config import load_recipe, validate
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.feeds import CollagePart, DataPart, ShardsPart, TablePart, open_sample_set
from dreamomni.data.shards.generate import generate
from dreamomni.data.shards.job import ShardJob
from dreamomni.errors import ConfigError, DataError
from dreamomni.tasks.geometry import Size, aspect_buckets


def part_of(**values: object) -> CollagePart | ShardsPart | TablePart:
    return validate(values, DataPart, origin="the part")  # type: ignore[arg-type]


def test_parts_are_told_apart_by_their_type() -> None:
    assert part_of(type="collage", recipe="mini-world", weight=60) == CollagePart(
        recipe="mini-world", weight=60
    )
    assert part_of(type="shards", path="x") == ShardsPart(path="x")
    table = part_of(type="table", path="x", columns={"images": ["a", "b"], "target": "c"})
    assert table == TablePart(path="x", columns={"images": ("a", "b"), "target": "c"})
    adapter = TypeAdapter(DataPart)
    assert adapter.validate_python(adapter.dump_python(table, mode="json")) == table


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"type": "tabel", "path": "x"}, "'collage', 'shards', 'table'"),
        ({"type": "table"}, "path is missing"),
        ({"type": "table", "path": "x", "weight": 0}, "weight: input should be greater than 0"),
        ({"type": "table", "path": "x", "format": "xml"}, "'parquet'"),
        ({"type": "table", "path": "x", "task": "drag"}, "'text_to_image'"),
        ({"type": "table", "path": "x", "columns": {"picture": "a"}}, "'target', 'source'"),
        ({"type": "table", "path": "x", "skip_bad": -1}, "skip_bad: input should be greater"),
        ({"type": "shards", "path": "x", "base": 64}, "unknown key shards.base"),
        ({"type": "collage", "recipe": "x", "num_samples": 0}, "num_samples: input should be greater"),
    ],
)
def test_impossible_values(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        part_of(**values)


def test_collages(tmp_path: Path) -> None:
    own = open_sample_set(CollagePart(recipe="mini-world", num_samples=3), 5)
    assert len(own) == 3
    assert own.shape(0).target == Size(64, 64)
    sized = open_sample_set(CollagePart(recipe="mini-world", num_samples=40, size=64), 5)
    assert {sized.shape(index).target for index in range(40)} <= set(aspect_buckets(64))
    assert len({sized.shape(index).target for index in range(40)}) > 5
    assert sized.identity != own.identity
    assert sized[1].target.shape[1::-1] == tuple(sized.shape(1).target)
    with pytest.raises(ConfigError, match="no recipe at 'nope'"):
        open_sample_set(CollagePart(recipe="nope"), 0)


def test_shards_and_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    job = ShardJob(load_recipe("mini-world", CollageRecipe), tmp_path / "shards", 4, shard_size=2, seed=1)
    generate(job)
    shards = open_sample_set(ShardsPart(path=str(tmp_path / "shards"), num_samples=3), 0)
    assert len(shards) == 3
    (tmp_path / "t2i").mkdir()
    (tmp_path / "t2i" / "a.png").write_bytes(png(1))
    (tmp_path / "t2i" / "a.txt").write_text("a picture")
    part = TablePart(path=str(tmp_path / "t2i"), base=64, licence="CC0-1.0")
    table = open_sample_set(part, 0)
    assert (table[0].caption, table[0].licences) == ("a picture", ("CC0-1.0",))
    for samples in (shards, table):
        again = samples[0]
        np.testing.assert_array_equal(again.target, samples[0].target)
        assert samples.shape(0).target == again.target.shape[1::-1]
    with pytest.raises(DataError, match="there is no file or folder"):
        open_sample_set(TablePart(path="nowhere"), 0)


def test_values_need_no_heavy_library() -> None:
    code = (
        "import sys, dreamomni.data.feeds, dreamomni.data.external.table; "
        "assert not {'torch', 'pyarrow', 'datasets', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
