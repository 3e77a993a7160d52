"""Shards on a real Ray cluster of this machine."""

import shutil
import sys
from pathlib import Path

import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.shards import cluster
from dreamomni.data.shards.generate import ShardRange, generate
from dreamomni.data.shards.job import ShardJob
from dreamomni.errors import ConfigError, OutputError


def job(folder: Path) -> ShardJob:
    return ShardJob(load_recipe("mini-world", CollageRecipe), folder, num_samples=40, shard_size=6)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_cluster_makes_the_same_bytes_and_says_what_stops_it(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    generate(job(tmp_path / "here"))
    done: list[int] = []
    cluster.connect(ray, num_tasks=2)
    try:
        summary = generate(
            job(tmp_path / "ray"),
            engine="ray",
            num_workers=2,
            report=lambda samples, _: done.append(samples),
        )
        assert contents(tmp_path / "ray") == contents(tmp_path / "here")
        assert sum(done) == summary.num_samples == 40
        (tmp_path / "ray/stats/00000.json").unlink()
        shutil.rmtree(tmp_path / "ray/edit")
        (tmp_path / "ray/edit").write_text("in the way")
        with pytest.raises(OutputError, match="cannot write shard 0 into"):
            generate(job(tmp_path / "ray"), engine="ray", shard_range=ShardRange(0, 7))
        assert ray.is_initialized()
    finally:
        ray.shutdown()


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'dreamomni\[data\]'"):
        cluster.require_ray()


def test_no_cluster_at_the_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class NoRay:
        @staticmethod
        def is_initialized() -> bool:
            return False

        @staticmethod
        def init(**_options: object) -> None:
            raise ConnectionError("Failed to\nconnect")

    monkeypatch.setitem(sys.modules, "ray", NoRay)
    with pytest.raises(ConfigError, match="no Ray cluster can be reached: Failed to connect"):
        generate(job(tmp_path), engine="ray")
