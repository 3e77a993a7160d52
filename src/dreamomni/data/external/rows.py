"""A file of rows, whatever its format: a number in, a row out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

Row = Mapping[str, Any]
"""Cells by column. Pictures are paths, windows, bytes or lists of them (see `cells`)."""


class Rows(Protocol):
    """The rows of one file, or of one folder of loose files."""

    @property
    def path(self) -> Path:
        """The file or folder."""
        ...

    @property
    def folder(self) -> Path:
        """What relative paths in the rows start from."""
        ...

    @property
    def stamp(self) -> dict[str, Any]:
        """JSON values that change when the file does; for caches on this machine."""
        ...

    @property
    def digest(self) -> str:
        """Tells content apart wherever the file lies."""
        ...

    def __len__(self) -> int:
        """Number of rows."""
        ...

    def row(self, index: int) -> Row:
        """Row `index`.

        Raises:
            DataError: It cannot be read; the message says why, without the place.
        """
        ...

    def place(self, index: int) -> str:
        """Where row `index` is, for messages: `edits.jsonl, line 12`."""
        ...

    def key(self, index: int) -> str:
        """A stable name of row `index`, unique in the file."""
        ...
