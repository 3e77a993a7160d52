"""Rows of text files: JSON lines, read where they lie; JSON lists and CSV, which are held in memory."""

import csv
import hashlib
import io
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dreamomni.data.external.cache import Arrays, cached, stamp_of
from dreamomni.data.external.rows import Row
from dreamomni.errors import DataError
from dreamomni.storage import sha256_file

_FILE_NAME = "file_name"


class JsonLines:
    """One JSON object a line; empty lines do not count.

    Args:
        path: The file.

    Raises:
        DataError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path.parent
        self.stamp = stamp_of(path)
        self._arrays = cached("lines", self.stamp, self._scan)

    @property
    def digest(self) -> str:
        """Sha256 of the file."""
        return str(self._arrays["digest"])

    def __len__(self) -> int:
        return len(self._arrays["starts"])

    def row(self, index: int) -> Row:
        """Parse one line."""
        try:
            with self.path.open("rb") as file:
                file.seek(int(self._arrays["starts"][index]))
                line = file.readline()
        except OSError as error:
            raise DataError(f"cannot be read any more: {(error.strerror or str(error)).lower()}") from None
        try:
            value = json.loads(line)
        except ValueError as error:
            raise DataError(f"is not JSON: {error}") from None
        return checked_row(value)

    def place(self, index: int) -> str:
        """Name the line."""
        return f"{self.path}, line {self._arrays['numbers'][index]}"

    def key(self, index: int) -> str:
        """Number of the line."""
        return f"{self._arrays['numbers'][index]:09d}"

    def _scan(self) -> Arrays:
        starts, numbers, offset = [], [], 0
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                digest.update(line)
                if line.strip():
                    starts.append(offset)
                    numbers.append(number)
                offset += len(line)
        return {
            "starts": np.array(starts, np.int64),
            "numbers": np.array(numbers, np.int64),
            "digest": np.array(digest.hexdigest()),
        }


class MemoryRows:
    """Rows of a JSON list or a CSV file with a header.

    Args:
        path: The file; `.json`, `.csv` or `.tsv`.

    Raises:
        DataError: It holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path.parent
        self.stamp = stamp_of(path)
        self._rows = _read_json(path) if path.suffix.lower() == ".json" else _read_csv(path)

    @cached_property
    def digest(self) -> str:
        """Sha256 of the file."""
        return sha256_file(self.path)

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, index: int) -> Row:
        """One record."""
        return checked_row(self._rows[index])

    def place(self, index: int) -> str:
        """Name the record."""
        return f"{self.path}, row {index + 1}"

    def key(self, index: int) -> str:
        """Number of the record."""
        return f"{index + 1:09d}"


def checked_row(value: Any) -> Row:
    """Return a row, with `file_name` columns of Hugging Face's image folders under the names they stand for.

    Raises:
        DataError: The value is no JSON object.
    """
    if not isinstance(value, dict):
        raise DataError(f"is a JSON {type(value).__name__}, not an object with a value for each column")
    if None in value:  # what the CSV reader calls the rest of a row
        raise DataError("has more cells than the header has names; quote commas in words")
    row = dict(value)
    for name in value:
        for suffix in (_FILE_NAME, f"{_FILE_NAME}s"):
            plain = "image" if name == suffix else name.removesuffix(f"_{suffix}")
            if name.endswith(suffix) and plain != name and plain not in row:
                row[plain] = row.pop(name)
    return row


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path} is no UTF-8 text") from None


def _read_json(path: Path) -> list[Any]:
    try:
        value = json.loads(_read_text(path))
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from None
    if not isinstance(value, list):
        raise DataError(f"{path} is a JSON {type(value).__name__}, not a list of rows")
    return value


def _read_csv(path: Path) -> list[Any]:
    dialect = "excel-tab" if path.suffix.lower() == ".tsv" else "excel"
    try:
        return list(csv.DictReader(io.StringIO(_read_text(path), newline=""), dialect=dialect, strict=True))
    except csv.Error as error:
        raise DataError(f"{path} is no CSV table: {error}") from None
