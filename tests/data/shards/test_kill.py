"""Processes killed at random instants, by the same harness as `benchmarks/kill_generate.py`."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from dreamomni.data.shards.job import read_dataset
from dreamomni.data.shards.writer import stats_path


@pytest.fixture(scope="module")
def harness() -> ModuleType:
    path = Path(__file__).parents[3] / "benchmarks" / "kill_generate.py"
    spec = importlib.util.spec_from_file_location("kill_generate", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_kills_leave_no_half_shard(harness: ModuleType, tmp_path: Path) -> None:
    killer = harness.Killer(tmp_path, seed=1)
    for number in range(5):
        killer.kill(num_workers=1, num_processes=1 + number % 2)
    assert killer.counts["kills"] == 5
    killer.finish()


@pytest.mark.slow
def test_many_kills_leave_no_half_shard(harness: ModuleType, tmp_path: Path) -> None:
    killer = harness.Killer(tmp_path, seed=2)
    for number in range(60):
        killer.kill(num_workers=2 if number % 10 == 9 else 1)
    killer.finish()


def test_the_harness_notices_a_half_shard(harness: ModuleType, tmp_path: Path) -> None:
    killer = harness.Killer(tmp_path)
    folder = killer._job.folder
    harness.generate(killer._job)
    tar = next(folder.glob("*/00000.tar"))
    tar.write_bytes(tar.read_bytes()[:-1] + b"x")
    with pytest.raises(harness.HalfShardError, match="counts as finished, but differs"):
        killer.check()
    stats_path(folder, 0).unlink()
    killer.check()
    killer._accepted = {0}
    with pytest.raises(harness.HalfShardError, match=r"\[0\] were finished, and are not any more"):
        killer.check()
    assert read_dataset(folder)["num_shards"] == killer._job.num_shards
