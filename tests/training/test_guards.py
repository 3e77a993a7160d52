"""What must stop a run, and what it must say."""

import errno
import os
import re
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from toy_training import ToyTask, run_toy, toy_recipe

from dreamomni.errors import ConfigError, DataError, OutputError, TrainingError
from dreamomni.training.loader import iterate_batches
from dreamomni.training.optim import Optimizers
from dreamomni.training.task import WHOLE, Part
from dreamomni.training.trainer import train


@pytest.mark.parametrize(("attribute", "what"), [("nan_at", "loss"), ("inf_gradient_at", "gradient norm")])
def test_what_is_not_finite_never_reaches_the_weights(tmp_path: Path, attribute: str, what: str) -> None:
    recipe = toy_recipe(max_steps=10, checkpoint_every=7)
    good = ToyTask(recipe.training)
    train(
        toy_recipe(max_steps=7, checkpoint_every=7, decay={"type": "constant"}),
        good,
        tmp_path / "good",
        resume=False,
    )
    bad = ToyTask(recipe.training)
    setattr(bad, attribute, 7)
    with pytest.raises(TrainingError, match=rf"the {what} of step 8 is (nan|inf).*samples: toy-7\)"):
        train(toy_recipe(max_steps=10, decay={"type": "constant"}), bad, tmp_path / "bad", resume=False)
    expected = load_file(tmp_path / "good" / "checkpoints" / "step-00000007" / "modules.safetensors")
    assert all(torch.equal(expected[f"net.{name}"], p) for name, p in bad.net.named_parameters())


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_batch_that_cannot_be_made_says_why(tmp_path: Path, num_workers: int) -> None:
    recipe = toy_recipe(num_workers=num_workers)
    task = ToyTask(recipe.training)
    task.bad_batch_at = 6
    with pytest.raises(DataError, match=r"^the batch of step 6 is made of nothing$"):
        train(recipe, task, tmp_path, resume=False)


def test_a_killed_worker_is_an_error_and_no_hang(tmp_path: Path) -> None:
    class Deadly(ToyTask):
        def batch(self, step: int, part: Part = WHOLE) -> dict[str, object]:
            if step == 9:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().batch(step, part)

    recipe = toy_recipe(num_workers=1)
    with pytest.raises(DataError, match="a data worker died before the batch of step"):
        train(recipe, Deadly(recipe.training), tmp_path, resume=False)


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_batches_come_in_order(tmp_path: Path, num_workers: int) -> None:
    lock = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    batches = iterate_batches(ToyTask(toy_recipe().training), 3, 9, num_workers, lock)
    assert [batch["step"] for batch in batches] == [3, 4, 5, 6, 7, 8]
    os.close(lock)


def test_muon_without_a_hidden_matrix_is_refused() -> None:
    settings = toy_recipe(optimizer="muon", muon_exclude=("net.blocks.*",)).training
    task = ToyTask(settings)
    task.prepare(Path())
    with pytest.raises(ConfigError, match=re.escape("found no hidden matrix")):
        Optimizers(task.modules(), settings)


def test_a_frozen_task_is_refused(tmp_path: Path) -> None:
    class Frozen(ToyTask):
        def prepare(self, run_dir: Path) -> None:
            super().prepare(run_dir)
            self.net.requires_grad_(False)

    recipe = toy_recipe()
    with pytest.raises(ConfigError, match="no trainable parameter"):
        train(recipe, Frozen(recipe.training), tmp_path, resume=False)


def test_an_export_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    class Full(ToyTask):
        def export(self, folder: Path) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    recipe = toy_recipe(max_steps=5)
    with pytest.raises(OutputError, match="export: no space left on device; the checkpoints are intact"):
        train(recipe, Full(recipe.training), tmp_path, resume=False)
    assert not list(tmp_path.glob(".export*"))
    assert run_toy(tmp_path, max_steps=5, resume=True)[1].export is not None


def test_an_interrupt_while_preparing_is_an_interrupt(tmp_path: Path) -> None:
    class Slow(ToyTask):
        def prepare(self, run_dir: Path) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    recipe = toy_recipe()
    with pytest.raises(KeyboardInterrupt):
        train(recipe, Slow(recipe.training), tmp_path, resume=False)
    run_toy(tmp_path, max_steps=5)
