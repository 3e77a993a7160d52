"""Files that are whole or absent: atomic writes, hashes, and a manifest written last. No torch."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dreamomni.errors import CheckpointError, OutputError

MANIFEST_NAME = "manifest.json"
MANIFEST_VERSION = 1


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it becomes `path`, on failure it is removed.

    The temporary file keeps the suffix, so that writers which choose a format by suffix work. Missing parent
    folders are made. The body must write the file itself.

    Raises:
        OutputError: The file or its folder cannot be written, with the reason of the operating system.
    """
    path = Path(path)
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        if path.is_dir():
            raise OutputError(f"cannot write {path}: it is a folder, so name a file in it")
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        sync(part)
        part.replace(path)
        sync(path.parent)
    except OSError as error:
        _remove(part)
        raise OutputError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from error
    except BaseException:  # Ctrl-C must not leave the half-written file behind either
        _remove(part)
        raise


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a whole file or none (see `atomic_path`)."""
    with atomic_path(path) as part:
        part.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Write text as UTF-8, a whole file or none."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | Path, value: Any) -> None:
    """Write indented JSON, a whole file or none; NaN and infinity, which JSON lacks, raise ValueError."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False) + "\n")


def sync(path: Path) -> None:
    """Ask the operating system to put a file or folder on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_file(path: str | Path) -> str:
    """Return the sha256 (hex) of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe_file(path: str | Path) -> dict[str, Any]:
    """Return what a manifest says of a file: its size and sha256."""
    return {"size": Path(path).stat().st_size, "sha256": sha256_file(path)}


def write_manifest(
    folder: str | Path, extra: Mapping[str, Any], known: Mapping[str, dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Write `manifest.json`: the size and sha256 of every file below `folder`, and `extra`. Call it last.

    Args:
        folder: The folder.
        extra: Further entries.
        known: What `describe_file` said of files, by path below `folder`, where their writers have asked it.

    Returns:
        What was written.
    """
    folder = Path(folder)
    names = [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / MANIFEST_NAME
    ]
    files = {name: (known or {}).get(name) or describe_file(folder / name) for name in names}
    clash = {"version", "files"} & set(extra)
    if clash:
        raise ValueError(f"the manifest keys {sorted(clash)} are taken")
    manifest = {"version": MANIFEST_VERSION, **extra, "files": files}
    write_json(folder / MANIFEST_NAME, manifest)
    return manifest


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """Return the manifest of a folder.

    Raises:
        CheckpointError: There is none (the folder was never finished), or it is damaged or of another
            version.
    """
    path = Path(folder) / MANIFEST_NAME
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{folder} has no {MANIFEST_NAME}: it was never written to the end") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise CheckpointError(f"{path} is damaged: it lists no files")
    if manifest.get("version") != MANIFEST_VERSION:
        raise CheckpointError(
            f"{path} has version {manifest.get('version')!r}, but this release reads {MANIFEST_VERSION}"
        )
    return manifest


def verify_manifest(folder: str | Path, *, share: tuple[int, int] = (0, 1)) -> dict[str, Any]:
    """Check every file that the manifest lists, and return the manifest.

    Args:
        folder: The folder.
        share: (number, count): hash only every `count`-th file from `number` on, where others hash the rest.

    Raises:
        CheckpointError: A listed file is missing or differs; the message names it.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    number, count = share
    for index, (name, expected) in enumerate(sorted(manifest["files"].items())):
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"{path} is missing, although the manifest lists it")
        size = path.stat().st_size
        if size != expected["size"]:
            raise CheckpointError(f"{path} has {size} bytes, but the manifest says {expected['size']}")
        if index % count == number and sha256_file(path) != expected["sha256"]:
            raise CheckpointError(f"{path} is damaged: its sha256 differs from the manifest's")
    return manifest


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # the parent is no folder, so there is nothing to remove
