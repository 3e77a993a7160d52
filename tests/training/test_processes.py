"""Several processes on one machine: the losses of one, one set of checkpoints, one voice, one end."""

import errno
import json
import logging
import os
import re
import signal
import time
from pathlib import Path

import pytest
import torch
from launched import Launched, launch
from safetensors.torch import load_file
from toy_training import Losses, ToyTask, run_toy, toy_recipe

from dreamomni.errors import CheckpointError, ConfigError, OutputError
from dreamomni.training import checkpoint, processes, session
from dreamomni.training.config import TrainingConfig, VlmTaskConfig
from dreamomni.training.hooks import MetricsFile
from dreamomni.training.processes import join
from dreamomni.training.session import run_lock
from dreamomni.training.tensor_files import SavedTensors
from dreamomni.training.trainer import train
from dreamomni.training.vlm_task import VlmTask

RELATIVE = 1e-5
"""Stated in docs/training.md: losses of the first 20 steps differ by less, whoever shares them."""


def run(
    run_dir: Path, *, resume: bool = False, task: dict[str, object] | None = None, **settings: object
) -> None:
    """One process of a run of the separable toy; metrics tell its losses."""
    recipe = toy_recipe(**settings)
    toy = ToyTask(recipe.training, separable=True)
    for name, value in (task or {}).items():
        setattr(toy, name, value)
    hooks = [MetricsFile(run_dir / "metrics.jsonl", 1)]
    train(recipe, toy, run_dir, resume=resume, hooks=hooks)


def launch_run(size: int, run_dir: Path, **settings: object) -> list[str]:
    return launch(size, lambda rank: run(run_dir, **settings), run_dir.with_suffix(".out"))


def metrics(run_dir: Path) -> dict[int, dict[str, float]]:
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line for line in lines}


def losses(run_dir: Path) -> list[float]:
    return [line["loss"] for _, line in sorted(metrics(run_dir).items())]


def newest(run_dir: Path) -> Path:
    return checkpoint.find(run_dir / "checkpoints")[0]


def tensors(run_dir: Path) -> dict[str, torch.Tensor]:
    return {
        f"{part}:{name}": tensor
        for part in ("modules", "ema", "optimizer")
        for name, tensor in SavedTensors(newest(run_dir), part).items()
    }


def assert_near(ours: Path, theirs: Path, relative: float = RELATIVE) -> None:
    torch.testing.assert_close(
        torch.tensor(losses(ours)), torch.tensor(losses(theirs)), rtol=relative, atol=0
    )
    left, right = tensors(ours), tensors(theirs)
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        torch.testing.assert_close(
            tensor, right[name], rtol=2e-3, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}"
        )


def assert_same(ours: Path, theirs: Path) -> None:
    left, right = tensors(ours), tensors(theirs)
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("alone") / "run"
    run(run_dir)
    return run_dir


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of two processes for each way to share."""
    found = {}
    for parallel in ("ddp", "fsdp"):
        found[parallel] = tmp_path_factory.mktemp(parallel) / "run"
        launch_run(2, found[parallel], parallel=parallel)
    return found


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_have_the_losses_of_one(alone: Path, two: dict[str, Path], parallel: str) -> None:
    assert_near(two[parallel], alone)
    theirs = metrics(alone)
    for step, line in metrics(two[parallel]).items():
        assert line["doubled"] == pytest.approx(theirs[step]["doubled"], rel=1e-4)
        assert line["grad_norm"] == pytest.approx(theirs[step]["grad_norm"], rel=1e-3)
    weight = (two[parallel] / "export" / "weight.txt").read_text()
    assert float(weight) == pytest.approx(float((alone / "export" / "weight.txt").read_text()), rel=1e-3)


@pytest.mark.parametrize("settings", [{"optimizer": "adamw"}, {"optimizer": "muon"}])
def test_accumulation_has_the_losses_of_one_step(tmp_path: Path, settings: dict[str, object]) -> None:
    run(tmp_path / "whole", **settings)
    run(tmp_path / "parts", gradient_accumulation_steps=2, **settings)
    assert_near(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_processes_accumulate(tmp_path: Path, alone: Path, parallel: str) -> None:
    launch_run(2, tmp_path / "run", parallel=parallel, gradient_accumulation_steps=2)
    assert_near(tmp_path / "run", alone)


@pytest.mark.parametrize("parallel", ["none", "ddp", "fsdp"])
def test_means_over_unequal_numbers_are_weighted(tmp_path: Path, parallel: str) -> None:
    settings = {"task": {"masked": True}, "max_steps": 6}
    run(tmp_path / "whole", **settings)
    size = 1 if parallel == "none" else 2
    settings |= {"gradient_accumulation_steps": 2, "parallel": parallel}
    launch_run(size, tmp_path / "parts", **settings)
    assert_near(tmp_path / "parts", tmp_path / "whole")


def test_checkpointing_the_activations_changes_no_bit(tmp_path: Path) -> None:
    run_toy(tmp_path / "plain", max_steps=6)
    run_toy(tmp_path / "again", max_steps=6, activation_checkpointing=True)
    assert_same(tmp_path / "plain", tmp_path / "again")


def test_fsdp_with_checkpointed_blocks(tmp_path: Path, alone: Path) -> None:
    launch_run(2, tmp_path / "run", parallel="fsdp", activation_checkpointing=True)
    assert_near(tmp_path / "run", alone)


def test_a_sharded_checkpoint_has_a_file_of_each(two: dict[str, Path]) -> None:
    names = {path.name for path in newest(two["fsdp"]).iterdir()}
    parts = {
        f"{part}-0000{n}-of-00002.safetensors" for part in ("modules", "ema", "optimizer") for n in (1, 2)
    }
    assert names == parts | {"state.json", "manifest.json"}
    whole = tensors(two["ddp"])
    rows = load_file(newest(two["fsdp"]) / "ema-00002-of-00002.safetensors")
    assert rows["net.blocks.0.weight"].shape == (3, 4)
    assert whole["ema:net.blocks.0.weight"].shape == (6, 4)
    saved = SavedTensors(newest(two["fsdp"]), "ema")
    everything = saved["net.blocks.0.weight"]
    assert torch.equal(saved.read_rows("net.blocks.0.weight", 2, 5), everything[2:5])
    assert torch.equal(everything[3:], rows["net.blocks.0.weight"])


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_write_and_one_goes_on(tmp_path: Path, alone: Path, parallel: str) -> None:
    settings = {"decay": {"type": "constant"}}
    run(tmp_path / "whole", **settings)
    launch_run(2, tmp_path / "run", parallel=parallel, max_steps=10, **settings)
    first = losses(tmp_path / "run")
    run(tmp_path / "run", resume=True, **settings)
    assert losses(tmp_path / "run")[:10] == first
    assert_near(tmp_path / "run", tmp_path / "whole")
    assert (newest(tmp_path / "run") / "modules.safetensors").exists()


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_one_writes_and_two_go_on(tmp_path: Path, parallel: str) -> None:
    settings = {"decay": {"type": "constant"}}
    run(tmp_path / "whole", **settings)
    run(tmp_path / "run", max_steps=10, **settings)
    said = launch_run(2, tmp_path / "run", parallel=parallel, resume=True, **settings)
    assert_near(tmp_path / "run", tmp_path / "whole")
    assert "the checkpoint is from 1 processes and 2 go on" in said[0]


@pytest.mark.parametrize(("size", "parallel"), [(2, "ddp"), (2, "fsdp"), (3, "ddp"), (3, "fsdp")])
def test_a_resumed_run_ends_bit_equal(tmp_path: Path, size: int, parallel: str) -> None:
    settings = {"parallel": parallel, "decay": {"type": "constant"}, "max_steps": 8, "batch_size": 6}
    launch_run(size, tmp_path / "whole", **settings)
    launch_run(size, tmp_path / "parts", **{**settings, "max_steps": 4})
    launch_run(size, tmp_path / "parts", resume=True, **settings)
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    assert_same(tmp_path / "parts", tmp_path / "whole")


def test_hooks_see_whole_averaged_modules(tmp_path: Path) -> None:
    """Under FSDP too a hook may call, save and copy the modules as if they had never been sharded."""
    seen = tmp_path / "seen"

    def work(rank: int) -> None:
        recipe = toy_recipe(parallel="fsdp", max_steps=4)
        task = ToyTask(recipe.training, separable=True)

        class Look(Losses):
            def on_sample(self, step: int, image: object) -> None:
                out = task.net(torch.ones(1, 3, 4, 4))
                torch.save({"out": out, **task.net.state_dict()}, seen)

        train(recipe, task, tmp_path / "run", resume=False, hooks=[Look()])

    launch(2, work, tmp_path / "out")
    found = torch.load(seen, weights_only=True)
    ema = SavedTensors(newest(tmp_path / "run"), "ema")
    assert found["blocks.0.weight"].shape == (6, 4)
    assert all(torch.equal(found[name.removeprefix("net.")], ema[name]) for name in ema)


def test_only_the_first_speaks(two: dict[str, Path]) -> None:
    said = [path.read_text() for path in sorted(two["ddp"].with_suffix(".out").iterdir())]
    assert "DataLoader" not in "".join(said)
    assert said[1] == ""


def test_it_says_what_it_runs_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        run_toy(tmp_path, max_steps=4, gradient_accumulation_steps=2)
    lines = [record.message for record in caplog.records if "training on" in record.message]
    assert lines == [
        "training on cpu, 1 process: 193 parameters in fp32; batch 4 = 1 x 2 accumulation x 2 samples"
    ]


@pytest.mark.parametrize(("attribute", "what"), [("nan_at", "loss"), ("inf_gradient_at", "gradient norm")])
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_what_is_not_finite_in_one_stops_all(
    tmp_path: Path, attribute: str, what: str, parallel: str
) -> None:
    settings = {"parallel": parallel, "max_steps": 10}
    bad = {attribute: 7, "bad_part": 1}
    processes = Launched(2, lambda rank: run(tmp_path / "run", task=bad, **settings), tmp_path / "out")
    assert processes.wait() == [2, 2]
    for said in processes.texts():
        assert re.search(rf"TrainingError: the {what} of step 8 is (nan|inf)", said)
        assert "toy-7-2, toy-7-3" in said
        assert ("toy-7-0" in said) is (what == "gradient norm")
    assert newest(tmp_path / "run").name == "step-00000005"


def test_a_batch_that_one_cannot_make_stops_all(tmp_path: Path) -> None:
    bad = {"bad_batch_at": 6, "bad_part": 1}
    processes = Launched(2, lambda rank: run(tmp_path / "run", task=bad), tmp_path / "out")
    assert processes.wait() == [2, 2]
    assert all("DataError: the batch of step 6 is made of nothing" in said for said in processes.texts())


def wait_for_step(run_dir: Path, step: int, processes: Launched) -> None:
    deadline = time.monotonic() + 120
    path = run_dir / "metrics.jsonl"
    while not path.exists() or path.read_bytes().count(b"\n") < step:
        assert time.monotonic() < deadline, processes.texts()
        time.sleep(0.005)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_one_stops_all_after_the_same_step(tmp_path: Path, rank: int) -> None:
    run_dir = tmp_path / "run"
    slow = {"seconds_per_step": 0.02}
    settings = {"max_steps": 3000, "checkpoint_every": 3000, "sample_every": 3000}
    processes = Launched(2, lambda rank: run(run_dir, task=slow, **settings), tmp_path / "out")
    wait_for_step(run_dir, 3, processes)
    os.kill(processes.pids[rank], signal.SIGTERM)
    assert processes.wait() == [0, 0]
    done = max(metrics(run_dir))
    assert newest(run_dir).name == f"step-{done:08d}"


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_is_an_error_and_no_hang(tmp_path: Path, rank: int) -> None:
    run_dir = tmp_path / "run"
    slow = {"seconds_per_step": 0.02}
    processes = Launched(2, lambda rank: run(run_dir, task=slow, max_steps=3000), tmp_path / "out")
    wait_for_step(run_dir, 6, processes)
    os.kill(processes.pids[rank], signal.SIGKILL)
    codes = processes.wait()
    assert codes[rank] == -signal.SIGKILL
    assert codes[1 - rank] == 2
    assert "ProcessLostError: process" in processes.texts()[1 - rank]
    assert checkpoint.load_latest(run_dir / "checkpoints") is not None


def test_a_second_run_on_the_same_folder_is_refused(tmp_path: Path) -> None:

    with run_lock(tmp_path / "run"):
        processes = Launched(2, lambda rank: run(tmp_path / "run"), tmp_path / "out")
        assert processes.wait() == [2, 2]
    assert all(f"another trainer (process {os.getpid()})" in said for said in processes.texts())


LAUNCHER = {"RANK": "0", "WORLD_SIZE": "3", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"batch_size": 32, "gradient_accumulation_steps": 4},
            "batch_size 32 does not divide into 3 processes x 4 accumulation steps = 12 parts; say 24 or 36",
        ),
        ({"batch_size": 2}, "3 processes x 1 accumulation steps = 3 parts; say 3"),
        ({"batch_size": 3, "parallel": "none"}, "parallel is none, but there are 3 processes"),
        ({"batch_size": 3, "parallel": "fsdp", "optimizer": "muon"}, "optimizer muon needs whole matrices"),
        ({"batch_size": 3, "device": "cuda:1"}, "device 'cuda:1' is one device"),
        ({"batch_size": 3, "device": "cuda"}, "3 processes were started on this machine, but it has"),
    ],
)
def test_what_cannot_work_is_refused_first(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, object], words: str
) -> None:
    for name, value in LAUNCHER.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match=re.escape(words)), join(TrainingConfig(max_steps=200, **settings)):
        pass


def test_damaged_variables_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "first")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(ConfigError, match="RANK is 'first'"),
        join(TrainingConfig(max_steps=200, batch_size=2)),
    ):
        pass


def test_accumulation_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size 4 does not divide by gradient_accumulation_steps 3"):
        toy_recipe(gradient_accumulation_steps=3)


def test_missing_rows_are_noticed(tmp_path: Path, two: dict[str, Path]) -> None:
    folder = newest(two["fsdp"])
    for path in folder.iterdir():
        if path.name != "ema-00002-of-00002.safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(CheckpointError, match=r"holds \d of \d rows of net"):
        SavedTensors(tmp_path, "ema")


def test_the_vlm_refuses_what_would_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrainingConfig(max_steps=200, batch_size=4, parallel="fsdp")
    monkeypatch.setattr(processes, "_current", processes.World(0, 2))
    with pytest.raises(
        ConfigError, match="fsdp needs all 2 processes to use the same layers; say parallel ddp"
    ):
        VlmTask(VlmTaskConfig(), config).prepare(tmp_path)


def test_a_run_folder_on_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(session.os, "write", full)
    with pytest.raises(OutputError, match="as a run folder: no space left on device"), run_lock(tmp_path):
        pass
