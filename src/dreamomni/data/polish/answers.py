"""Answers of language models, kept by content, so that a run can be repeated without them."""

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from dreamomni.errors import DataError, OutputError


class AnswerCache:
    """A file of answers; several processes may read and write it at the same time.

    Args:
        path: The file, made if missing; its folder too.

    Raises:
        OutputError: It cannot be made or opened for writing.
        DataError: It is no cache of answers.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=60.0, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS answers "
                "(key TEXT PRIMARY KEY, question TEXT, answer TEXT) WITHOUT ROWID"
            )
        except (OSError, sqlite3.OperationalError) as error:
            raise OutputError(f"cannot open the answer cache {self.path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise DataError(f"{self.path} is not a cache of answers ({error}); name another file") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def get(self, question: Mapping[str, str]) -> str | None:
        """The answer to exactly this question (model, prompt, text, ...), or None."""
        row = self._connection.execute(
            "SELECT answer FROM answers WHERE key = ?", (_key(question),)
        ).fetchone()
        return None if row is None else str(row[0])

    def put(self, question: Mapping[str, str], answer: str) -> None:
        """Keep an answer; the first one stays, so that a repeated run says the same."""
        try:
            self._connection.execute(
                "INSERT OR IGNORE INTO answers VALUES (?, ?, ?)",
                (_key(question), json.dumps(dict(question), sort_keys=True), answer),
            )
        except sqlite3.Error as error:
            raise OutputError(f"cannot write the answer cache {self.path}: {error}") from error


def _key(question: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(dict(question), sort_keys=True).encode()).hexdigest()
