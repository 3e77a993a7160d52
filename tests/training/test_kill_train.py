"""Trainers killed at random instants, by the same harness as `benchmarks/kill_train.py`."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def harness() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "kill_train.py"
    spec = importlib.util.spec_from_file_location("kill_train", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("layout", "kills"), [("one", 6), ("fsdp", 2)])
def test_kills_leave_whole_checkpoints(harness: ModuleType, tmp_path: Path, layout: str, kills: int) -> None:
    killer = harness.Killer(tmp_path, [layout], seed=1)
    while killer.counts["kills"] < kills:
        killer.kill(layout)
    killer.finish(layout)
    assert killer.counts["checkpoints compared"] > 0


@pytest.mark.slow
def test_many_kills_leave_whole_checkpoints(harness: ModuleType, tmp_path: Path) -> None:
    killer = harness.Killer(tmp_path, seed=2)
    for number in range(40):
        killer.kill(("one", "ddp", "one", "fsdp")[number % 4])
    for layout in harness.LAYOUTS:
        killer.finish(layout)


def test_the_harness_notices(harness: ModuleType, tmp_path: Path) -> None:
    killer = harness.Killer(tmp_path, ["one"])
    killer._seen["one"] = 4
    with pytest.raises(harness.BrokenRunError, match="step 4 was saved, and now the newest is 0"):
        killer.check("one")
    newest = harness.checkpoint.find(tmp_path / "one-whole" / "checkpoints")[0]
    target = tmp_path / "one" / "checkpoints" / newest.name
    target.parent.mkdir(parents=True)
    target.mkdir()
    for path in newest.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    killer.check("one")
    content = bytearray((target / "ema.safetensors").read_bytes())
    content[-1] ^= 1
    (target / "ema.safetensors").write_bytes(content)
    with pytest.raises(harness.BrokenRunError, match="damaged"):
        killer.check("one")
