"""Training by the clock: it ends in time, goes on from before the fall, and a signal from outside wins."""

import os
import signal
import time
from pathlib import Path

import pytest
from toy_training import ToyTask, toy_recipe

from dreamomni.errors import ConfigError
from dreamomni.training import checkpoint
from dreamomni.training.budget import TRUNK, BudgetOutcome, train_for
from dreamomni.training.config import TrainRecipe
from dreamomni.training.hooks import BaseHook, StepReport


class Rates(BaseHook):
    def __init__(self) -> None:
        self.by_step: dict[int, float] = {}

    def on_step(self, report: StepReport) -> None:
        self.by_step[report.step] = report.learning_rate


def run(run_dir: Path, seconds: float, *hooks: BaseHook) -> BudgetOutcome:
    def task(recipe: TrainRecipe) -> ToyTask:
        return ToyTask(recipe.training, seconds_per_step=0.01)

    return train_for(toy_recipe(), task, run_dir, seconds, make_hooks=lambda recipe, run_dir: hooks)


@pytest.fixture(scope="module", autouse=True)
def warm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The first optimizer step of a process loads a part of torch, which takes seconds."""
    run(tmp_path_factory.mktemp("warm"), 0.1)


def test_it_holds_then_falls_then_exports_in_about_the_time(tmp_path: Path) -> None:
    rates = Rates()
    began = time.monotonic()
    outcome = run(tmp_path, 3.0, rates)
    assert outcome.trained.finished
    assert outcome.trained.export is not None
    assert time.monotonic() - began < 8
    held = [rate for step, rate in rates.by_step.items() if 3 < step <= outcome.held_steps]
    fallen = [rate for step, rate in sorted(rates.by_step.items()) if step > outcome.held_steps]
    assert set(held) == {1e-2}
    assert len(fallen) > 1
    assert fallen == sorted(fallen, reverse=True)
    assert fallen[-1] < 1e-3


def test_the_next_call_goes_on_from_before_the_fall(tmp_path: Path) -> None:
    first, rates = run(tmp_path, 1.5), Rates()
    second = run(tmp_path, 1.5, rates)
    assert min(rates.by_step) == first.held_steps + 1
    assert rates.by_step[first.held_steps + 1] == 1e-2
    assert second.held_steps > first.held_steps
    assert checkpoint.find(tmp_path / TRUNK)[0].name.endswith(str(second.held_steps))


def test_a_kill_while_the_trunk_is_exchanged_loses_nothing(tmp_path: Path) -> None:
    first = run(tmp_path, 1.0)
    (tmp_path / TRUNK).rename(tmp_path / f".{TRUNK}.old")
    rates = Rates()
    run(tmp_path, 1.0, rates)
    assert min(rates.by_step) == first.held_steps + 1


class Killer(BaseHook):
    def on_step(self, report: StepReport) -> None:
        if report.step == 5:
            os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_from_outside_ends_it_without_a_fall(tmp_path: Path) -> None:
    outcome = run(tmp_path, 60.0, Killer())
    assert (outcome.trained.finished, outcome.trained.exit_code, outcome.held_steps) == (False, 130, 5)
    assert not (tmp_path / TRUNK).exists()


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_impossible_times_are_refused(tmp_path: Path, seconds: float) -> None:
    with pytest.raises(ConfigError, match="more than 0 seconds"):
        run(tmp_path, seconds)


def test_several_processes_are_refused_before_anything_is_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="2 processes were started"):
        run(tmp_path / "run", 1.0)
    assert not (tmp_path / "run").exists()
