"""What the trainer asks of a task: modules, batches, a loss. No loop, no optimizer, no files of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What one batch gave.

    Args:
        loss: scalar with a gradient.
        metrics: numbers or detached scalars to log; they are read only at the logging cadence.
        keys: keys of the samples of the batch, named when something goes wrong.
    """

    loss: Tensor
    metrics: Mapping[str, float | Tensor] = field(default_factory=dict)
    keys: Sequence[str] = ()


class TrainingTask(Protocol):
    """A thing that can be trained. The trainer calls `prepare` first, then `modules`, then steps."""

    def prepare(self, run_dir: Path) -> None:
        """Build caches and place the modules on their device; may take long, and can be interrupted."""
        ...

    def modules(self) -> dict[str, nn.Module]:
        """Trained modules in a fixed order: what is checkpointed and averaged, frozen parameters aside."""
        ...

    def batch(self, step: int) -> Any:
        """Batch of one step: a pure function of (recipe, seed, step), safe in a forked worker process."""
        ...

    def loss(self, batch: Any, generator: torch.Generator) -> StepOutput:
        """Loss of a batch on the device, under autocast; all randomness comes from `generator` (CPU)."""
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
