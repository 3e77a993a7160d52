"""The training loop, one for every task. It knows steps, not pixels; pixels come in as a `TrainingTask`.

Step n is a function of the state after step n - 1 and of n alone: its batch is `task.batch(n)`, its random
numbers come from a generator seeded with (seed, "step", n). So a killed and resumed run ends bit-equal to an
unbroken one.
"""

import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from dreamomni import runtime, storage
from dreamomni.config import dump_recipe
from dreamomni.errors import CheckpointError, ConfigError, OutputError
from dreamomni.seeding import derive_seed
from dreamomni.training import checkpoint
from dreamomni.training.config import TrainRecipe, check_same_run, identity
from dreamomni.training.ema import Ema
from dreamomni.training.hooks import Hook, StepReport
from dreamomni.training.loader import iterate_batches
from dreamomni.training.optim import Optimizers, learning_rate
from dreamomni.training.session import LossGuard, StopRequest, run_lock
from dreamomni.training.task import TrainingTask, move, named_parameters, named_tensors

log = logging.getLogger(__name__)

CHECKPOINTS = "checkpoints"
EXPORT = "export"


@dataclass(frozen=True, slots=True)
class TrainOutcome:
    """How a run ended.

    Args:
        step: optimizer steps done in all.
        finished: whether that is `max_steps`; then `export` holds the inference weights.
        exit_code: for the command line: 0, or 130 after Ctrl-C.
        export: folder of the exported weights, or None.
    """

    step: int
    finished: bool
    exit_code: int
    export: Path | None


def train(
    recipe: TrainRecipe, task: TrainingTask, run_dir: Path, *, resume: bool, hooks: Sequence[Hook] = ()
) -> TrainOutcome:
    """Train to `max_steps`, or to a signal. On SIGTERM and Ctrl-C the step is finished and saved first.

    Args:
        recipe: what and how long.
        task: built from the same recipe.
        run_dir: holds checkpoints, samples, metrics and the export; one trainer at a time.
        resume: go on from the newest whole checkpoint in `run_dir`, or start if there is none.
        hooks: watchers, called in order.

    Raises:
        TrainingError: another trainer is at work there, or the loss is not finite.
        ConfigError: there are checkpoints but `resume` is not set.
        CheckpointError: the checkpoints belong to another recipe or are all damaged.
        OutputError: the run folder cannot be written.
        DataError: a batch cannot be made.
    """
    config = recipe.training
    runtime.set_threads(config.num_threads)
    with run_lock(run_dir) as lock:
        if not resume and checkpoint.find(run_dir / CHECKPOINTS):
            raise ConfigError(f"{run_dir} already holds checkpoints; resume it, or choose another run folder")
        run = _Run(recipe, task, run_dir)
        start = run.restore()
        storage.write_text(run_dir / "recipe.yaml", dump_recipe(recipe))
        return _loop(run, start, hooks, lock)


def _loop(run: "_Run", start: int, hooks: Sequence[Hook], lock: int) -> TrainOutcome:
    config, done = run.config, start
    with StopRequest().listening() as stop:
        for hook in hooks:
            hook.on_start(start)
        try:
            with closing(
                iterate_batches(run.task, start, config.max_steps, config.num_workers, lock)
            ) as batches:
                for step, batch in enumerate(batches, start):
                    report = run.step(step, batch)
                    done = report.step
                    for hook in hooks:
                        hook.on_step(report)
                    if done % config.checkpoint_every == 0 or done == config.max_steps or stop:
                        run.save(done)
                    if stop:
                        break
                    if done % config.sample_every == 0 or done == config.max_steps:
                        run.sample(done, hooks)
        finally:
            for hook in hooks:
                hook.on_end()
    if done < config.max_steps:
        log.warning("stopped at step %d of %d and saved; resume to go on", done, config.max_steps)
        return TrainOutcome(done, finished=False, exit_code=stop.exit_code, export=None)
    return TrainOutcome(done, finished=True, exit_code=stop.exit_code, export=run.export())


def export_checkpoint(recipe: TrainRecipe, task: TrainingTask, run_dir: Path) -> Path:
    """Write the inference weights of the newest checkpoint, also while a trainer is at work there.

    Raises:
        CheckpointError: there is no whole checkpoint, or it belongs to another recipe.
    """
    run = _Run(recipe, task, run_dir)
    if run.restore() == 0:
        raise CheckpointError(f"{run_dir} holds no checkpoint to export; train first")
    return run.export()


class _Run:
    """Everything that changes from step to step, and how it is saved."""

    def __init__(self, recipe: TrainRecipe, task: TrainingTask, run_dir: Path) -> None:
        self.recipe, self.config, self.task, self.run_dir = recipe, recipe.training, task, run_dir
        _seed_everything(derive_seed(self.config.seed, "init"))
        task.prepare(run_dir)
        self.modules: dict[str, nn.Module] = task.modules()
        self.parameters = named_parameters(self.modules)
        self.optimizers = Optimizers(self.modules, self.config)
        self.ema = Ema(self.parameters, self.config.ema_decay)
        self.guard = LossGuard()
        self.device = next(iter(self.parameters.values())).device
        native = runtime.native_bf16(self.device)
        self.bf16 = native if self.config.precision == "auto" else self.config.precision == "bf16"
        if self.bf16 and not native:
            log.warning("precision bf16 is emulated on this device and very slow; use auto or fp32")
        for module in self.modules.values():
            module.train()

    def step(self, step: int, batch: Any) -> StepReport:
        """One optimizer step; the guard comes before anything changes."""
        seed = derive_seed(self.config.seed, "step", step)
        _seed_everything(seed)  # for dropout inside modules; tasks draw from the generator
        rate = learning_rate(self.config, step)
        self.optimizers.set_learning_rate(rate)
        with self._autocast():
            output = self.task.loss(move(batch, self.device), runtime.cpu_generator(seed))
        loss = output.loss.item()
        self.guard.check_loss(step, loss, output.keys)
        output.loss.backward()
        gradients = [p.grad for p in self.parameters.values() if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        self.guard.check_grad_norm(step, norm.item(), output.keys)
        nn.utils.clip_grads_with_norm_(self.parameters.values(), self.config.max_grad_norm, norm)
        self.optimizers.step()
        self.ema.update(step)
        return StepReport(
            step=step + 1,
            max_steps=self.config.max_steps,
            batch_size=self.config.batch_size,
            loss=loss,
            learning_rate=rate,
            grad_norm=norm.item(),
            metrics=output.metrics,
        )

    def restore(self) -> int:
        """Take over the newest whole checkpoint; returns the steps done, 0 without one."""
        saved = checkpoint.load_latest(self.run_dir / CHECKPOINTS)
        if saved is None:
            return 0
        check_same_run(saved.state, self.recipe)
        checkpoint.copy_into(named_tensors(self.modules), saved.modules, "weights")
        checkpoint.copy_into(self.ema.averages, saved.ema, "averaged weights")
        self.optimizers.load_state_tensors(saved.optimizer)
        log.info("resuming after step %d", saved.step)
        return saved.step

    def save(self, step: int) -> None:
        """Write the checkpoint of `step`."""
        state = {
            "identity": identity(self.recipe),
            "training": self.config.model_dump(mode="json"),
            "versions": runtime.versions(),
        }
        tensors = (named_tensors(self.modules), self.ema.averages, self.optimizers.state_tensors())
        checkpoint.save(
            self.run_dir / CHECKPOINTS,
            checkpoint.Checkpoint(step, *tensors, state),
            keep=self.config.keep_checkpoints,
        )

    def sample(self, step: int, hooks: Sequence[Hook]) -> None:
        """Show what the averaged weights can do."""
        with self._inference(), self._autocast():
            image = self.task.sample_grid(step)
            for hook in hooks:
                hook.on_sample(step, image)

    def export(self) -> Path:
        """Write the averaged weights for inference; the folder appears whole."""
        folder, part = self.run_dir / EXPORT, self.run_dir / f".{EXPORT}.{os.getpid()}.part"
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir(parents=True)
            with self._inference():
                self.task.export(part)
            if folder.exists():
                shutil.rmtree(folder)
            part.rename(folder)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(part, ignore_errors=True)
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise OutputError(
                f"cannot write {folder}: {reason.lower()}; the checkpoints are intact: resume to export again"
            ) from error
        return folder

    @contextmanager
    def _inference(self) -> Iterator[None]:
        for module in self.modules.values():
            module.eval()
        with torch.no_grad(), self.ema.applied():
            yield
        for module in self.modules.values():
            module.train()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)


def _seed_everything(seed: int) -> None:
    torch.manual_seed(runtime.cpu_generator(seed).initial_seed())
