"""Rows of parquet files, by row groups, and of Hugging Face data sets saved to disk, which are mapped.

Both are read by pyarrow alone. A parquet file is read by whole row groups, so rows in random order cost a
group each: see docs/training_data.md.
"""

import hashlib
import json
import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from itertools import accumulate
from pathlib import Path
from typing import Any

from dreamomni.data.external.cache import stamp_of
from dreamomni.data.external.rows import Row
from dreamomni.data.shards.sidecar import require_pyarrow
from dreamomni.errors import DataError

_KEPT_GROUPS = 2
_TAIL = 1 << 16


class _ArrowRows:
    """What both kinds of file share; a copy in another process opens its own file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path.parent
        self.stamp = stamp_of(path)
        self._forget()

    @property
    def digest(self) -> str:
        """Sha256 of the length and the end of the file, where its statistics and offsets are."""
        with self.path.open("rb") as file:
            file.seek(max(0, self.stamp["size"] - _TAIL))
            return hashlib.sha256(f"{self.stamp['size']} ".encode() + file.read()).hexdigest()

    def place(self, index: int) -> str:
        """Name the row."""
        return f"{self.path}, row {index + 1}"

    def key(self, index: int) -> str:
        """Number of the row."""
        return f"{index + 1:09d}"

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: value for name, value in self.__dict__.items() if name not in ("_file", "_lock", "_groups")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        self._file: tuple[int, Any] | None = None
        self._lock = threading.Lock()
        self._groups: OrderedDict[int, Any] = OrderedDict()

    def _opened(self) -> Any:
        """The open file of this process: one that was opened before a fork is not used."""
        if self._file is None or self._file[0] != os.getpid():
            self._forget()
            try:
                self._file = (os.getpid(), self._open())
            except (OSError, require_pyarrow().ArrowException) as error:
                raise DataError(f"{self.path} cannot be read: {' '.join(str(error).split())}") from None
        return self._file[1]

    def _open(self) -> Any:
        raise NotImplementedError


class ParquetRows(_ArrowRows):
    """The rows of one parquet file.

    Raises:
        DataError: The file is damaged.
        ConfigError: pyarrow is not installed.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        metadata = self._opened().metadata
        sizes = (metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
        self._ends = list(accumulate(sizes))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def row(self, index: int) -> Row:
        """Read one row, from the last groups that were read or from its own."""
        group = bisect_right(self._ends, index)
        first = self._ends[group - 1] if group else 0
        pa = require_pyarrow()
        try:
            with self._lock:
                file = self._opened()
                if group not in self._groups:
                    # Threads of pyarrow do not survive a fork.
                    self._groups[group] = file.read_row_group(group, use_threads=False)
                self._groups.move_to_end(group)
                while len(self._groups) > _KEPT_GROUPS:
                    self._groups.popitem(last=False)
                table = self._groups[group]
            return table.slice(index - first, 1).to_pylist()[0]
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"cannot be read: {' '.join(str(error).split())}") from None

    def _open(self) -> Any:
        return require_pyarrow().parquet.ParquetFile(self.path, pre_buffer=False)


class ArrowRows(_ArrowRows):
    """The rows of one arrow file, as `datasets.Dataset.save_to_disk` writes them.

    Raises:
        DataError: The file is damaged.
        ConfigError: pyarrow is not installed.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._length = int(self._opened().num_rows)

    def __len__(self) -> int:
        return self._length

    def row(self, index: int) -> Row:
        """Read one row of the mapped file."""
        with self._lock:
            table = self._opened()
        return table.slice(index, 1).to_pylist()[0]

    def _open(self) -> Any:
        pa = require_pyarrow()
        return pa.ipc.open_stream(pa.memory_map(str(self.path))).read_all()


def saved_files(folder: Path, split: str | None) -> list[Path]:
    """The arrow files of a data set that `save_to_disk` wrote, in order.

    Args:
        folder: Of one data set, or of several splits.
        split: Which of several; None takes `train`, or the only one.

    Raises:
        DataError: There is no such split, or a record of the data set is damaged.
    """
    splits_path = folder / "dataset_dict.json"
    if splits_path.is_file():
        splits = _read_json(splits_path, "splits")
        chosen = split or ("train" if "train" in splits or len(splits) != 1 else splits[0])
        if chosen not in splits:
            raise DataError(f"{folder} has no split {chosen!r}: it has {', '.join(splits)}; set `split`")
        folder = folder / chosen
    return [folder / item["filename"] for item in _read_json(folder / "state.json", "_data_files")]


def _read_json(path: Path, name: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))[name]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not what `save_to_disk` of Hugging Face writes: {error!r}") from None
