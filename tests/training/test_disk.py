"""Disks that are full, read-only or rotten: one sentence, and what was saved before stays good."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from launched import Launched, launch
from toy_training import Losses, ToyTask, run_toy, toy_recipe

from dreamomni.errors import OutputError
from dreamomni.training import checkpoint, tensor_files
from dreamomni.training.hooks import BaseHook, StepReport
from dreamomni.training.tensor_files import SavedTensors
from dreamomni.training.trainer import export_checkpoint, train


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte in memory."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting needs the rights of root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def final(run_dir: Path) -> dict[str, torch.Tensor]:
    newest = checkpoint.find(run_dir / "checkpoints")[0]
    return {
        f"{part}:{name}": tensor
        for part in ("modules", "ema", "optimizer")
        for name, tensor in SavedTensors(newest, part).items()
    }


def assert_same(ours: Path, theirs: Path) -> None:
    left, right = final(ours), final(theirs)
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


def test_a_disk_that_runs_full_stops_the_run_and_keeps_the_old(tmp_path: Path, small_disk: Path) -> None:
    run_toy(tmp_path / "whole")
    run_dir, filler = small_disk / "run", small_disk / "filler"

    class Fill(BaseHook):
        def on_step(self, report: StepReport) -> None:
            if report.step == 7:
                free = os.statvfs(small_disk)
                filler.write_bytes(bytes(free.f_bavail * free.f_frsize))

    recipe = toy_recipe()
    with pytest.raises(OutputError, match=r"step 10 in .*: no space left on device; the earlier .* intact"):
        train(recipe, ToyTask(recipe.training), run_dir, resume=False, hooks=[Fill()])
    assert [path.name for path in checkpoint.find(run_dir / "checkpoints")] == ["step-00000005"]
    assert not list((run_dir / "checkpoints").glob(".*"))
    with pytest.raises(OutputError, match="no space left"):
        run_toy(run_dir, resume=True)
    filler.unlink()
    losses, _ = run_toy(run_dir, resume=True)
    assert min(losses) == 6
    assert_same(run_dir, tmp_path / "whole")


def test_a_read_only_folder_is_refused_and_kept(small_disk: Path) -> None:
    run_dir = small_disk / "run"
    run_toy(run_dir, max_steps=5)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(OutputError, match=r"cannot use .* as a run folder: read-only file system"):
        run_toy(run_dir, resume=True, max_steps=10)
    loaded = checkpoint.load_latest(run_dir / "checkpoints")
    assert loaded is not None
    assert loaded.step == 5


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_rights_is_refused(tmp_path: Path) -> None:
    run_toy(tmp_path, max_steps=5)
    (tmp_path / "lock").unlink()
    tmp_path.chmod(0o555)
    with pytest.raises(OutputError, match="permission denied"):
        run_toy(tmp_path, resume=True, max_steps=10)
    tmp_path.chmod(0o755)


@pytest.mark.parametrize("full_at", ["modules", "optimizer"])
def test_a_full_disk_under_one_of_two_stops_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_at: str
) -> None:
    real, run_dir = tensor_files.save_file, tmp_path / "run"

    def save_file(tensors: dict[str, torch.Tensor], path: Path, **options: object) -> None:
        if "step-00000010" in str(path) and path.name.startswith(f"{full_at}-00002"):
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(tensors, path, **options)

    monkeypatch.setattr(tensor_files, "save_file", save_file)

    def work(rank: int) -> None:
        recipe = toy_recipe(parallel="fsdp", sample_every=100)
        train(recipe, ToyTask(recipe.training), run_dir, resume=False)

    processes = Launched(2, work, tmp_path / "out")
    assert processes.wait() == [2, 2]
    assert all("cannot save the checkpoint of step 10" in said for said in processes.texts())
    assert [path.name for path in checkpoint.find(run_dir / "checkpoints")] == ["step-00000005"]
    assert sorted(path.name for path in (run_dir / "checkpoints").iterdir()) == ["latest", "step-00000005"]


def test_a_rotten_shard_sends_all_back_to_the_checkpoint_before(tmp_path: Path) -> None:
    def work(run_dir: Path, resume: bool) -> Losses:
        recipe, seen = toy_recipe(parallel="fsdp", max_steps=10), Losses()
        train(recipe, ToyTask(recipe.training, separable=True), run_dir, resume=resume, hooks=[seen])
        if resume and seen.by_step:
            assert list(seen.by_step) == [6, 7, 8, 9, 10]
        return seen

    run_dir = tmp_path / "run"
    launch(2, lambda rank: work(tmp_path / "whole", False), tmp_path / "out0")
    launch(2, lambda rank: work(run_dir, False), tmp_path / "out1")
    newest = checkpoint.find(run_dir / "checkpoints")[0]
    path = newest / "optimizer-00002-of-00002.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 16
    path.write_bytes(content)
    said = launch(2, lambda rank: work(run_dir, True), tmp_path / "out2")
    assert "optimizer-00002-of-00002.safetensors is damaged" in said[0]
    assert "falling back to the checkpoint before it" in said[0]
    assert_same(run_dir, tmp_path / "whole")
    # One process exports what two have trained.
    recipe = toy_recipe(parallel="fsdp", max_steps=10)
    text = (run_dir / "export" / "weight.txt").read_text()
    folder = export_checkpoint(recipe, ToyTask(recipe.training, separable=True), run_dir)
    assert (folder / "weight.txt").read_text() == text
