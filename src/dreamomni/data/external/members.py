"""Rows made of loose files with names in common, in a folder or in tars (the layout of webdataset)."""

import hashlib
import json
import logging
import os
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from dreamomni.data.external.cache import Arrays, cached, stamp_of
from dreamomni.data.external.cells import PICTURE_SUFFIXES, Window, read_picture
from dreamomni.data.external.conventions import is_role
from dreamomni.data.external.rows import Row
from dreamomni.errors import DataError

log = logging.getLogger(__name__)

_WORDS = ("txt", "caption", "text", "prompt", "instruction")
_KEPT = (*PICTURE_SUFFIXES, *_WORDS, "json")
Place = Path | Window


def assemble(members: Mapping[str, Place]) -> Row:
    """Make a row of the files of one sample.

    Args:
        members: Files by the rest of their names after the key: `jpg`, `source.png`, `txt`, `json`.

    Raises:
        DataError: A text or JSON file cannot be read.
    """
    row: dict[str, Any] = {}
    record: dict[str, Any] = {}
    for member, place in members.items():
        stem, dot, suffix = member.rpartition(".")
        column = stem if dot else suffix
        if suffix in PICTURE_SUFFIXES:
            row[column] = place
        elif suffix == "json":
            record |= _read_record(place, member)
        else:
            row[column] = _read_words(place, member)
    return {**record, **row}


def _read_words(place: Place, member: str) -> str:
    try:
        return read_picture(place).decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise DataError(f"has a file {member} that is no UTF-8 text") from None


def _read_record(place: Place, member: str) -> dict[str, Any]:
    try:
        value = json.loads(read_picture(place))
    except ValueError as error:
        raise DataError(f"has a file {member} that is not JSON: {error}") from None
    return value if isinstance(value, dict) else {}


class FolderRows:
    """A folder of loose files.

    `cat.jpg` with `cat.txt` is one row; so are `7.source.png`, `7.target.png` and `7.txt`, and so are
    `source/7.png`, `target/7.png` and `prompt/7.txt`. Files of other kinds are not read.

    Args:
        folder: It and all folders below.
    """

    def __init__(self, folder: Path) -> None:
        self.path = self.folder = folder
        rows: dict[str, dict[str, Path]] = {}
        listing = []
        for path in _walk(folder):
            relative = PurePosixPath(path.relative_to(folder).as_posix())
            named = _name_in_folder(relative)
            if named is not None:
                key, member = named
                if member in rows.setdefault(key, {}):
                    raise DataError(f"{rows[key][member]} and {path} are both the {member} of sample {key!r}")
                rows[key][member] = path
                stat = path.stat()
                listing.append([str(relative), stat.st_size, stat.st_mtime_ns])
        bare = [key for key, members in rows.items() if not _has_picture(members)]
        if bare:
            log.warning("%s: %d texts have no picture, such as %r", folder, len(bare), bare[0])
        self._rows = sorted((key, members) for key, members in rows.items() if _has_picture(members))
        self.stamp = {
            "path": str(folder.resolve()),
            "listing": hashlib.sha256(json.dumps(listing).encode()).hexdigest(),
        }
        names = json.dumps([item[:2] for item in listing])
        self.digest = hashlib.sha256(names.encode()).hexdigest()

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, index: int) -> Row:
        """Gather the files of one sample."""
        return assemble(self._rows[index][1])

    def place(self, index: int) -> str:
        """Name the sample."""
        return f"{self.path}, sample {self._rows[index][0]!r}"

    def key(self, index: int) -> str:
        """Name of the sample in the folder."""
        return self._rows[index][0]


class TarRows:
    """The samples of one tar, found by an index of its members that is made once.

    Args:
        path: An uncompressed tar, as webdataset and img2dataset write them.

    Raises:
        DataError: It is damaged or compressed, or a member comes twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path.parent
        self.stamp = stamp_of(path)
        arrays = cached("tar", self.stamp, self._scan)
        self._keys, self._names = arrays["keys"], arrays["names"]
        self._starts, self._codes, self._places = arrays["starts"], arrays["codes"], arrays["places"]
        self.digest = str(arrays["digest"])

    def __len__(self) -> int:
        return len(self._keys)

    def row(self, index: int) -> Row:
        """Gather the members of one sample."""
        members = range(int(self._starts[index]), int(self._starts[index + 1]))
        return assemble(
            {
                str(self._names[self._codes[member]]): Window(self.path, *map(int, self._places[member]))
                for member in members
            }
        )

    def place(self, index: int) -> str:
        """Name the sample."""
        return f"{self.path}, sample {str(self._keys[index])!r}"

    def key(self, index: int) -> str:
        """Name of the sample in the tar."""
        return str(self._keys[index])

    def _scan(self) -> Arrays:
        rows: dict[str, dict[str, tuple[int, int]]] = {}
        digest = hashlib.sha256()
        try:
            with tarfile.open(self.path, "r:") as tar:
                for info in tar:
                    digest.update(f"{info.name} {info.size} {info.offset_data}\n".encode())
                    folder, _, base = info.name.rpartition("/")
                    key, dot, member = base.partition(".")
                    if not info.isfile() or not dot or member.lower().rpartition(".")[2] not in _KEPT:
                        continue
                    members = rows.setdefault(f"{folder}/{key}" if folder else key, {})
                    if member.lower() in members:
                        raise DataError(f"{self.path} has the member {info.name} twice")
                    members[member.lower()] = (info.offset_data, info.size)
        except tarfile.ReadError as error:
            raise DataError(
                f"{self.path} is no plain tar, or is cut short ({error}); unpack a .tar.gz"
            ) from None
        names = sorted({name for members in rows.values() for name in members})
        codes = {name: code for code, name in enumerate(names)}
        flat = [(codes[name], place) for members in rows.values() for name, place in members.items()]
        return {
            "keys": np.array(list(rows), dtype=np.str_),
            "names": np.array(names, dtype=np.str_),
            "starts": np.cumsum([0, *(len(members) for members in rows.values())]),
            "codes": np.array([code for code, _ in flat], np.int32),
            "places": np.array([place for _, place in flat], np.int64).reshape(-1, 2),
            "digest": np.array(digest.hexdigest()),
        }


def _walk(folder: Path) -> Iterable[Path]:
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(parent) / name


def _name_in_folder(path: PurePosixPath) -> tuple[str, str] | None:
    """Split a relative path into the key of its sample and the rest of its name; None for other files."""
    suffix = path.suffix[1:].lower()
    if suffix not in _KEPT:
        return None
    folder, stem = path.parent, path.stem
    first = folder.parts[0].lower() if folder.parts else ""
    if is_role(first):
        key = PurePosixPath(*folder.parts[1:], stem).as_posix()
        # The words of `target/7.txt` are those of sample 7, whatever the folder is called.
        return key, f"{first}.{suffix}" if suffix in PICTURE_SUFFIXES or first in _WORDS else suffix
    middle = PurePosixPath(stem).suffix[1:].lower()
    if middle and is_role(middle):
        return (folder / PurePosixPath(stem).stem).as_posix(), f"{middle}.{suffix}"
    return (folder / stem).as_posix(), suffix


def _has_picture(members: Mapping[str, Path]) -> bool:
    return any(member.rpartition(".")[2] in PICTURE_SUFFIXES for member in members)
