"""How the processes of a run share a step: DDP, FSDP2, or one process alone. No loop, no optimizer.

DDP and FSDP hook into the forward call of a module, while tasks call their networks as they like. So both
wrap one module around the whole loss. Blocks are checkpointed and compiled inside, sharded outside.
"""

import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from dreamomni.errors import ConfigError
from dreamomni.training.processes import World
from dreamomni.training.task import StepOutput, TrainingTask

Kind = Literal["none", "ddp", "fsdp"]


class _WholeLoss(nn.Module):
    """A task as one module, whose forward call is its loss."""

    output: StepOutput

    def __init__(self, task: TrainingTask, modules: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(modules)
        self.__dict__["task"] = task

    def forward(self, batch: Any, generator: torch.Generator) -> Tensor:
        """The loss; what else the task gave is kept in `output`."""
        output: StepOutput = self.__dict__["task"].loss(batch, generator)
        self.__dict__["output"] = output
        return output.loss


class Shared:
    """The loss of a task, computed by one process or by many.

    Make it before anything keeps a parameter: FSDP replaces them all.

    Args:
        task: prepared.
        modules: its trained modules.
        world: the processes.
        kind: how they share; ignored in a run without a launcher.
        bf16: whether blocks compute in bfloat16. FSDP then gathers their weights in it, reduces gradients in
            float32, and keeps float32 shards.
    """

    def __init__(
        self,
        task: TrainingTask,
        modules: Mapping[str, nn.Module],
        world: World,
        kind: Kind,
        *,
        bf16: bool = False,
    ) -> None:
        self.task, self.world = task, world
        self.kind: Kind = kind if world.group is not None else "none"
        self._networks = list(modules.values())
        self._whole: nn.Module | None = None
        if self.kind == "none":
            return
        self._inner = _WholeLoss(task, modules)
        if self.kind == "fsdp":
            self._whole = _shard(self._inner, task.blocks(), world, bf16)
            return
        # Searching for unused parameters also keeps the buckets of gradients as they are. Otherwise they are
        # laid out anew after the first step, and the sums of a resumed run are rounded in another order.
        # torch warns where the search finds none, so there is one.
        device = next(parameter.device for parameter in self._inner.parameters())
        self._inner.unused = nn.Parameter(torch.zeros(1, device=device))
        self._whole = DistributedDataParallel(self._inner, find_unused_parameters=True)

    def loss(self, batch: Any, generator: torch.Generator) -> StepOutput:
        """Loss of one part of the batch; call it, and `backward`, inside `part`."""
        if self._whole is None:
            return self.task.loss(batch, generator)
        with self.world.watching():
            loss = self._whole(batch, generator)
        output = self._inner.output
        return StepOutput(loss, output.metrics, output.keys, output.weight)

    def backward(self, loss: Tensor) -> None:
        """Add to the gradients; in the last part of a step they become the mean over all processes."""
        with self.world.watching():
            loss.backward()

    @contextmanager
    def part(self, *, last: bool) -> Iterator[None]:
        """Around the loss and the backward pass of one part: gradients travel in the last one only."""
        if isinstance(self._whole, FSDPModule):
            self._whole.set_requires_gradient_sync(last)
        if isinstance(self._whole, DistributedDataParallel) and not last:
            with self._whole.no_sync():
                yield
        else:
            yield

    @contextmanager
    def gathered(
        self, tensors: Mapping[str, Tensor], parameters: Mapping[str, nn.Parameter]
    ) -> Iterator[None]:
        """Under FSDP: the main process has plain, whole modules that hold `tensors` inside the block.

        All processes must enter. A tensor at a time is gathered, and only the main process keeps it. The
        others' modules stay sharded and must not be called.

        Args:
            tensors: what the parameters shall hold, by name: sharded like them.
            parameters: the live ones, by name.
        """
        plain: dict[int, nn.Parameter] = {}
        with self.world.watching():
            for name, parameter in parameters.items():
                whole = whole_tensor(tensors[name])
                if self.world.is_main:
                    plain[id(parameter)] = nn.Parameter(whole)
        if not self.world.is_main:
            yield
            return
        with _plain(self._networks, plain):
            yield


def local(tensor: Tensor) -> Tensor:
    """The rows of a tensor that this process holds: all of them, unless it is sharded. No copy."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole_tensor(tensor: Tensor) -> Tensor:
    """All rows of a tensor; a sharded one is gathered, so every process must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def rows(tensor: Tensor) -> tuple[int, int] | None:
    """First row held here and one past the last, or None for a tensor that is not sharded.

    FSDP deals rows out in equal chunks, so that the last processes may have fewer or none.
    """
    if not isinstance(tensor, DTensor):
        return None
    mesh = tensor.device_mesh
    chunk = -(-tensor.shape[0] // mesh.size())
    start = min(mesh.get_local_rank() * chunk, tensor.shape[0])
    stop = min(start + chunk, tensor.shape[0])
    assert tensor.to_local().shape[0] == stop - start, "FSDP no longer shards in equal chunks of rows"
    return start, stop


def prepare_blocks(blocks: Sequence[nn.Module], *, checkpointing: bool, compiled: bool) -> None:
    """Make blocks compute their activations again in the backward pass, or compile them, in place.

    Names of parameters stay as they are.
    """
    for block in blocks:
        forward = block.forward
        if compiled:
            forward = torch.compile(forward)
        if checkpointing:
            forward = _checkpointed(forward)
        block.forward = forward


def check_compile(device: torch.device) -> None:
    """Refuse to compile where it cannot work.

    Raises:
        ConfigError: no compiler, no triton, or a platform without support.
    """
    if device.type == "cuda":
        if importlib.util.find_spec("triton") is None:
            raise ConfigError("compile on a GPU needs triton, which is not installed; say compile: false")
        if torch.cuda.get_device_capability(device) < (7, 0):
            raise ConfigError("compile needs a GPU of compute capability 7.0 or newer; say compile: false")
    elif device.type != "cpu" or sys.platform == "win32":
        raise ConfigError(f"compile does not work on {device.type} under {sys.platform}; say compile: false")
    elif not any(shutil.which(name) for name in ("g++", "clang++", "c++")):
        raise ConfigError(
            "compile on the CPU needs a C++ compiler such as g++; install one, or say compile: false"
        )


def _checkpointed(forward: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)

    return call


def _shard(whole: nn.Module, blocks: Sequence[nn.Module], world: World, bf16: bool) -> nn.Module:
    device = next(parameter.device for parameter in whole.parameters() if parameter.requires_grad)
    with torch.no_grad(), world.watching():
        for tensor in (*whole.parameters(), *whole.buffers()):
            tensor.data = tensor.data.contiguous()  # FSDP cuts rows, and takes no other layout
            distributed.broadcast(tensor, 0)  # as DDP does: all start from the weights of the main process
    mesh = init_device_mesh(device.type, (world.size,))
    frozen = {parameter for parameter in whole.parameters() if not parameter.requires_grad}
    full = MixedPrecisionPolicy(cast_forward_inputs=False)
    half = MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False) if bf16 else full
    for block in blocks:
        fully_shard(block, mesh=mesh, mp_policy=half, ignored_params=frozen)
    fully_shard(whole, mesh=mesh, mp_policy=full, ignored_params=frozen)
    return whole


_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks")


@contextmanager
def _plain(networks: Sequence[nn.Module], parameters: Mapping[int, nn.Parameter]) -> Iterator[None]:
    """Take the sharding off modules: their class, their hooks, and parameters by id of the sharded ones.

    FSDP can gather weights by itself, but then it hands out bfloat16 copies, and shards them again as soon as
    anything asks for a state dict; samples and exports must see what one process would have.
    """
    kept: list[tuple[nn.Module, type[nn.Module], dict[str, Any]]] = []
    replaced: list[tuple[nn.Module, str, nn.Parameter]] = []
    seen: set[int] = set()
    for module in (module for network in networks for module in network.modules()):
        if id(module) in seen:
            continue
        seen.add(id(module))
        for name, parameter in module._parameters.items():
            if parameter is not None and id(parameter) in parameters:
                replaced.append((module, name, parameter))
        if isinstance(module, FSDPModule):
            hooks = {name: getattr(module, name).copy() for name in _HOOKS}
            kept.append((module, type(module), hooks))
    try:
        for module, name, parameter in replaced:
            module._parameters[name] = parameters[id(parameter)]
        for module, sharded, _ in kept:
            module.__class__ = sharded.__mro__[sharded.__mro__.index(FSDPModule) + 1]
            for name in _HOOKS:
                getattr(module, name).clear()
        yield
    finally:
        for module, name, parameter in replaced:
            module._parameters[name] = parameter
        for module, sharded, hooks in kept:
            module.__class__ = sharded
            for name, hook in hooks.items():
                getattr(module, name).update(hook)
