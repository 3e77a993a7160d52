"""Everything of a run that changes from step to step: one step, and how it is saved, shown and exported."""

import logging
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from dreamomni import runtime
from dreamomni.errors import ConfigError, OutputError, TrainingError
from dreamomni.seeding import derive_seed
from dreamomni.training import checkpoint
from dreamomni.training.config import TrainRecipe, check_same_run, identity, warn_of_changes
from dreamomni.training.ema import Ema
from dreamomni.training.hooks import Hook, StepReport
from dreamomni.training.optim import Optimizers, check_optimizer, learning_rate
from dreamomni.training.parallel import Shared, check_compile, local, prepare_blocks
from dreamomni.training.processes import ALONE, World
from dreamomni.training.session import LossGuard
from dreamomni.training.task import Part, StepOutput, TrainingTask, move, named_parameters, named_tensors
from dreamomni.training.tensor_files import reason

log = logging.getLogger(__name__)

CHECKPOINTS = "checkpoints"
EXPORT = "export"


class TrainingState:
    """Modules, optimizer state and averages of a run, and what can be done with them.

    With several processes all of them must make one and call the same methods in the same order.

    Args:
        recipe: what is trained.
        task: built from the same recipe; prepared here.
        run_dir: folder of the run.
        world: the processes.
    """

    def __init__(self, recipe: TrainRecipe, task: TrainingTask, run_dir: Path, world: World = ALONE) -> None:
        self.recipe, self.config, self.task, self.run_dir = recipe, recipe.training, task, run_dir
        self.world = world
        config = self.config
        with world.together():
            _seed_everything(derive_seed(config.seed, "init"))
            task.prepare(run_dir)
        self.modules: dict[str, nn.Module] = task.modules()
        self.device = _device_of(self.modules)
        self.bf16 = computes_in_bf16(config.precision, self.device)
        prepare_blocks(
            task.blocks() if config.activation_checkpointing or config.compile else (),
            checkpointing=config.activation_checkpointing,
            compiled=config.compile,
        )
        self.shared = Shared(task, self.modules, world, config.parallel, bf16=self.bf16)
        self.parameters = named_parameters(self.modules)
        self.optimizers = Optimizers(self.modules, config)
        self.ema = Ema(self.parameters, config.ema_decay)
        self.guard = LossGuard()
        for module in self.modules.values():
            module.train()

    @property
    def parts(self) -> list[Part]:
        """What this process takes of every step, in order."""
        each = self.config.gradient_accumulation_steps
        return [Part(self.world.rank * each + nth, self.world.size * each) for nth in range(each)]

    def describe(self) -> str:
        """One line: where it runs, how many processes, parameters, precision, and the batch."""
        config, size = self.config, self.world.size
        each = config.gradient_accumulation_steps
        num_parameters = sum(parameter.numel() for parameter in self.parameters.values())
        device = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else str(self.device)
        shared = f" ({self.shared.kind})" if self.shared.kind != "none" else ""
        numbers = f"{size} x {each} accumulation x {config.batch_size // size // each} samples"
        return (
            f"training on {device}, {size} process{'es' if size > 1 else ''}{shared}: "
            f"{num_parameters:,} parameters in {'bf16 over fp32 weights' if self.bf16 else 'fp32'}; "
            f"batch {config.batch_size} = {numbers}"
        )

    def step(self, step: int, batches: Sequence[Any]) -> StepReport:
        """One optimizer step on the parts of its batch; the guard comes before anything changes.

        Raises:
            TrainingError: the loss or the gradient of some process is not finite.
        """
        config, world = self.config, self.world
        rate = learning_rate(config, step)
        self.optimizers.set_learning_rate(rate)
        outputs, losses = [], []
        for part, batch in zip(self.parts, batches, strict=True):
            output, loss = self._part(step, part, batch)
            outputs.append(output)
            losses.append(loss)
        loss = self._whole_loss(step, outputs, losses)
        keys = [key for output in outputs for key in output.keys]
        norm = self._clip(step, keys)
        self.optimizers.step()
        self.ema.update(step)
        due = (step + 1) % config.log_every == 0 or step + 1 == config.max_steps
        return StepReport(
            step=step + 1,
            max_steps=config.max_steps,
            batch_size=config.batch_size,
            loss=loss,
            learning_rate=rate,
            grad_norm=norm,
            metrics=_mean_metrics(outputs, world if due else ALONE),
        )

    def _part(self, step: int, part: Part, batch: Any) -> tuple[StepOutput, float]:
        """Loss and gradients of one part."""
        seed = derive_seed(self.config.seed, "step", step)
        # For dropout inside modules. Tasks draw from the generator, for the whole batch.
        _seed_everything(seed if part.number == 0 else derive_seed(seed, "part", part.number))
        each = self.config.gradient_accumulation_steps
        with self.shared.part(last=part.number % each == each - 1):
            with self._autocast():
                output = self.shared.loss(move(batch, self.device), runtime.cpu_generator(seed))
            loss = output.loss.item()
            if self.world.size == 1:
                self.guard.check_loss(step, loss, output.keys)
            whole = part.count == 1
            self.shared.backward(output.loss if whole else output.loss * (output.weight / each))
        return output, loss

    def _whole_loss(self, step: int, outputs: Sequence[StepOutput], losses: Sequence[float]) -> float:
        """The loss of the step, over all parts of all processes; gradients are scaled to be its own."""
        world, count = self.world, self.world.size * len(outputs)
        if count == 1:
            return losses[0]
        weights = [output.weight for output in outputs]
        total, weight = world.sums(
            [sum(loss * own for loss, own in zip(losses, weights, strict=True)), sum(weights)]
        )
        if not math.isfinite(total):
            bad = [
                key
                for output, loss in zip(outputs, losses, strict=True)
                if not math.isfinite(loss)
                for key in output.keys
            ]
            self.guard.check_loss(step, total, [key for keys in world.gather(bad) for key in keys])
        if weight == 0:
            raise TrainingError(f"nothing in the batch of step {step + 1} counts: every part has weight 0")
        if weight != count:  # backward passes gave the sum of weight x gradient, over the count
            torch._foreach_mul_(self._gradients(), count / weight)
        return total / weight

    def _gradients(self) -> list[Tensor]:
        return [local(p.grad) for p in self.parameters.values() if p.grad is not None]

    def _clip(self, step: int, keys: Sequence[str]) -> float:
        """Clip gradients to `max_grad_norm`; returns the norm of all of them before."""
        gradients = self._gradients()
        norm = nn.utils.get_total_norm(gradients)
        if self.shared.kind == "fsdp":
            norm = torch.tensor(math.sqrt(self.world.sums([norm.item() ** 2])[0]))
        value = norm.item()
        if not math.isfinite(value):
            named = [key for some in self.world.gather(list(keys)) for key in some]
            self.guard.check_grad_norm(step, value, named)
        coefficient = torch.clamp(self.config.max_grad_norm / (norm + 1e-6), max=1.0)
        torch._foreach_mul_(gradients, coefficient.to(self.device))
        return value

    def restore(self) -> int:
        """Take over the newest whole checkpoint; returns the steps done, 0 without one."""
        saved = checkpoint.load_latest(self.run_dir / CHECKPOINTS, self.world)
        if saved is None:
            return 0
        with self.world.together():
            check_same_run(saved.state, self.recipe)
            warn_of_changes(saved.state, self.recipe)
            then = saved.state.get("processes", 1)
            if then != self.world.size:
                log.warning(
                    "the checkpoint is from %d processes and %d go on: losses stay the same within rounding, "
                    "but not to the bit",
                    then,
                    self.world.size,
                )
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
            "processes": self.world.size,
        }
        tensors = (named_tensors(self.modules), self.ema.averages, self.optimizers.state_tensors())
        checkpoint.save(
            self.run_dir / CHECKPOINTS,
            checkpoint.Checkpoint(step, *tensors, state),
            keep=self.config.keep_checkpoints,
            world=self.world,
        )

    def sample(self, step: int, hooks: Sequence[Hook]) -> None:
        """Show what the averaged weights can do."""
        with self._inference(), self.world.together():
            if self.world.is_main:
                with self._autocast():
                    image = self.task.sample_grid(step)
                    for hook in hooks:
                        hook.on_sample(step, image)

    def export(self) -> Path:
        """Write the averaged weights for inference; the folder appears whole."""
        folder = self.run_dir / EXPORT
        with self._inference(), self.world.together():
            if self.world.is_main:
                self._export(folder)
        return folder

    def _export(self, folder: Path) -> None:
        part = folder.with_name(f".{EXPORT}.{os.getpid()}.part")
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir(parents=True)
            self.task.export(part)
            if folder.exists():
                shutil.rmtree(folder)
            part.rename(folder)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(part, ignore_errors=True)
            raise OutputError(
                f"cannot write {folder}: {reason(error)}; the checkpoints are intact: resume to export again"
            ) from error

    @contextmanager
    def _inference(self) -> Iterator[None]:
        """The main process has whole modules with the averaged weights inside the block, in `eval`."""
        for module in self.modules.values():
            module.eval()
        gathered = self.shared.kind == "fsdp"
        averaged = (
            self.shared.gathered(self.ema.averages, self.parameters) if gathered else self.ema.applied()
        )
        with torch.no_grad(), averaged:
            yield
        for module in self.modules.values():
            module.train()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)


def computes_in_bf16(precision: str, device: torch.device) -> bool:
    """Whether a run of that precision computes in bfloat16 on a device."""
    return runtime.native_bf16(device) if precision == "auto" else precision == "bf16"


def check_device(recipe: TrainRecipe) -> None:
    """Look before anything is spent: whether this machine can do what the settings ask.

    Raises:
        ConfigError: it cannot; the message says what to change.
    """
    device = runtime.pick_device(recipe.training.device)
    if recipe.training.compile:
        check_compile(device)
    check_optimizer(recipe.training, device)
    if recipe.training.precision == "bf16" and not runtime.native_bf16(device):
        log.warning("precision bf16 is emulated on this device and very slow; use auto or fp32")


def _device_of(modules: dict[str, nn.Module]) -> torch.device:
    trained = next(iter(named_parameters(modules).values()), None)
    if trained is None:
        raise ConfigError("the task has no trainable parameter")
    return trained.device


def _mean_metrics(outputs: Sequence[StepOutput], world: World) -> dict[str, float | Tensor]:
    """Means over the parts that have them; of several processes, plain numbers."""
    if len(outputs) == 1 and world.size == 1:
        return dict(outputs[0].metrics)
    found: dict[str, list[float | Tensor]] = {}
    for output in outputs:
        for name, value in output.metrics.items():
            found.setdefault(name, []).append(value)
    means = {name: sum(values) / len(values) for name, values in found.items()}
    if world.size == 1:
        return means
    said = world.gather({name: float(value) for name, value in means.items()})
    names = dict.fromkeys(name for some in said for name in some)
    return {
        name: sum(some[name] for some in said if name in some) / sum(name in some for some in said)
        for name in names
    }


def _seed_everything(seed: int) -> None:
    torch.manual_seed(runtime.cpu_generator(seed).initial_seed())
