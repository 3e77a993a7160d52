"""Train for a given time instead of a given number of steps, and go on another day.

The rate is held while the clock runs, then falls to its end over a last part of the time. What stands before
the fall (the trunk) is kept, and the next call goes on from there: the fall is lost to it, and nothing else.
"""

import logging
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dreamomni.errors import ConfigError
from dreamomni.training import checkpoint
from dreamomni.training.config import ConstantDecay, TrainRecipe, WsdDecay
from dreamomni.training.hooks import BaseHook, Hook, StepReport
from dreamomni.training.processes import launched_size
from dreamomni.training.task import TrainingTask
from dreamomni.training.trainer import CHECKPOINTS, TrainOutcome, train

log = logging.getLogger(__name__)

TRUNK = "trunk"
"""Folder in a run folder with the checkpoint before the rate began to fall."""
_NO_END = 10**9
_CAUTION = 0.92
"""Share of the time left that the fall is planned for: rates are never quite steady."""


@dataclass(frozen=True, slots=True)
class BudgetOutcome:
    """What came of the time.

    Attributes:
        trained: How the last part of the run ended.
        held_steps: Steps of the trunk, over all calls.
        steps_per_second: As measured while the rate was held.
        seconds: Time used by this call, preparations included.
    """

    trained: TrainOutcome
    held_steps: int
    steps_per_second: float
    seconds: float


class Clock(BaseHook):
    """Asks for an orderly stop, as SIGTERM does, when the time is over.

    Args:
        deadline: On the clock of `time.monotonic`.
    """

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.rang = False
        self.num_steps = 0
        self._since = self._warm = time.monotonic()

    @property
    def steps_per_second(self) -> float:
        """Over all steps but the first, which loads and compiles; of that one where it is alone."""
        steps, since = (self.num_steps - 1, self._warm) if self.num_steps > 1 else (1, self._since)
        return steps / max(time.monotonic() - since, 1e-9)

    def on_start(self, step: int) -> None:
        """Begin to measure: what came before was preparation."""
        self._since = time.monotonic()

    def on_step(self, report: StepReport) -> None:
        """Look at the clock; it rings once, because a second signal would end the process at once."""
        self.num_steps += 1
        if self.num_steps == 1:
            self._warm = time.monotonic()
        if not self.rang and time.monotonic() >= self.deadline:
            self.rang = True
            signal.raise_signal(signal.SIGTERM)


def train_for(
    recipe: TrainRecipe,
    make_task: Callable[[TrainRecipe], TrainingTask],
    run_dir: Path,
    seconds: float,
    *,
    decay_share: float = 0.3,
    make_hooks: Callable[[TrainRecipe, Path], Sequence[Hook]] = lambda recipe, run_dir: (),
) -> BudgetOutcome:
    """Train for about `seconds`, going on from what an earlier call left in `run_dir`.

    Args:
        recipe: What to train; its `max_steps` and `decay` are replaced.
        make_task: Builds the task of a recipe.
        run_dir: Folder of the run.
        seconds: Time for preparations, training and export together.
        decay_share: Share of the time in which the rate falls.
        make_hooks: Builds the watchers of a run.

    Returns:
        The outcome. `trained.finished` is False when a signal from outside stopped it.

    Raises:
        ConfigError: The time or the share is impossible, or a launcher started several processes.
        DreamOmniError: Whatever `trainer.train` raises.
    """
    if not seconds > 0 or not 0 < decay_share < 1:
        raise ConfigError(
            f"{seconds:g} seconds with {decay_share:g} of them for the fall of the rate cannot be: give more "
            "than 0 seconds and a share between 0 and 1"
        )
    if launched_size() > 1:
        raise ConfigError(
            f"{launched_size()} processes were started, but a run within a time is one process, because each "
            "would stop at another step; start it without a launcher, or give dreamomni train its steps"
        )
    began = time.monotonic()
    _back_to_trunk(run_dir)
    held = _changed(recipe, _NO_END, ConstantDecay())
    clock = Clock(began + seconds * (1 - decay_share))
    outcome = train(held, make_task(held), run_dir, resume=True, hooks=[*make_hooks(held, run_dir), clock])
    rate = clock.steps_per_second
    if not clock.rang:
        return BudgetOutcome(outcome, outcome.step, rate, time.monotonic() - began)
    _keep_trunk(run_dir)
    left = seconds - (time.monotonic() - began)
    num_falling = max(1, int(left * rate * _CAUTION))
    end = outcome.step + num_falling
    log.info("the rate falls over steps %d to %d", outcome.step, end)
    falling = _changed(recipe, end, WsdDecay(decay_fraction=num_falling / end))
    trained = train(
        falling, make_task(falling), run_dir, resume=True, hooks=list(make_hooks(falling, run_dir))
    )
    return BudgetOutcome(trained, outcome.step, rate, time.monotonic() - began)


def _changed(recipe: TrainRecipe, max_steps: int, decay: ConstantDecay | WsdDecay) -> TrainRecipe:
    warmup = min(recipe.training.warmup_steps, max_steps - 1)
    training = recipe.training.model_copy(
        update={"max_steps": max_steps, "decay": decay, "warmup_steps": warmup}
    )
    return recipe.model_copy(update={"training": training})


def _keep_trunk(run_dir: Path) -> None:
    """Copy the newest checkpoint; the folder appears whole, and the one before it goes last."""
    newest = checkpoint.find(run_dir / CHECKPOINTS)[0]
    part, old = run_dir / f".{TRUNK}.part", run_dir / f".{TRUNK}.old"
    shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    shutil.copytree(newest, part / newest.name)
    if (run_dir / TRUNK).exists():
        (run_dir / TRUNK).rename(old)
    part.rename(run_dir / TRUNK)
    shutil.rmtree(old, ignore_errors=True)


def _back_to_trunk(run_dir: Path) -> None:
    """Drop the checkpoints of a fall, if there was one, in favour of the one before it."""
    if not (run_dir / TRUNK).exists() and (run_dir / f".{TRUNK}.old").exists():
        (run_dir / f".{TRUNK}.old").rename(run_dir / TRUNK)
    trunk = checkpoint.find(run_dir / TRUNK)
    if not trunk:
        return
    found = checkpoint.find(run_dir / CHECKPOINTS)
    if [path.name for path in found] == [trunk[0].name]:
        return
    for path in found:
        shutil.rmtree(path)
    target = run_dir / CHECKPOINTS / trunk[0].name
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(trunk[0], part)
    part.rename(target)
