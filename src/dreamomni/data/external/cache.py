"""What was found out about a file of the user's, kept in the cache folder: never beside the file."""

import hashlib
import json
import logging
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dreamomni.errors import OutputError
from dreamomni.storage import atomic_path

log = logging.getLogger(__name__)

CACHE_VERSION = 1
Arrays = dict[str, np.ndarray]


def cache_folder() -> Path:
    """`dreamomni/tables` in the user's cache folder; deleting it costs only time."""
    base = os.environ.get("XDG_CACHE_HOME")
    # os.path.expanduser, unlike Path's, does not raise for an account without a home.
    return Path(base or os.path.expanduser("~/.cache")) / "dreamomni" / "tables"


def stamp_of(path: Path) -> dict[str, Any]:
    """Where a file is, how long it is and when it was written: another stamp means other content."""
    stat = path.stat()
    return {"path": str(path.resolve()), "size": stat.st_size, "mtime": stat.st_mtime_ns}


def cached(
    what: str,
    stamp: Mapping[str, Any],
    build: Callable[[], Arrays],
    still_true: Callable[[Arrays], bool] = lambda arrays: True,
) -> Arrays:
    """Return arrays from the cache, or build and keep them.

    Args:
        what: Kind of arrays.
        stamp: JSON values that decide their content.
        build: Makes them.
        still_true: Whether kept ones may be used.
    """
    key = json.dumps([CACHE_VERSION, what, stamp], sort_keys=True)
    path = cache_folder() / f"{what}-{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"
    try:
        with np.load(path, allow_pickle=False) as found:
            kept = dict(found)
        if still_true(kept):
            return kept
    except FileNotFoundError:
        pass
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        log.warning("%s is damaged (%s) and is made again", path, error)
    arrays = build()
    try:
        with atomic_path(path) as part:
            np.savez(part, **arrays)  # type: ignore[arg-type]  # mypy takes the names for options
    except OutputError as error:
        log.warning("%s; it will be read again next time", error)
    return arrays
