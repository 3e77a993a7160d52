"""A run that was stopped, killed or damaged and then resumed ends bit-equal to one that never was."""

import json
import logging
import os
import signal
import sys
import time
import traceback
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from toy_training import ToyTask, run_toy, toy_recipe

from dreamomni import runtime
from dreamomni.errors import CheckpointError, ConfigError, OutputError, TrainingError
from dreamomni.training.config import TrainRecipe
from dreamomni.training.hooks import BaseHook, MetricsFile
from dreamomni.training.run import build_task
from dreamomni.training.session import run_lock
from dreamomni.training.trainer import export_checkpoint, train


def final_state(run_dir: Path) -> dict[str, torch.Tensor]:
    newest = max((run_dir / "checkpoints").glob("step-*"))
    parts = ("modules", "ema", "optimizer")
    return {f"{part}:{k}": v for part in parts for k, v in load_file(newest / f"{part}.safetensors").items()}


def assert_same(left: Path, right: Path) -> None:
    ours, theirs = final_state(left), final_state(right)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def metrics(run_dir: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_twenty_steps_equal_ten_resume_ten(tmp_path: Path, optimizer: str, precision: str) -> None:
    settings = {"optimizer": optimizer, "precision": precision, "decay": {"type": "constant"}}
    whole, _ = run_toy(tmp_path / "whole", **settings)
    first, _ = run_toy(tmp_path / "parts", max_steps=10, **settings)
    second, outcome = run_toy(tmp_path / "parts", max_steps=20, resume=True, **settings)
    assert outcome.finished
    assert whole == first | second
    assert len(set(whole.values())) == 20
    assert_same(tmp_path / "whole", tmp_path / "parts")


def tiny_autoencoder(tmp_path: Path, max_steps: int) -> TrainRecipe:
    data = tmp_path / "tiny.yaml"
    data.write_text(
        "size: 32x32\nnames: [star, heart]\nmixture: {single: 1.0, two: 1.0}\nheld_out: {fraction: 0}\n"
    )
    return TrainRecipe.model_validate(
        {
            "name": "tiny",
            "task": {
                "type": "autoencoder",
                "data": str(data),
                "block_out_channels": (8, 8, 8, 8),
                "num_statistics_images": 8,
            },
            "training": {
                **toy_recipe(decay={"type": "constant"}).training.model_dump(),
                "max_steps": max_steps,
                "batch_size": 2,
            },
        }
    )


def test_the_autoencoder_resumes_bit_equal(tmp_path: Path) -> None:
    for name, max_steps, resume in (("whole", 8, False), ("parts", 4, False), ("parts", 8, True)):
        recipe = tiny_autoencoder(tmp_path, max_steps)
        train(recipe, build_task(recipe), tmp_path / name, resume=resume)
    assert_same(tmp_path / "whole", tmp_path / "parts")


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    alone, _ = run_toy(tmp_path / "0", max_steps=8, num_workers=0)
    for num_workers in (1, 2):
        assert run_toy(tmp_path / str(num_workers), max_steps=8, num_workers=num_workers)[0] == alone


class Forked:
    """A trainer in a forked process: its libraries are loaded already, so it starts at once."""

    def __init__(self, run_dir: Path, *, seconds_per_step: float = 0.0, **settings: object) -> None:
        self.run_dir, self.stderr = run_dir, run_dir.with_suffix(".stderr")
        self.pid = os.fork()
        if self.pid == 0:
            code = 99
            try:
                with self.stderr.open("w") as stderr:
                    os.dup2(stderr.fileno(), 2)
                    logging.basicConfig(stream=stderr, force=True)
                    recipe = toy_recipe(**settings)
                    task = ToyTask(recipe.training, seconds_per_step=seconds_per_step)
                    hooks = [MetricsFile(run_dir / "metrics.jsonl", 1)]
                    code = train(recipe, task, run_dir, resume=False, hooks=hooks).exit_code
            except BaseException:  # a forked pytest must never return into pytest
                traceback.print_exc()
            finally:
                os._exit(code)

    def wait_for_step(self, step: int) -> None:
        deadline = time.monotonic() + 60
        while not self.has_done(step):
            assert os.waitpid(self.pid, os.WNOHANG) == (0, 0), self.stderr.read_text()
            assert time.monotonic() < deadline, "the run did not get there in 60 s"
            time.sleep(0.005)

    def has_done(self, step: int) -> bool:
        path = self.run_dir / "metrics.jsonl"
        return path.exists() and path.read_bytes().count(b"\n") >= step

    def exit_code(self) -> int:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        os.kill(self.pid, signal.SIGKILL)
        raise AssertionError("the run did not end in 30 s")


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_killed_and_resumed_equals_never_killed(tmp_path: Path) -> None:
    whole, _ = run_toy(tmp_path / "whole", max_steps=30)
    process = Forked(tmp_path / "killed", max_steps=30, num_workers=2, seconds_per_step=0.01)
    process.wait_for_step(13)
    workers = children_of(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    assert process.exit_code() == -signal.SIGKILL
    assert len(workers) == 2
    deadline = time.monotonic() + 5
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline, "data workers outlived their trainer"
        time.sleep(0.01)
    resumed, outcome = run_toy(tmp_path / "killed", max_steps=30, resume=True)
    assert outcome.finished
    assert resumed == {step: loss for step, loss in whole.items() if step in resumed}
    assert 10 <= min(resumed) <= 30
    assert_same(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_saves_and_ends(tmp_path: Path, number: signal.Signals, code: int) -> None:
    run_dir = tmp_path / "run"
    process = Forked(run_dir, max_steps=3000, num_workers=1, checkpoint_every=3000, seconds_per_step=0.02)
    process.wait_for_step(3)
    os.kill(process.pid, number)
    assert process.exit_code() == code
    message = process.stderr.read_text()
    assert "Traceback" not in message
    assert "saved; resume to go on" in message
    done = metrics(run_dir)[-1]["step"]
    assert [path.name for path in (run_dir / "checkpoints").glob("step-*")] == [f"step-{done:08d}"]


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    process = Forked(run_dir, max_steps=3000, seconds_per_step=60.0)
    while not (run_dir / "metrics.jsonl").exists():
        time.sleep(0.01)
    for _ in range(2):
        time.sleep(0.3)
        os.kill(process.pid, signal.SIGTERM)
    assert process.exit_code() == 143


def test_resume_without_a_checkpoint_starts(tmp_path: Path) -> None:
    losses, _ = run_toy(tmp_path / "new", resume=True, max_steps=5)
    assert list(losses) == [1, 2, 3, 4, 5]


def test_a_finished_run_resumes_to_its_export(tmp_path: Path) -> None:
    _, first = run_toy(tmp_path, max_steps=5)
    assert first.export is not None
    text = (first.export / "weight.txt").read_text()
    losses, again = run_toy(tmp_path, max_steps=5, resume=True)
    assert losses == {}
    assert again.finished
    assert again.export is not None
    assert (again.export / "weight.txt").read_text() == text
    recipe = toy_recipe(max_steps=5)
    assert (export_checkpoint(recipe, ToyTask(recipe.training), tmp_path) / "weight.txt").read_text() == text


def test_checkpoints_are_not_trained_over(tmp_path: Path) -> None:
    run_toy(tmp_path, max_steps=5)
    with pytest.raises(ConfigError, match="already holds checkpoints"):
        run_toy(tmp_path, max_steps=5)


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"batch_size": 8}, "training.batch_size was 4 and is 8"),
        ({"seed": 1}, "training.seed was 0 and is 1"),
        ({"optimizer": "muon"}, "training.optimizer was 'adamw' and is 'muon'"),
    ],
)
def test_another_recipe_is_refused(tmp_path: Path, change: dict[str, object], shown: str) -> None:
    run_toy(tmp_path, max_steps=5)
    with pytest.raises(CheckpointError) as error:
        run_toy(tmp_path, resume=True, max_steps=10, **change)
    assert shown in str(error.value)


def test_another_recipe_is_refused_before_anything_is_prepared(tmp_path: Path) -> None:
    class Costly(ToyTask):
        def prepare(self, run_dir: Path) -> None:
            raise AssertionError("this takes hours")

    run_toy(tmp_path, max_steps=5)
    recipe = toy_recipe(max_steps=10, batch_size=8)
    with pytest.raises(CheckpointError, match=r"training\.batch_size was 4 and is 8"):
        train(recipe, Costly(recipe.training), tmp_path, resume=True)


def test_emulated_bf16_is_said_before_anything_is_prepared(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Never(ToyTask):
        def prepare(self, run_dir: Path) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(runtime, "native_bf16", lambda device: False)
    recipe = toy_recipe(precision="bf16")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, Never(recipe.training), tmp_path, resume=False)
    assert "precision bf16 is emulated on this device and very slow; use auto or fp32" in caplog.text


def test_other_data_is_refused(tmp_path: Path) -> None:
    recipe = toy_recipe(max_steps=5)
    train(recipe, ToyTask(recipe.training), tmp_path / "run", resume=False)
    world = tmp_path / "world.yaml"
    world.write_text("names: [star]\n")
    other = recipe.model_copy(update={"task": recipe.task.model_copy(update={"data": str(world)})})
    with pytest.raises(CheckpointError, match=r"data\.names was"):
        train(other, ToyTask(other.training), tmp_path / "run", resume=True)


def test_lengths_and_cadences_may_change(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run_toy(tmp_path, max_steps=5)
    changes = {
        "max_steps": 10,
        "checkpoint_every": 3,
        "decay": {"type": "wsd"},
        "num_workers": 1,
        "log_every": 7,
    }
    with caplog.at_level(logging.WARNING):
        losses, _ = run_toy(tmp_path, resume=True, **changes)
    assert max(losses) == 10
    assert "training.max_steps was 5 and is 10" in caplog.text


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_toy(tmp_path / "run", max_steps=10)
    newest = tmp_path / "run" / "checkpoints" / "step-00000010" / "modules.safetensors"
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)
    losses, _ = run_toy(tmp_path / "run", resume=True, max_steps=10)
    assert list(losses) == [6, 7, 8, 9, 10]
    assert "modules.safetensors is damaged" in caplog.text


def test_the_same_folder_twice_is_refused(tmp_path: Path) -> None:
    with run_lock(tmp_path), pytest.raises(TrainingError, match=rf"process {os.getpid()}\) is using"):
        run_toy(tmp_path)
    run_toy(tmp_path, max_steps=5)


def test_a_run_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot use"):
        run_toy(tmp_path / "file")


def test_hooks_see_averaged_weights_and_training_does_not_feel_them(tmp_path: Path) -> None:
    plain, _ = run_toy(tmp_path / "plain", max_steps=8)
    recipe = toy_recipe(max_steps=8)
    task, seen = ToyTask(recipe.training), []

    class Look(BaseHook):
        def on_sample(self, step: int, image: object) -> None:
            seen.append((step, task.net.training, task.net.last.weight.clone()))

    train(recipe, task, tmp_path / "looked", resume=False, hooks=[Look()])
    assert [(step, training) for step, training, _ in seen] == [(4, False), (8, False)]
    assert not torch.equal(seen[-1][2], task.net.last.weight)
    ema = load_file(tmp_path / "looked" / "checkpoints" / "step-00000008" / "ema.safetensors")
    assert torch.equal(seen[-1][2], ema["net.last.weight"])
    assert_same(tmp_path / "plain", tmp_path / "looked")
    assert len(plain) == 8
