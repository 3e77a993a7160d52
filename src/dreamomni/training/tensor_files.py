"""Named tensors on disk as safetensors: a whole file, or one file per process with the rows that it holds.

A sharded set is read back by any number of processes: each reads the rows it needs, from whichever files
have them, so no process holds more than its share and one tensor.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dreamomni.errors import CheckpointError
from dreamomni.training.parallel import local, rows

_ROWS = "rows"
"""Key of a file's metadata: {name: [first row, rows of the whole]} as JSON, for tensors in pieces."""
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def file_name(part: str, rank: int, size: int) -> str:
    """Name of the file of one process: `modules.safetensors`, or `modules-00001-of-00002.safetensors`."""
    return f"{part}.safetensors" if size == 1 else f"{part}-{rank + 1:05d}-of-{size:05d}.safetensors"


def write(tensors: Mapping[str, Tensor], path: Path, *, with_whole: bool = True) -> None:
    """Write what this process holds of `tensors`.

    Args:
        tensors: sharded ones are written as rows.
        path: of the file.
        with_whole: also write those that are not sharded, which every process holds alike.

    Raises:
        OSError: it cannot be written.
        SafetensorError: likewise.
    """
    held: dict[str, Tensor] = {}
    pieces: dict[str, tuple[int, int]] = {}
    for name, tensor in tensors.items():
        span = rows(tensor)
        if span is None and with_whole:
            held[name] = tensor.detach().cpu().contiguous()
        elif span is not None and span[0] < span[1]:
            held[name] = local(tensor.detach()).cpu().contiguous()
            pieces[name] = (span[0], tensor.shape[0])
    save_file(held, path, metadata={_ROWS: json.dumps(pieces)} if pieces else None)


def reason(error: Exception) -> str:
    """Why something could not be written, in the words of the operating system."""
    words = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return re.sub(r"^(error while serializing: )?(i/o error: )?| \(os error \d+\)$", "", words.lower())


class SavedTensors(Mapping[str, Tensor]):
    """Tensors of one or several files, read when they are asked for. The files stay open.

    Args:
        folder: where they lie.
        part: what `file_name` was given.

    Raises:
        CheckpointError: a file is missing or is no safetensors, or rows are missing.
    """

    def __init__(self, folder: Path, part: str) -> None:
        whole = folder / f"{part}.safetensors"
        paths = [whole] if whole.exists() else sorted(folder.glob(f"{part}-*-of-*.safetensors"))
        if not paths:
            raise CheckpointError(f"{whole} is missing")
        self.num_files = len(paths)
        self._pieces: dict[str, list[tuple[int, Any]]] = {}
        self._totals: dict[str, int] = {}
        for path in paths:
            try:
                file = safe_open(path, framework="pt", device="cpu")
            except (OSError, SafetensorError) as error:
                raise CheckpointError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
            spans = json.loads((file.metadata() or {}).get(_ROWS, "{}"))
            for name in file.keys():  # noqa: SIM118
                start, total = spans.get(name, (0, -1))
                self._pieces.setdefault(name, []).append((start, file))
                self._totals[name] = total
        for name, total in self._totals.items():
            self._pieces[name].sort(key=lambda piece: piece[0])
            held = sum(self._spec(file, name)[0][0] for _, file in self._pieces[name]) if total >= 0 else -1
            if held != total:
                raise CheckpointError(f"{folder} holds {held} of {total} rows of {name}")

    def __getitem__(self, name: str) -> Tensor:
        if self._totals[name] < 0:
            tensor: Tensor = self._pieces[name][0][1].get_tensor(name)
            return tensor
        return self.read_rows(name, 0, self._totals[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._pieces)

    def __len__(self) -> int:
        return len(self._pieces)

    def spec(self, name: str) -> tuple[torch.Size, torch.dtype]:
        """Shape and dtype of the whole tensor, without reading it."""
        shape, dtype = self._spec(self._pieces[name][0][1], name)
        if self._totals[name] >= 0:
            shape = torch.Size((self._totals[name], *shape[1:]))
        return shape, dtype

    def read_rows(self, name: str, start: int, stop: int) -> Tensor:
        """Rows `start` to `stop - 1` of a tensor."""
        found = []
        for first, file in self._pieces[name]:
            end = first + self._spec(file, name)[0][0]
            if max(first, start) < min(end, stop):
                piece = file.get_slice(name)
                found.append(piece[max(first, start) - first : min(end, stop) - first])
        if not found:
            shape, dtype = self.spec(name)
            return torch.empty((0, *shape[1:]), dtype=dtype)
        return torch.cat(found) if len(found) > 1 else found[0]

    @staticmethod
    def _spec(file: Any, name: str) -> tuple[torch.Size, torch.dtype]:
        view = file.get_slice(name)
        return torch.Size(view.get_shape()), _DTYPES[view.get_dtype()]


def spec_of(saved: Mapping[str, Tensor], name: str) -> tuple[torch.Size, torch.dtype]:
    """Shape and dtype of a saved tensor."""
    if isinstance(saved, SavedTensors):
        return saved.spec(name)
    return saved[name].shape, saved[name].dtype


def copy_rows(target: Tensor, saved: Mapping[str, Tensor], name: str) -> None:
    """Copy a saved tensor into a live one of the same shape, or the rows that this process holds of it."""
    span = rows(target)
    if span is None:
        target.detach().copy_(saved[name])
    elif isinstance(saved, SavedTensors):
        local(target.detach()).copy_(saved.read_rows(name, *span))
    else:
        local(target.detach()).copy_(saved[name][span[0] : span[1]])
