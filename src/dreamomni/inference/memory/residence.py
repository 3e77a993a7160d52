"""Where the parts of a model are between and during the stages of a request.

Each part has a home, the host's memory or its own files, and is on the device while its stage runs. Between
requests everything is at home again. Modes (see `plan`): "full" keeps all parts on the device; "sequential"
brings one part at a time; "offload" lends single layers (diffusers' group offloading); "quantized" brings one
part at a time with small weights. In all but "full" the modulation layers never come to the device.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import cpu_offload
from diffusers.hooks import apply_group_offloading
from torch import Tensor, nn

from dreamomni.errors import ModelError
from dreamomni.inference.memory.measure import Meter, bytes_of
from dreamomni.inference.memory.plan import QUANTISED_PARTS, MemoryPlan, gigabytes
from dreamomni.inference.memory.quantise import quantise
from dreamomni.models.modulation import Conditions, PrecomputedModulation

logger = logging.getLogger(__name__)

Reload = Callable[[set[str]], Mapping[str, Tensor]]
"""Names of parameters -> those tensors out of the files, in the model's dtype; it may return more."""

_TOLERANCE = 1.1
"""A real peak beyond this many times the plan is told."""
_WORTH_TELLING = 10**9
"""Smaller plans that held are kept silent about."""


class Residence:
    """The homes of one pipeline's parts. `using` a part makes it ready to run.

    Args:
        parts: Networks by the names that the stages use; they are on the CPU, complete, adapters loaded.
        device: Where the stages run.
        plan: What was decided; None means that parts are where they shall be, and nothing is moved.
        reload: For parts that need not wait in the host's memory: how to get their weights back.

    Attributes:
        modulation: The layers that never come to the device; None in mode "full".
        last_peak: Bytes at the peak of the last request: all of them on CUDA, elsewhere weights.
        last_planned: What the plan said of it.
    """

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        device: torch.device,
        plan: MemoryPlan | None = None,
        reload: Mapping[str, Reload] | None = None,
    ) -> None:
        self.device, self.plan = device, plan
        self.meter = Meter(device)
        self._parts = dict(parts)
        self._reload = dict(reload or {})
        self._homes: dict[str, list[tuple[dict[str, Any], str, Any]]] = {}
        self._there: list[str] = []
        self._in_use: list[str] = []
        self.last_peak = self.last_planned = 0
        self.modulation: PrecomputedModulation | None = None
        if plan is not None:
            self._settle(plan)

    @property
    def mode(self) -> str:
        """The plan's mode; "full" where there is no plan."""
        return self.plan.mode if self.plan is not None else "full"

    def _settle(self, plan: MemoryPlan) -> None:
        """Bring every part where it stays between requests."""
        transformer = self._parts["transformer"]
        if plan.mode == "full":
            for part in self._parts.values():
                part.to(self.device)
            return
        self.modulation = PrecomputedModulation(transformer)
        if plan.mode == "quantized":
            assert plan.quantisation is not None
            for name in QUANTISED_PARTS:
                if name in self._parts and not quantise(self._parts[name], plan.quantisation):
                    logger.info("%s has no matrices large enough for %s: it stays", name, plan.quantisation)
        if plan.mode == "offload":
            self.modulation.release()
            for name, part in self._parts.items():
                if name == "transformer":
                    _lend_blocks(part, self.device)
                elif name != "vae":
                    cpu_offload(part, execution_device=self.device)
        for name, part in self._parts.items():
            if self._waits_in_files(name):
                _empty(part)

    @torch.no_grad()
    def _bring(self, name: str) -> None:
        """Bring a part to the device; its home keeps its own tensors, so that nothing is copied back."""
        if self.device.type == "cpu":
            if self._waits_in_files(name):
                self._fill(name, [("", self._parts[name])])
            return
        moved: dict[int, Any] = {}
        homes = list(_slots(self._parts[name]))
        for slots, leaf, tensor in homes:
            if id(tensor) not in moved:
                there = tensor.to(self.device)
                if isinstance(tensor, nn.Parameter) and not isinstance(there, nn.Parameter):
                    there = nn.Parameter(there, requires_grad=False)
                moved[id(tensor)] = there
            slots[leaf] = moved[id(tensor)]
        self._homes[name] = homes

    @contextmanager
    def using(self, name: str) -> Iterator[None]:
        """Have a part ready to run inside the block. It stays until another part, or `finish`, comes.

        Args:
            name: Of the part; of one that the model has not, such as a rewriter with a home of its own, only
                the room is made.
        """
        if self._moves(name):
            for other in [each for each in self._there if each != name and each not in self._in_use]:
                self._send_home(other)
            if name in self._parts and name not in self._there:
                if name == "transformer" and self.modulation is not None:
                    self.modulation.release()
                self._bring(name)
                self._there.append(name)
        self._in_use.append(name)
        try:
            self._count()
            yield
            self._count()
        finally:
            self._in_use.remove(name)

    def finish(self) -> None:
        """End a request: every part goes home, and the peak is compared with the plan."""
        for name in list(self._there):
            self._send_home(name)
        peak, plan = self.meter.read(), self.plan
        self.meter.reset()
        if plan is None:
            return
        # Activations are seen by CUDA alone.
        cuda = self.device.type == "cuda"
        planned = plan.peak if cuda else max(stage.weights for stage in plan.stages)
        text = (
            f"memory: {'peak' if cuda else 'weights at once'} {gigabytes(peak)}, planned {gigabytes(planned)}"
        )
        self.last_peak, self.last_planned = peak, planned
        if peak > _TOLERANCE * planned:
            logger.warning("%s: the plan was too small, so leave a reserve", text)
        else:
            logger.log(logging.INFO if planned >= _WORTH_TELLING else logging.DEBUG, text)

    def _moves(self, name: str) -> bool:
        """Whether a part comes and goes as a whole."""
        return self.mode in ("sequential", "quantized") or (self.mode == "offload" and name == "vae")

    def prepare_modulation(
        self, timesteps: Sequence[float] | Tensor, conditions: Conditions | None = None, batch_size: int = 1
    ) -> None:
        """Work out all steps' modulation, if this mode keeps those layers away; call it inside `using`.

        Args:
            timesteps: Exactly what the transformer will be given.
            conditions: See `PrecomputedModulation.prepare`.
            batch_size: See `PrecomputedModulation.prepare`.
        """
        if self.modulation is None:
            return
        self.modulation.release()
        weights = (weight for layer in self.modulation.layers for weight in layer.parameters())
        dtype = next((weight.dtype for weight in weights if weight.is_floating_point()), torch.float32)
        self.modulation.prepare(
            timesteps,
            conditions,
            batch_size=batch_size,
            device=self.device,
            dtype=dtype,
            fetch=self._fetched if self._waits_in_files("transformer") else None,
        )
        self._count()

    @contextmanager
    def _fetched(self, path: str, layer: nn.Module) -> Iterator[None]:
        """A modulation layer with its weights out of the files."""
        self._fill("transformer", [(path, layer)])
        self._count()
        yield
        _empty(layer)

    def saw_guest(self, network: nn.Module) -> None:
        """Count a network that is on the device but no part of the pipeline."""
        self._count([*network.parameters(), *network.buffers()])

    def _count(self, guests: Sequence[Tensor] = ()) -> None:
        """Report the weights that are on the device now."""
        tensors = [
            tensor for part in self._parts.values() for tensor in (*part.parameters(), *part.buffers())
        ]
        if self.modulation is not None:
            tensors += [weight for layer in self.modulation.layers for weight in layer.parameters()]
        self.meter.saw_weights(bytes_of([*tensors, *guests], self.device))

    def _send_home(self, name: str) -> None:
        self._there.remove(name)
        if name == "transformer" and self.modulation is not None:
            self.modulation.restore()
        for slots, leaf, tensor in self._homes.pop(name, ()):
            slots[leaf] = tensor
        if self._waits_in_files(name):
            _empty(self._parts[name])

    def _waits_in_files(self, name: str) -> bool:
        # On the host itself the weights wait in their files: there is no other memory.
        return self.mode == "sequential" and self.device.type == "cpu" and name in self._reload

    def _fill(self, name: str, modules: Sequence[tuple[str, nn.Module]]) -> None:
        """Read the missing parameters of modules, each given with its path, from the files of a part."""
        wanted: dict[str, list[tuple[dict[str, Any], str]]] = {}
        for prefix, module in modules:
            for path, slots, leaf, tensor in _named_slots(module, prefix):
                if tensor.is_meta:
                    wanted.setdefault(path, []).append((slots, leaf))
        values = self._reload[name](set(wanted)) if wanted else {}
        made: dict[int, nn.Parameter] = {}
        for path, places in wanted.items():
            if path not in values:
                raise ModelError(f"the files of {name} no longer hold {path}: was the model changed?")
            weight = made.setdefault(
                id(values[path]), nn.Parameter(values[path].detach(), requires_grad=False)
            )
            for slots, leaf in places:
                slots[leaf] = weight


def _lend_blocks(transformer: nn.Module, device: torch.device) -> None:
    """Keep a transformer's blocks on the host, each on the device only while it runs."""
    stages = getattr(transformer, "stages", None)
    streams = device.type == "cuda"
    if stages is None:  # Flux: the next block comes while one runs
        apply_group_offloading(
            transformer,
            onload_device=device,
            offload_device=torch.device("cpu"),
            offload_type="block_level",
            num_blocks_per_group=1,
            use_stream=streams,
            low_cpu_mem_usage=streams,
        )
        return
    for block in (block for stage in stages for block in stage):
        # A block without lists inside is one group, which comes when it is called.
        apply_group_offloading(
            block,
            onload_device=device,
            offload_device=torch.device("cpu"),
            offload_type="block_level",
            num_blocks_per_group=1,
        )
    blocks = {id(slots) for stage in stages for slots, _, _ in _slots(stage)}
    for slots, leaf, tensor in _slots(transformer):
        if id(slots) not in blocks:
            there = tensor.detach().to(device)
            slots[leaf] = (
                nn.Parameter(there, requires_grad=False) if isinstance(tensor, nn.Parameter) else there
            )


def _slots(module: nn.Module) -> Iterator[tuple[dict[str, Any], str, Any]]:
    """Every place in a module that holds a parameter or a buffer."""
    for inner in module.modules():
        for slots in (inner._parameters, inner._buffers):
            for leaf, tensor in list(slots.items()):
                if tensor is not None:
                    yield slots, leaf, tensor


def _named_slots(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, dict[str, Any], str, Any]]:
    """Parameters with the names that they have in a file: adapters are left out."""
    for path, inner in module.named_modules(prefix=prefix):
        if "lora_" in path:
            continue
        for leaf, tensor in list(inner._parameters.items()):
            if tensor is not None and "lora_" not in leaf:
                name = f"{path}.{leaf}".removeprefix(".").replace("base_layer.", "")
                yield name, inner._parameters, leaf, tensor


def _empty(*modules: nn.Module) -> None:
    """Give the memory of all parameters back; shapes and buffers stay."""
    for module in modules:
        gone: dict[int, nn.Parameter] = {}
        for _, slots, leaf, tensor in _named_slots(module):
            if id(tensor) not in gone:
                gone[id(tensor)] = nn.Parameter(tensor.detach().to("meta"), requires_grad=False)
            slots[leaf] = gone[id(tensor)]
