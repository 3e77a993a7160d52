"""Rows of files as a sequence of training samples."""

import hashlib
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamomni.data.external.conventions import ALIGNED, Field, Overrides, Task
from dreamomni.data.external.decode import bucket_sizes, make_sample
from dreamomni.data.external.formats import FORMATS, Format, detect_format, open_rows
from dreamomni.data.external.index import Check, RowIndex, index_rows, plan_of
from dreamomni.data.external.rows import Rows
from dreamomni.data.sample_set import SampleShape
from dreamomni.errors import ConfigError, DataError
from dreamomni.tasks.geometry import aspect_buckets
from dreamomni.tasks.sample import TrainingSample

Columns = Mapping[Field, str | tuple[str, ...]]


class TableSet:
    """A user's table as samples. The headers of all pictures are read when it is opened the first time.

    Args:
        path: A file or a folder.
        format: How it is stored; "auto" looks.
        base: Side of the square bucket in pixels.
        multiple: What both sides of every bucket are multiples of.
        columns: Columns by what they hold, where they have names of their own.
        task: What every row is; None lets its columns tell.
        split: Split of a Hugging Face data set.
        check: "pixels" decodes every picture once to find damaged ones; "headers" does not.
        skip_bad: How many rows may be left out because they cannot be used.
        num_samples: Only the first rows.
        licence: Of all rows that name none.

    Attributes:
        skipped: Rows that are left out: where they are, and why.

    Raises:
        DataError: There is no such data, a column is missing, more rows are bad than may be, or none is good.
        ConfigError: A library is missing.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        format: Format | str = "auto",
        base: int = 256,
        multiple: int = 16,
        columns: Columns | None = None,
        task: Task | None = None,
        split: str | None = None,
        check: Check = "headers",
        skip_bad: int = 0,
        num_samples: int | None = None,
        licence: str | None = None,
    ) -> None:
        self.path = Path(path)
        self.base, self.multiple, self.task, self.licence = base, multiple, task, licence
        self.buckets = aspect_buckets(base, multiple)
        self.overrides = _overrides(columns or {})
        self.format = detect_format(self.path) if format == "auto" else _known_format(format)
        try:
            self.files: list[Rows] = open_rows(self.path, self.format, split)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise DataError(f"{error.filename or self.path} cannot be read: {reason}") from None
        if not any(len(rows) for rows in self.files):
            raise DataError(f"{self.path} holds no rows")
        self._indices: list[RowIndex] = []
        self.skipped: list[str] = []
        for rows in self.files:
            index = index_rows(rows, self.overrides, task, check)
            self._indices.append(index)
            self.skipped += [f"{rows.place(row)}: {reason}" for row, reason in sorted(index.problems.items())]
        total = sum(len(rows) for rows in self.files)
        if len(self.skipped) > skip_bad or len(self.skipped) == total:
            raise DataError(_too_many(self.skipped, total, skip_bad))
        good = [index.good for index in self._indices]
        places = [np.stack([np.full(len(rows), file), rows], axis=1) for file, rows in enumerate(good)]
        self._places = np.concatenate(places)[:num_samples]
        if num_samples is not None and len(self._places) < num_samples:
            raise DataError(f"{self.path} has {len(self._places):,} rows, not num_samples {num_samples:,}")
        self._num_samples = num_samples
        self._stems = _unique_stems([rows.path for rows in self.files])

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> TrainingSample:
        """Read, decode and fit one row.

        Raises:
            IndexError: There is no such row.
            DataError: It cannot be read; the message names the file and the row.
        """
        file, row = self._place(index)
        rows = self.files[file]
        sizes = self._indices[file].sizes_of(row)
        try:
            plan = plan_of(rows, row, self.overrides, self.task)
            return make_sample(
                plan,
                sizes,
                bucket_sizes(sizes, plan.is_aligned, self.buckets),
                key=f"{self._stems[file]}-{_without_dots(rows.key(row))}",
                index=index,
                licence=self.licence,
                details={
                    "row": rows.place(row),
                    "columns": plan.match.convention,
                    "sizes": [str(size) for size in sizes],
                    "values": plan.extra,
                },
            )
        except DataError as error:
            raise DataError(
                f"{rows.place(row)}: {error}; `check: pixels` finds such rows before training, and "
                "`skip_bad: N` leaves out up to N"
            ) from None

    def shape(self, index: int) -> SampleShape:
        """Sizes after fitting, without reading the row."""
        file, row = self._place(index)
        known = self._indices[file]
        task = known.task(row)
        target, *images = bucket_sizes(known.sizes_of(row), task in ALIGNED, self.buckets)
        return SampleShape(task, target, tuple(images))

    @cached_property
    def kinds(self) -> npt.NDArray[np.int8]:
        """(samples,) number of every sample's task in `TASKS`."""
        found = np.empty(len(self), np.int8)
        for file, known in enumerate(self._indices):
            here = self._places[:, 0] == file
            found[here] = known.tasks[self._places[here, 1]]
        return found

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What decides the samples, wherever the files lie."""
        return {
            "type": "table",
            "format": self.format,
            "files": [
                {"name": rows.path.name, "rows": len(rows), "content": rows.digest, "index": _digest(index)}
                for rows, index in zip(self.files, self._indices, strict=True)
            ],
            "columns": {field: list(names) for field, names in self.overrides},
            "task": self.task,
            "base": self.base,
            "multiple": self.multiple,
            "num_samples": self._num_samples,
        }

    def _place(self, index: int) -> tuple[int, int]:
        # Python's iteration protocol ends at IndexError, so this one is not ours to rename.
        if not 0 <= index < len(self._places):
            raise IndexError(f"sample {index} of {len(self._places)} in {self.path}")
        file, row = self._places[index]
        return int(file), int(row)


def _known_format(name: str) -> Format:
    if name not in FORMATS:
        raise ConfigError(f"there is no format {name!r}: the formats are auto, {', '.join(FORMATS)}")
    return name


def _overrides(columns: Columns) -> Overrides:
    return tuple(
        (field, (names,) if isinstance(names, str) else tuple(names))
        for field, names in sorted(columns.items())
    )


def _too_many(bad: list[str], total: int, allowed: int) -> str:
    if len(bad) == 1:
        counted = f"1 row of {total:,} cannot be used"
    else:
        counted = f"the first of {len(bad):,} rows of {total:,} that cannot be used"
    if len(bad) == total:
        return f"{bad[0]} ({counted})"
    return f"{bad[0]} ({counted}; `skip_bad: {len(bad)}` leaves them out, now it is {allowed})"


def _digest(index: RowIndex) -> str:
    content = index.tasks.tobytes() + index.starts.tobytes() + index.sizes.tobytes()
    return hashlib.sha256(content).hexdigest()


def _without_dots(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name)


def _unique_stems(paths: list[Path]) -> list[str]:
    """A name for each file: its own, and its number where another has the same."""
    stems = [_without_dots(path.stem) for path in paths]
    return [stem if stems.count(stem) == 1 else f"{stem}-{number}" for number, stem in enumerate(stems)]
