"""Checkpoints are whole or absent, whatever happens while they are written or lie on the disk."""

import errno
import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch

from dreamomni import storage
from dreamomni.errors import CheckpointError, OutputError
from dreamomni.training import checkpoint, tensor_files
from dreamomni.training.checkpoint import Checkpoint, copy_into, find, load_latest, save


def made(step: int) -> Checkpoint:
    draws = torch.Generator().manual_seed(step)
    tensors = {
        "a.weight": torch.randn(5, 3, generator=draws),
        "b.conv": torch.randn(4, 3, 2, 2, generator=draws).to(memory_format=torch.channels_last),
    }
    return Checkpoint(
        step, tensors, {"a.weight": torch.zeros(5, 3)}, {"a.weight/step": torch.tensor(1.0)}, {"note": "x"}
    )


def same(left: Checkpoint, right: Checkpoint) -> bool:
    return left.step == right.step and all(
        torch.equal(left.modules[k], right.modules[k]) for k in right.modules
    )


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    save(tmp_path, made(7), keep=2)
    loaded = load_latest(tmp_path)
    assert loaded is not None
    assert same(loaded, made(7))
    assert loaded.state == {"note": "x"}
    assert loaded.optimizer["a.weight/step"].item() == 1.0
    assert (tmp_path / "latest").read_text() == "step-00000007\n"


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3, 20, 100):
        save(tmp_path, made(step), keep=2)
    assert [path.name for path in find(tmp_path)] == ["step-00000100", "step-00000020"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "step-00000020", "step-00000100"]


def test_nothing_there_is_nothing(tmp_path: Path) -> None:
    assert load_latest(tmp_path / "none") is None
    (tmp_path / ".step-00000003.1.part").mkdir()
    (tmp_path / "step-notes").mkdir()
    assert load_latest(tmp_path) is None


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


@pytest.mark.parametrize("damage", [truncate, flip, lengthen, Path.unlink])
@pytest.mark.parametrize(
    "name", ["modules.safetensors", "optimizer.safetensors", "state.json", "manifest.json"]
)
def test_damage_is_told_and_the_one_before_serves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: object, name: str
) -> None:
    if name == "manifest.json" and damage in (flip, lengthen):
        pytest.skip("a manifest is only as good as its JSON")
    save(tmp_path, made(1), keep=2)
    save(tmp_path, made(2), keep=2)
    damage(tmp_path / "step-00000002" / name)
    loaded = load_latest(tmp_path)
    assert loaded is not None
    assert same(loaded, made(1))
    assert name in caplog.text
    assert "falling back" in caplog.text
    save(tmp_path, made(2), keep=2)
    again = load_latest(tmp_path)
    assert again is not None
    assert same(again, made(2))


def test_when_all_are_damaged_nothing_is_loaded(tmp_path: Path) -> None:
    save(tmp_path, made(1), keep=2)
    flip(tmp_path / "step-00000001" / "modules.safetensors")
    with pytest.raises(CheckpointError, match="all 1 checkpoints"):
        load_latest(tmp_path)


def test_latest_is_only_a_hint(tmp_path: Path) -> None:
    save(tmp_path, made(1), keep=3)
    save(tmp_path, made(2), keep=3)
    (tmp_path / "latest").write_text("step-00000001\n")
    loaded = load_latest(tmp_path)
    assert loaded is not None
    assert loaded.step == 2


@pytest.mark.parametrize("full_at", ["modules", "ema", "optimizer", "state.json", "manifest.json"])
def test_a_full_disk_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_at: str
) -> None:
    save(tmp_path, made(1), keep=2)
    real_save_file, real_write_json = tensor_files.save_file, storage.write_json

    def full(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def save_file(tensors: dict[str, torch.Tensor], path: Path, **options: object) -> None:
        full(path) if path.stem == full_at else real_save_file(tensors, path, **options)

    def write_json(path: Path, value: object) -> None:
        full(path) if path.name == full_at else real_write_json(path, value)

    monkeypatch.setattr(tensor_files, "save_file", save_file)
    monkeypatch.setattr(storage, "write_json", write_json)
    with pytest.raises(OutputError, match="no space left on device; the earlier checkpoints are intact"):
        save(tmp_path, made(2), keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "step-00000001"]
    loaded = load_latest(tmp_path)
    assert loaded is not None
    assert same(loaded, made(1))


def test_killed_at_any_instant_leaves_a_whole_one(tmp_path: Path) -> None:
    began = time.monotonic()
    save(tmp_path, made(0), keep=2)
    duration, highest = time.monotonic() - began, 0
    draws = random.Random(0)
    for _ in range(30):
        pid = os.fork()
        if pid == 0:
            try:
                for step in range(highest + 1, highest + 1000):
                    save(tmp_path, made(step), keep=2)
            finally:
                os._exit(1)
        time.sleep(draws.uniform(0.0, min(3 * duration, 0.1)))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        loaded = load_latest(tmp_path)
        assert loaded is not None
        assert loaded.step >= highest
        assert same(loaded, made(loaded.step))
        highest = loaded.step
    save(tmp_path, made(highest + 1), keep=2)
    names = sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".latest"))
    assert names == ["latest", f"step-{highest:08d}", f"step-{highest + 1:08d}"]


def test_tensors_that_do_not_fit_are_named(tmp_path: Path) -> None:
    live = {"a": torch.zeros(2), "b": torch.zeros(3)}
    with pytest.raises(CheckpointError, match=r"1 \(b\) missing, 1 \(c\) unexpected"):
        copy_into(live, {"a": torch.ones(2), "c": torch.ones(3)}, "weights")
    with pytest.raises(CheckpointError, match=r"b is \(4,\) torch.float32, expected \(3,\)"):
        copy_into(live, {"a": torch.ones(2), "b": torch.ones(4)}, "weights")
    with pytest.raises(CheckpointError, match="bfloat16"):
        copy_into(live, {"a": torch.ones(2), "b": torch.ones(3).bfloat16()}, "weights")
    assert live["a"].sum() == 0


def test_a_foreign_state_is_refused(tmp_path: Path) -> None:
    save(tmp_path, made(1), keep=1)
    folder = tmp_path / "step-00000001"
    (folder / "state.json").write_text(json.dumps({"no": "step"}))
    storage.write_manifest(folder, {"kind": "checkpoint"})
    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoint.load(folder)
