"""Bytes on one GPU during a training step, by what they hold."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import nn

from dreamomni.training.config import TrainingConfig
from dreamomni.training.estimate.activations import Saved
from dreamomni.training.optim import muon_names
from dreamomni.training.task import named_parameters

FP32, BF16 = 4, 2
_EIGHT_BIT = 2 * (1 + FP32 / 256)
"""Bytes of both 8-bit moments of a weight, with their scales: one fp32 number for a block of 256."""
_EIGHT_BIT_FROM = 4096
"""Smaller tensors keep fp32 moments."""


class Memory(NamedTuple):
    """Bytes on one GPU while the backward pass begins, the fullest moment of a step.

    Attributes:
        weights: fp32 weights that are trained.
        frozen: Weights that are not.
        gradients: fp32.
        optimizer: Its state.
        average: fp32 moving average of the weights.
        weight_copies: bf16 copies of the weights, or with FSDP the weights gathered for use.
        activations: What the forward pass keeps, of one micro-batch.
    """

    weights: int = 0
    frozen: int = 0
    gradients: int = 0
    optimizer: int = 0
    average: int = 0
    weight_copies: int = 0
    activations: int = 0

    @property
    def total(self) -> int:
        """All of it. Workspaces, fragmentation and the CUDA context (a few GB) come on top."""
        return sum(self)


def step_memory(
    modules: Mapping[str, nn.Module],
    blocks: Sequence[nn.Module],
    saved: Saved,
    training: TrainingConfig,
    *,
    processes: int,
    bf16: bool,
    frozen: int,
) -> Memory:
    """Add up one GPU.

    Args:
        modules: What is trained, on any device.
        blocks: What is sharded and checkpointed block by block.
        saved: Activations of one micro-batch.
        training: Optimizer, parallel, accumulation, checkpointing.
        processes: One GPU each.
        bf16: Mixed precision.
        frozen: Bytes of frozen weights on the GPU.
    """
    parameters = named_parameters(modules)
    total = sum(parameter.numel() for parameter in parameters.values())
    fsdp = training.parallel == "fsdp" and processes > 1
    share = processes if fsdp else 1
    copies = saved.weight_copies
    gradients = FP32 * total // share
    if fsdp:
        sizes = [_trained(block) for block in blocks] or [0]
        outside = total - sum(sizes)
        # The outermost unit stays whole in fp32, with the copies autocast makes of it; of the blocks one is
        # in use and the next is on its way.
        wide = BF16 if bf16 else FP32
        copies = outside * (FP32 + (BF16 if bf16 else 0)) + 2 * max(sizes) * wide
        if training.gradient_accumulation_steps > 1:
            gradients += FP32 * total  # until the last part, gradients stay whole on every GPU
    return Memory(
        weights=FP32 * total // share,
        frozen=frozen,
        gradients=gradients,
        optimizer=optimizer_bytes(modules, training) // share,
        average=FP32 * total // share,
        weight_copies=copies,
        activations=saved.checkpointed if training.activation_checkpointing else saved.activations,
    )


def _trained(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def optimizer_bytes(modules: Mapping[str, nn.Module], training: TrainingConfig) -> int:
    """State of the optimizer: two fp32 moments of each weight, one for Muon's matrices, or 8-bit ones."""
    parameters = named_parameters(modules)
    hidden = set(muon_names(modules, training.muon_exclude)) if training.optimizer == "muon" else set()
    total = 0.0
    for name, parameter in parameters.items():
        each = float(2 * FP32)
        if name in hidden:
            each = FP32
        elif training.optimizer == "adamw8bit" and parameter.numel() >= _EIGHT_BIT_FROM:
            each = _EIGHT_BIT
        total += each * parameter.numel()
    return round(total)
