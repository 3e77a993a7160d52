"""What the trainer asks of a task: modules, batches, a loss. No loop, no optimizer, no files of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor, nn

from dreamomni.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Part:
    """One of `count` equal slices of the global batch of a step.

    `count` is processes x accumulation steps. What is random about a step is drawn for the whole batch and
    sliced, so that the loss of a sample does not depend on `count`.

    Args:
        number: which slice, from 0.
        count: how many there are; (0, 1) is the whole batch.
    """

    number: int = 0
    count: int = 1

    def rows(self, batch_size: int) -> range:
        """Positions in the global batch of `batch_size` samples that belong to this part.

        Raises:
            ConfigError: The batch does not divide by `count`.
        """
        if batch_size % self.count:
            raise ConfigError(
                f"a batch of {batch_size} samples does not divide into {self.count} equal parts; "
                f"make batch_size a multiple of {self.count}"
            )
        size = batch_size // self.count
        return range(self.number * size, (self.number + 1) * size)

    def randn(self, shape: Sequence[int], generator: torch.Generator) -> Tensor:
        """Normal noise for this part, as it lies in the noise of the whole batch.

        Args:
            shape: Shape of the part, (B / count, ...).
            generator: In the same state for every part; it moves past the whole batch.

        Returns:
            Float32 on the device of the generator.
        """
        whole = torch.randn((shape[0] * self.count, *shape[1:]), generator=generator, device=generator.device)
        return whole[self.number * shape[0] : (self.number + 1) * shape[0]]


WHOLE = Part()
"""The part that is everything: one process, no accumulation."""


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What one batch, or one part of it, gave.

    Args:
        loss: scalar with a gradient: the mean over the part.
        metrics: numbers or detached scalars to log; they are read only at the logging cadence.
        keys: keys of the samples of the batch, named when something goes wrong.
        weight: how much this mean counts against those of the other parts of the step: what it was taken
            over (samples, answer tokens), up to a factor that is the same for all.
    """

    loss: Tensor
    metrics: Mapping[str, float | Tensor] = field(default_factory=dict)
    keys: Sequence[str] = ()
    weight: float = 1.0


class TrainingTask(Protocol):
    """A thing that can be trained. The trainer calls `prepare` first, then `modules`, then steps."""

    def prepare(self, run_dir: Path) -> None:
        """Build caches and place the modules on their device; may take long, and can be interrupted.

        All processes of a run call it at once: what only one may write, or what they can share, goes by
        `processes.current()`.
        """
        ...

    def modules(self) -> dict[str, nn.Module]:
        """Trained modules in a fixed order: what is checkpointed and averaged, frozen parameters aside."""
        ...

    def blocks(self) -> Sequence[nn.Module]:
        """Repeated modules inside `modules`, called as modules, in the order in which they compute.

        What is checkpointed, compiled and sharded one by one; none is an answer.
        """
        ...

    def batch(self, step: int, part: Part = WHOLE) -> Any:
        """A part of the batch of one step: a pure function of (recipe, seed, step, part).

        Safe in a forked worker process. The parts of a step make up the same batch at any count.
        """
        ...

    def loss(self, batch: Any, generator: torch.Generator) -> StepOutput:
        """Loss of a batch on the device, under autocast; all randomness comes from `generator` (CPU).

        Every part of a step gets a generator of the same seed, draws for the whole batch, and slices.
        """
        ...

    def sample_grid(self, step: int) -> Image.Image | None:
        """Picture of what the model can do, called under averaged weights, `eval` and no gradient."""
        ...

    def export(self, folder: Path) -> None:
        """Write inference weights, called under averaged weights, `eval` and no gradient."""
        ...


def named_tensors(modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Trainable parameters, then saved buffers, as `module.path`; tied weights appear once.

    Frozen parameters are not here: the task builds them again from their own source.
    """
    tensors: dict[str, Tensor] = dict(named_parameters(modules))
    for prefix, module in modules.items():
        saved = module.state_dict(keep_vars=True)
        for name, buffer in module.named_buffers():
            if name in saved:
                tensors[f"{prefix}.{name}"] = buffer
    return tensors


def named_parameters(modules: Mapping[str, nn.Module]) -> dict[str, nn.Parameter]:
    """Trainable parameters as `module.path`, in registration order."""
    return {
        f"{prefix}.{name}": parameter
        for prefix, module in modules.items()
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }


def move(batch: Any, device: torch.device) -> Any:
    """The same nest of dicts, lists and (named) tuples with every tensor on `device`."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {key: move(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(move(value, device) for value in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(move(value, device) for value in batch)
    return batch
