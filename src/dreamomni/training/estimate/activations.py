"""Bytes that a forward pass keeps for the backward pass, found by running the modules on the meta device.

Every tensor that autograd saves is seen by a hook and counted once by its storage; parameters do not count.
What mixed precision casts is imitated, since autocast knows no meta device, and attention is taken to keep
its inputs, its output and one number for each query, as every fused kernel does. What lives only for
moments (the workspace of a kernel, the gradient on its way) is not in here.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Precision = Literal["fp32", "cuda-bf16", "cpu-bf16"]
"""fp32, or bf16 autocast by the rules of a device: CUDA keeps norms in fp32."""

_LOWERED = frozenset({"linear", "conv2d", "conv3d", "matmul", "bmm", "baddbmm", "addmm"})
_RAISED = frozenset({"layer_norm", "rms_norm", "group_norm", "softmax", "mse_loss"})


class Saved(NamedTuple):
    """What a forward pass keeps.

    Attributes:
        activations: Bytes kept when nothing is recomputed.
        checkpointed: Bytes kept when the blocks keep only their inputs, with the inside of the largest block,
            which lives again while its gradients are computed.
        weight_copies: Bytes of the bf16 copies of weights that autocast makes and keeps.
    """

    activations: int
    checkpointed: int
    weight_copies: int


def saved_bytes(
    forward: Callable[[], Any],
    modules: Sequence[nn.Module],
    blocks: Sequence[nn.Module] = (),
    precision: Precision = "fp32",
) -> Saved:
    """Run `forward` once and count what it leaves for the backward pass.

    Args:
        forward: Runs the modules, on the meta device or a real one.
        modules: Their parameters are not counted.
        blocks: Modules that activation checkpointing would wrap.
        precision: What autocast would do; on a real device with autocast on, say "fp32": nothing is imitated.
    """
    counter = _Counter(modules)
    with ExitStack() as stack:
        for block in blocks:
            stack.enter_context(_Removing(block.register_forward_pre_hook(counter.enter, with_kwargs=True)))
            stack.enter_context(_Removing(block.register_forward_hook(counter.leave)))
        stack.enter_context(torch.autograd.graph.saved_tensors_hooks(counter.pack, counter.unpack))
        if precision != "fp32" or _on_meta(modules):
            stack.enter_context(_Imitation(precision, counter))
        result = forward()
    saved = counter.saved()
    del result
    return saved


class _Counter:
    """Storages by number, each with its size and the block it was saved in (0: outside of all)."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.fixed = {
            tensor.untyped_storage()._cdata
            for module in modules
            for tensor in (*module.parameters(), *module.buffers())
        }
        self.copies: dict[int, int] = {}
        self.outside: dict[int, int] = {}
        self.inputs: dict[int, int] = {}
        self.inside: dict[int, dict[int, int]] = {}
        self.current = self.count = 0
        self.alive: list[Tensor] = []  # a freed storage would give its number to the next one

    def pack(self, tensor: Tensor) -> Tensor:
        where = self.inside.setdefault(self.current, {}) if self.current else self.outside
        self._note(tensor, where)
        return tensor

    def unpack(self, tensor: Tensor) -> Tensor:
        return tensor

    def enter(self, block: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self.count += 1
        self.current = self.count
        for value in _tensors((*args, *kwargs.values())):
            self._note(value, self.inputs)

    def leave(self, block: nn.Module, args: Any, output: Any) -> None:
        self.current = 0

    def note_copy(self, tensor: Tensor) -> None:
        self._note(tensor, self.copies)

    def _note(self, tensor: Tensor, where: dict[int, int]) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata not in self.fixed:
            where[storage._cdata] = storage.nbytes()
            self.alive.append(tensor)

    def saved(self) -> Saved:
        """Sum up."""
        everything = dict(self.outside)
        for part in self.inside.values():
            everything |= part
        kept = self.outside | self.inputs
        largest = max(
            (sum(size for key, size in part.items() if key not in kept and key not in self.copies))
            for part in (*self.inside.values(), {})
        )
        return Saved(
            activations=sum(size for key, size in everything.items() if key not in self.copies),
            checkpointed=sum(size for key, size in kept.items() if key not in self.copies) + largest,
            weight_copies=sum(self.copies.values()),
        )


class _Imitation(TorchFunctionMode):
    """Casts as autocast would, and lets attention keep what a fused kernel keeps."""

    def __init__(self, precision: Precision, counter: _Counter) -> None:
        super().__init__()
        self.precision, self.counter = precision, counter
        self.copies: dict[int, Tensor] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        if name == "scaled_dot_product_attention":
            named = ("query", "key", "value")
            given = (*args[:3], *(kwargs[part] for part in named[len(args) :]))
            query, key, value = (self._lower(part) for part in given)
            return _FusedAttention.apply(query, key, value)  # type: ignore[no-untyped-call]
        if self.precision != "fp32" and name in _LOWERED:
            args, kwargs = _map(self._lower, args), _map(self._lower, kwargs)
        elif self.precision == "cuda-bf16" and name in _RAISED:
            args, kwargs = _map(_raise, args), _map(_raise, kwargs)
        return func(*args, **kwargs)

    def _lower(self, value: Any) -> Any:
        if self.precision == "fp32" or not isinstance(value, Tensor) or value.dtype != torch.float32:
            return value
        if not isinstance(value, nn.Parameter):
            return value.to(torch.bfloat16)
        if id(value) not in self.copies:
            self.copies[id(value)] = value.to(torch.bfloat16)
            self.counter.note_copy(self.copies[id(value)])
        return self.copies[id(value)]


class _FusedAttention(torch.autograd.Function):
    """Attention without a matrix of scores. It has the shapes of attention and none of its values."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = query.new_empty((*query.shape[:-1], value.shape[-1]))
        ctx.save_for_backward(query, key, value, out, query.new_empty(query.shape[:-1], dtype=torch.float32))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return tuple(torch.empty_like(tensor) for tensor in ctx.saved_tensors[:3])


def _raise(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.dtype == torch.bfloat16 else value


def _map(change: Callable[[Any], Any], values: Any) -> Any:
    if isinstance(values, dict):
        return {key: change(value) for key, value in values.items()}
    return tuple(change(value) for value in values)


def _tensors(values: Any) -> list[Tensor]:
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += _tensors(value)
    return found


def _on_meta(modules: Sequence[nn.Module]) -> bool:
    return any(parameter.is_meta for module in modules for parameter in module.parameters())


class _Removing:
    """A hook's handle as a context."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle

    def __enter__(self) -> None: ...

    def __exit__(self, *exception: object) -> None:
        self.handle.remove()
