"""Learning rate and optimizers whose state is plain named tensors. No files."""

import fnmatch
import importlib
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dreamomni.errors import CheckpointError, ConfigError
from dreamomni.training.config import CosineDecay, TrainingConfig, WsdDecay
from dreamomni.training.muon import Muon
from dreamomni.training.task import named_parameters
from dreamomni.training.tensor_files import copy_rows, spec_of


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Learning rate of `step` (from 0): linear warm-up, then the decay down to the last step."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / (config.warmup_steps + 1)
    decay = config.decay
    if isinstance(decay, CosineDecay):
        start = config.warmup_steps
    elif isinstance(decay, WsdDecay):
        start = max(config.warmup_steps, int(config.max_steps * (1 - decay.decay_fraction)))
    else:
        return config.learning_rate
    progress = min(1.0, max(0.0, (step + 1 - start) / (config.max_steps - start)))
    shape = 0.5 * (1 + math.cos(math.pi * progress)) if isinstance(decay, CosineDecay) else 1 - progress
    return config.learning_rate * (config.final_lr_fraction + (1 - config.final_lr_fraction) * shape)


def muon_names(modules: Mapping[str, nn.Module], exclude: tuple[str, ...] = ()) -> list[str]:
    """Names of hidden matrices: 2-D weights of linear layers inside a numbered stack of blocks.

    Embeddings, convolutions, norms, biases, first and last layers lie outside such stacks or are no matrices.
    """
    names = []
    for prefix, module in modules.items():
        for path, layer in module.named_modules():
            name = f"{prefix}.{path}.weight"
            if (
                isinstance(layer, nn.Linear)
                and layer.weight.requires_grad
                and any(part.isdigit() for part in path.split("."))
                and not any(fnmatch.fnmatchcase(name, pattern) for pattern in exclude)
            ):
                names.append(name)
    return names


_QUANTISED = ("absmax1", "absmax2", "qmap1", "qmap2")
"""Slots of 8-bit moments that are not shaped like their parameter: scales of blocks, and the code book."""
_FUSED = ("cpu", "cuda", "mps", "xpu")
"""Devices with a fused AdamW."""


class Optimizers:
    """AdamW, and Muon for hidden matrices when asked for, behind one `step`.

    Matrices decay, vectors (biases, norms) do not. Muon's update has AdamW's RMS, so both share one rate.
    """

    def __init__(self, modules: Mapping[str, nn.Module], config: TrainingConfig) -> None:
        self.parameters = named_parameters(modules)
        if not self.parameters:
            raise ConfigError("the task has no trainable parameter")
        hidden = set(muon_names(modules, config.muon_exclude)) if config.optimizer == "muon" else set()
        hidden &= set(self.parameters)
        if config.optimizer == "muon" and not hidden:
            raise ConfigError("optimizer muon found no hidden matrix in this model; use adamw")
        rest = {name: p for name, p in self.parameters.items() if name not in hidden}
        groups = [
            {"params": [p for p in rest.values() if p.ndim >= 2], "weight_decay": config.weight_decay},
            {"params": [p for p in rest.values() if p.ndim < 2], "weight_decay": 0.0},
        ]
        self._optimizers: list[torch.optim.Optimizer] = []
        if rest:
            self._optimizers.append(_adamw([group for group in groups if group["params"]], config))
        if hidden:
            self._optimizers.append(
                Muon(
                    [p for name, p in self.parameters.items() if name in hidden],
                    lr=config.learning_rate,
                    weight_decay=config.weight_decay,
                )
            )

    def set_learning_rate(self, value: float) -> None:
        """Set the rate of every group."""
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = value

    def step(self) -> None:
        """One update, then clear the gradients."""
        for optimizer in self._optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state_tensors(self) -> dict[str, Tensor]:
        """State by `parameter/slot`, in parameter order."""
        tensors: dict[str, Tensor] = {}
        for name, parameter in self.parameters.items():
            for optimizer in self._optimizers:
                if parameter in optimizer.state:
                    for slot, value in optimizer.state[parameter].items():
                        # The 8-bit optimizer counts its steps in Python.
                        tensors[f"{name}/{slot}"] = torch.tensor(value) if isinstance(value, int) else value
        return tensors

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over saved state.

        Raises:
            CheckpointError: a saved name or shape does not fit this model.
        """
        owner = {
            id(p): opt for opt in self._optimizers for group in opt.param_groups for p in group["params"]
        }
        for key in tensors:
            name, _, slot = key.rpartition("/")
            if name not in self.parameters:
                raise CheckpointError(f"optimizer state {key!r} belongs to no parameter of this model")
            parameter = self.parameters[name]
            state = owner[id(parameter)].state[parameter]
            shape, dtype = spec_of(tensors, key)
            if not shape:
                number = tensors[key].clone()
                state[slot] = int(number) if dtype == torch.int64 else number.to(parameter.device)
            elif slot in _QUANTISED:
                state[slot] = tensors[key].to(parameter.device, copy=True)
            elif shape == parameter.shape:
                # In the memory layout of its parameter: fused kernels walk both by storage order.
                state[slot] = torch.empty_like(parameter, dtype=dtype).requires_grad_(False)
                copy_rows(state[slot], tensors, key)
            else:
                raise CheckpointError(
                    f"optimizer state {key!r} has shape {tuple(shape)}, "
                    f"but the parameter {tuple(parameter.shape)}"
                )


def check_optimizer(config: TrainingConfig, device: torch.device) -> None:
    """Refuse an optimizer that cannot run here, before anything is spent.

    Raises:
        ConfigError: it needs a GPU, or a library that is not installed.
    """
    if config.optimizer != "adamw8bit":
        return
    if device.type != "cuda":
        raise ConfigError(f"optimizer adamw8bit needs a CUDA device, and this is {device.type}; say adamw")
    _eight_bit_class()


def _adamw(groups: list[dict[str, Any]], config: TrainingConfig) -> torch.optim.Optimizer:
    device = groups[0]["params"][0].device
    if config.optimizer == "adamw8bit":
        check_optimizer(config, device)
        eight_bit: torch.optim.Optimizer = _eight_bit_class()(
            groups, lr=config.learning_rate, betas=config.betas
        )
        return eight_bit
    return torch.optim.AdamW(
        groups, lr=config.learning_rate, betas=config.betas, fused=device.type in _FUSED or None
    )


def _eight_bit_class() -> Any:
    try:
        return importlib.import_module("bitsandbytes.optim").AdamW8bit
    except ImportError as error:
        raise ConfigError(
            f"optimizer adamw8bit needs bitsandbytes ({error}); pip install bitsandbytes, or say adamw"
        ) from None
