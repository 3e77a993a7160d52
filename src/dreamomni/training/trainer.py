"""The training loop, one for every task. It knows steps, not pixels; pixels come in as a `TrainingTask`.

Step n is a function of the state after step n - 1 and of n alone: its batch is `task.batch(n)`, its random
numbers come from a generator seeded with (seed, "step", n). So a killed and resumed run ends bit-equal to an
unbroken one, with one process or with many.
"""

import logging
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from dreamomni import runtime, storage
from dreamomni.config import dump_recipe
from dreamomni.errors import CheckpointError, ConfigError, OutputError
from dreamomni.training import checkpoint
from dreamomni.training.config import TrainRecipe, check_same_run
from dreamomni.training.hooks import Hook
from dreamomni.training.loader import iterate_batches
from dreamomni.training.processes import World, join
from dreamomni.training.session import StopRequest, run_lock
from dreamomni.training.state import CHECKPOINTS, EXPORT, TrainingState, check_device
from dreamomni.training.task import TrainingTask

__all__ = ["CHECKPOINTS", "EXPORT", "TrainOutcome", "export_checkpoint", "train"]

log = logging.getLogger(__name__)

_SEEN_WITHIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class TrainOutcome:
    """How a run ended.

    Args:
        step: optimizer steps done in all.
        finished: whether that is `max_steps`; then `export` holds the inference weights.
        exit_code: for the command line: 0, or 130 after Ctrl-C.
        export: folder of the exported weights, told by the main process of a finished run; else None.
    """

    step: int
    finished: bool
    exit_code: int
    export: Path | None


def train(
    recipe: TrainRecipe, task: TrainingTask, run_dir: Path, *, resume: bool, hooks: Sequence[Hook] = ()
) -> TrainOutcome:
    """Train to `max_steps`, or to a signal. On SIGTERM and Ctrl-C the step is finished and saved first.

    Started by torchrun or accelerate launch, this process is one of several that share every step; the main
    one alone holds the lock of the folder, calls hooks, samples and exports.

    Args:
        recipe: what and how long.
        task: built from the same recipe.
        run_dir: holds checkpoints, samples, metrics and the export; one trainer at a time.
        resume: go on from the newest whole checkpoint in `run_dir`, or start if there is none.
        hooks: watchers, called in order.

    Raises:
        TrainingError: another trainer is at work there, the loss is not finite, or another process is gone.
        ConfigError: there are checkpoints but `resume` is not set, or the settings fit neither this machine
            nor the number of processes.
        CheckpointError: the checkpoints belong to another recipe or are all damaged.
        OutputError: the run folder cannot be written, or is not one folder for all processes.
        DataError: a batch cannot be made.
    """
    config = recipe.training
    runtime.set_threads(config.num_threads)
    with ExitStack() as stack:
        world = stack.enter_context(join(config))
        lock = None
        with world.together():
            check_device(recipe)
            if world.is_main:
                lock = stack.enter_context(run_lock(run_dir))
                _check_folder(recipe, run_dir, resume=resume)
        _check_shared(run_dir, world)
        run = TrainingState(recipe, task, run_dir, world)
        if world.is_main:
            log.info("%s", run.describe())
        start = run.restore()
        with world.together():
            if world.is_main:
                storage.write_text(run_dir / "recipe.yaml", dump_recipe(recipe))
        return _loop(run, start, hooks if world.is_main else (), lock)


def _check_folder(recipe: TrainRecipe, run_dir: Path, *, resume: bool) -> None:
    """Refuse checkpoints that are in the way, or of another recipe, before anything is prepared."""
    state = checkpoint.read_state(run_dir / CHECKPOINTS)
    if not resume and checkpoint.find(run_dir / CHECKPOINTS):
        raise ConfigError(f"{run_dir} already holds checkpoints; resume it, or choose another run folder")
    if state is not None:
        check_same_run(state, recipe)


def _check_shared(run_dir: Path, world: World) -> None:
    """Processes on other machines must see the same folder: every one writes its rows there."""
    lock, owner = run_dir / "lock", str(world.gather(os.getpid())[0])
    with world.together():
        deadline = time.monotonic() + _SEEN_WITHIN_SECONDS
        # Network file systems may take their time to show a file that another machine has just written.
        while (seen := _words(lock)) != owner and time.monotonic() < deadline:
            time.sleep(0.2)
        if seen != owner:
            raise OutputError(
                f"process {world.rank} of {world.size} does not see {run_dir} as the first process does; "
                "give all of them one shared folder"
            )


def _words(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _loop(run: TrainingState, start: int, hooks: Sequence[Hook], lock: int | None) -> TrainOutcome:
    config, world, done = run.config, run.world, start
    num_parts = len(run.parts)
    with StopRequest().listening() as stop:
        with world.together():
            for hook in hooks:
                hook.on_start(start)
        try:
            with closing(
                iterate_batches(run.task, start, config.max_steps, config.num_workers, lock, run.parts)
            ) as batches:
                for step in range(start, config.max_steps):
                    with world.together():
                        parts = [next(batches) for _ in range(num_parts)]
                    report = run.step(step, parts)
                    done = report.step
                    with world.together():
                        for hook in hooks:
                            hook.on_step(report)
                    stopping = stop.agree(world)
                    if done % config.checkpoint_every == 0 or done == config.max_steps or stopping:
                        run.save(done)
                    if stopping:
                        break
                    if done % config.sample_every == 0 or done == config.max_steps:
                        run.sample(done, hooks)
        finally:
            for hook in hooks:
                hook.on_end()
    if done < config.max_steps:
        log.warning("stopped at step %d of %d and saved; resume to go on", done, config.max_steps)
        return TrainOutcome(done, finished=False, exit_code=stop.exit_code, export=None)
    export = run.export()
    return TrainOutcome(done, True, stop.exit_code, export if world.is_main else None)


def export_checkpoint(recipe: TrainRecipe, task: TrainingTask, run_dir: Path) -> Path:
    """Write the inference weights of the newest checkpoint, also while a trainer is at work there.

    Raises:
        CheckpointError: there is no whole checkpoint, or it belongs to another recipe.
    """
    run = TrainingState(recipe, task, run_dir)
    if run.restore() == 0:
        raise CheckpointError(f"{run_dir} holds no checkpoint to export; train first")
    return run.export()
