"""What a pipeline has to do with its memory: a mixin, and the way from a model's files to a plan for it."""

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import cpu_offload
from safetensors import safe_open
from torch import Tensor, nn

from dreamomni.inference.memory.facts import ModelFacts
from dreamomni.inference.memory.measure import device_room
from dreamomni.inference.memory.plan import MemoryPlan, Quantisation, Workload, choose_plan
from dreamomni.inference.memory.quantise import check_quantisation, quantise
from dreamomni.inference.memory.residence import Reload, Residence
from dreamomni.models.modulation import Conditions

logger = logging.getLogger(__name__)


class ManagedMemory:
    """Stages of a pipeline that run wherever its memory plan has their networks.

    A pipeline enters `_using(part)` around each stage, calls `_prepare_modulation` before its steps, takes
    its device from `execution_device`, and ends with `maybe_free_model_hooks`. Without a plan all of these
    do what diffusers' pipelines do.
    """

    memory: Residence | None = None
    rewriter: Any = None

    @property
    def execution_device(self) -> torch.device:
        """Where networks compute, wherever their weights rest."""
        if self.memory is not None and self.memory.mode != "full":
            return self.memory.device
        device: torch.device = self._execution_device  # type: ignore[attr-defined]
        return device

    def _using(self, part: str) -> AbstractContextManager[Any]:
        """Entered around the stage that needs a part: "vlm", "text_encoder", ..., "transformer", "vae"."""
        if self.memory is None:
            return nullcontext()
        return self._using_rewriter() if part == "vlm" else self.memory.using(part)

    @contextmanager
    def _using_rewriter(self) -> Any:
        assert self.memory is not None
        with self.memory.using("vlm"):
            yield
            if self.rewriter is not None and self.rewriter.loaded:
                network = self.rewriter.load().model
                self.memory.saw_guest(network)
                if self.memory.mode != "full":
                    self.rewriter.free()

    def _prepare_modulation(
        self, timesteps: Any, conditions: Conditions | None = None, batch_size: int = 1
    ) -> None:
        """Work out all steps' modulation, where the plan keeps those layers away; inside `_using`."""
        if self.memory is not None:
            self.memory.prepare_modulation(timesteps, conditions, batch_size)

    def maybe_free_model_hooks(self) -> None:
        """End of a call: parts go home."""
        super().maybe_free_model_hooks()  # type: ignore[misc]
        if self.memory is not None:
            self.memory.finish()


def plan_for(
    facts: ModelFacts,
    mode: str,
    *,
    device: torch.device,
    dtype: torch.dtype,
    device_bytes: int | None = None,
    workload: Workload | None = None,
    quantisation: Quantisation = "int8",
    level: int = logging.INFO,
) -> MemoryPlan:
    """Choose a plan for this machine and tell it, before anything is loaded.

    Args:
        facts: Of the model.
        mode: "auto" or a mode.
        device: Where it will run.
        dtype: Of its weights.
        device_bytes: What the device can give; None asks it.
        workload: The largest request that is expected.
        quantisation: For mode "quantized".
        level: At which the plan is logged.

    Raises:
        ModelError: The mode needs more than there is, or a library that is missing.
    """
    if mode == "quantized":
        check_quantisation(quantisation)
    room = device_room(device) if device_bytes is None else device_bytes
    plan = choose_plan(
        facts,
        mode,
        dtype=dtype,
        device=str(device),
        device_bytes=room,
        workload=workload,
        quantisation=quantisation,
    )
    for line in plan.lines():
        logger.log(level, line)
    return plan


def attach(
    pipe: Any, plan: MemoryPlan, device: torch.device, reload: Mapping[str, Reload] | None = None
) -> None:
    """Put a plan to work on a pipeline that was just loaded on the CPU, adapters and rewriter included.

    Args:
        pipe: A `ManagedMemory` pipeline.
        plan: From `plan_for`.
        device: Where it runs.
        reload: See `Residence`.
    """
    parts = {name: part for name, part in pipe.components.items() if isinstance(part, nn.Module)}
    pipe.memory = Residence(parts, device, plan, reload)
    if pipe.rewriter is not None:
        pipe.rewriter.device = device
        pipe.rewriter.settle = _settler(plan)
        pipe.rewriter.settled_as = plan.quantisation or ""


def _settler(plan: MemoryPlan) -> Callable[[nn.Module, torch.device], Any] | None:
    """How a rewriter that was just loaded gets onto the device."""
    if plan.mode == "offload":
        return lambda network, device: cpu_offload(network, execution_device=device)
    if plan.quantisation is not None:
        kind = plan.quantisation

        def settle(network: nn.Module, device: torch.device) -> None:
            quantise(network, kind)
            network.to(device)

        return settle
    return None


def reload_by_name(files: list[Path], dtype: torch.dtype) -> Reload:
    """Single tensors out of safetensors files with the names of the parameters, as diffusers writes them."""

    def reload(wanted: set[str]) -> dict[str, Tensor]:
        found = {}
        for path in files:
            with safe_open(path, framework="pt") as file:
                for key in wanted & set(file.keys()):
                    found[key] = file.get_tensor(key).to(dtype)
        return found

    return reload


def reload_whole(load: Callable[[], nn.Module]) -> Reload:
    """All tensors of a network built anew: transformers' names in files are not those of parameters."""

    def reload(wanted: set[str]) -> dict[str, Tensor]:
        network = load()
        return dict(network.named_parameters(remove_duplicate=False))

    return reload
