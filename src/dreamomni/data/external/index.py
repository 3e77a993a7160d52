"""What every row of a file is, found out once: task and sizes, or why it cannot be used."""

import json
import logging
import os
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from dreamomni.data.external.cache import Arrays, cached
from dreamomni.data.external.conventions import TASKS, Overrides, Task
from dreamomni.data.external.decode import check_pixels, measure
from dreamomni.data.external.plan import Plan, plan_row
from dreamomni.data.external.rows import Rows
from dreamomni.errors import DataError
from dreamomni.tasks.geometry import Size

log = logging.getLogger(__name__)

Check = Literal["headers", "pixels"]
_CHUNK = 512
_PATIENCE_SECONDS = 10.0
_BAD = -1
Found = tuple[int, tuple[Size, ...], str]
"""Number of the task or -1, sizes of the target and the images, and what is wrong."""


@dataclass(frozen=True)
class RowIndex:
    """The rows of one file.

    Attributes:
        tasks: (rows,) number of each row's task in `TASKS`; -1 for a row that cannot be used.
        starts: (rows + 1,) where the sizes of each row begin.
        sizes: (pictures, 2) width and height of each row's target, then of its images.
        problems: Why rows cannot be used, by row.
    """

    tasks: npt.NDArray[np.int8]
    starts: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int32]
    problems: dict[int, str]

    @property
    def good(self) -> npt.NDArray[np.int64]:
        """Numbers of the rows that can be used."""
        return np.flatnonzero(self.tasks != _BAD)

    def task(self, row: int) -> Task:
        """Task of a row that can be used."""
        return TASKS[self.tasks[row]]

    def sizes_of(self, row: int) -> tuple[Size, ...]:
        """Sizes of the target and of the images of a row."""
        part = self.sizes[self.starts[row] : self.starts[row + 1]]
        return tuple(Size(int(width), int(height)) for width, height in part)


def index_rows(rows: Rows, overrides: Overrides, task: Task | None, check: Check) -> RowIndex:
    """Look at every row of a file, or remember what was seen.

    Args:
        rows: The file.
        overrides: The user's own column names.
        task: What the user says that every row is.
        check: How much of a picture is read.
    """
    stamp = {"file": rows.stamp, "columns": overrides, "task": task, "check": check}

    def look(index: int) -> Found:
        try:
            plan = plan_of(rows, index, overrides, task)
            sizes = measure(plan)
            if check == "pixels":
                check_pixels(plan)
        except DataError as error:
            return _BAD, (), str(error)
        return TASKS.index(plan.task), sizes, ""

    def still_bad(arrays: Arrays) -> bool:
        # The files of a row may have been mended since, which the stamp of the table does not show.
        return all(look(row)[0] == _BAD for row in _problems(arrays))

    arrays = cached("rows", stamp, lambda: _build(rows, look), still_bad)
    return RowIndex(arrays["tasks"], arrays["starts"], arrays["sizes"], _problems(arrays))


def plan_of(rows: Rows, index: int, overrides: Overrides, task: Task | None) -> Plan:
    """Read and understand one row.

    Raises:
        DataError: It cannot be used.
    """
    key = f"{rows.path.name}/{rows.key(index)}"
    return plan_row(rows.row(index), rows.folder, key, overrides, task)


def _build(rows: Rows, look: Callable[[int], Found]) -> Arrays:
    seen: list[Found] = []
    told = time.monotonic()
    # The loader changes the filters of warnings, which threads share: whatever they leave is undone here.
    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, 2 * (os.cpu_count() or 1))) as pool:
        for first in range(0, len(rows), _CHUNK):
            seen += pool.map(look, range(first, min(first + _CHUNK, len(rows))))
            if len(seen) == _CHUNK and all(code == _BAD for code, _, _ in seen):
                raise DataError(
                    f"{rows.place(0)}: {seen[0][2]} (none of the first {_CHUNK} rows can be used)"
                )
            if time.monotonic() - told > _PATIENCE_SECONDS:
                told = time.monotonic()
                log.info("%s: looked at %s of %s rows", rows.path, f"{len(seen):,}", f"{len(rows):,}")
    problems = {number: reason for number, (code, _, reason) in enumerate(seen) if code == _BAD}
    return {
        "tasks": np.array([code for code, _, _ in seen], np.int8),
        "starts": np.cumsum([0, *(len(sizes) for _, sizes, _ in seen)], dtype=np.int64),
        "sizes": np.array([size for _, sizes, _ in seen for size in sizes], np.int32).reshape(-1, 2),
        "problems": np.frombuffer(json.dumps(problems).encode(), np.uint8),
    }


def _problems(arrays: Arrays) -> dict[int, str]:
    return {int(row): reason for row, reason in json.loads(arrays["problems"].tobytes()).items()}
