"""The real peak: what CUDA allocated, or elsewhere what our own count of tensors says."""

import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveTensors(TorchDispatchMode):
    """Counts the bytes of all tensors that are made while it is on, and their peak.

    A view costs nothing, and what existed before is not counted. It works on any device, "meta" included, and
    costs about as much time as small operations themselves: for tests and plans, not for serving.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak = 0
        self._seen: set[int] = set()

    def ignore(self, tensors: Iterable[Tensor]) -> None:
        """Leave these out: weights, inputs."""
        self._seen |= {tensor.untyped_storage()._cdata for tensor in tensors}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._count(leaf)
        return out

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._seen:
            return
        self._seen.add(key)
        size = storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


class Meter:
    """Peak of one device over a request.

    On CUDA it is what the allocator gave out. Elsewhere it is the weights that were there at once, as
    `Residence` reports them: activations are not seen.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.peak = 0
        self.weights_peak = 0

    def reset(self) -> None:
        """Start a request."""
        self.peak = self.weights_peak = 0
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def saw_weights(self, number: int) -> None:
        """Take note of the bytes of weights on the device."""
        self.weights_peak = max(self.weights_peak, number)

    def read(self) -> int:
        """The peak since `reset`, in bytes."""
        if self.device.type == "cuda":
            self.peak = torch.cuda.max_memory_allocated(self.device)
        else:
            self.peak = max(self.peak, self.weights_peak)
        return self.peak


def bytes_of(tensors: Iterable[Tensor], device: torch.device | None = None) -> int:
    """Bytes of the distinct storages of these tensors, meta tensors left out.

    Args:
        tensors: Any.
        device: Count only what is there.
    """
    found: dict[int, int] = {}
    for tensor in tensors:
        if tensor.is_meta or (device is not None and tensor.device.type != device.type):
            continue
        for inner in _plain(tensor):
            storage = inner.untyped_storage()
            found[storage._cdata] = storage.nbytes()
    return sum(found.values())


def _plain(tensor: Tensor) -> Iterator[Tensor]:
    """The tensors that a quantised one is made of."""
    if hasattr(tensor, "__tensor_flatten__"):
        for name in tensor.__tensor_flatten__()[0]:
            yield from _plain(getattr(tensor, name))
    else:
        yield tensor


def device_room(device: torch.device) -> int | None:
    """Bytes that can still be had on a device; None where that cannot be known."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    if device.type == "cpu":
        try:
            with open("/proc/meminfo", encoding="ascii") as file:
                for line in file:
                    if line.startswith("MemAvailable:"):
                        return int(line.split()[1]) * 1024
        except OSError:
            return None
    return None


@contextmanager
def live_tensors(*ignored: torch.nn.Module) -> Iterator[LiveTensors]:
    """Count the tensors made inside; weights of these modules are left out."""
    counter = LiveTensors()
    for module in ignored:
        counter.ignore([*module.parameters(), *module.buffers()])
    with counter:
        yield counter
