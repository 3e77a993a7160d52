"""The file of an asset library: one header, pixels and fonts one after another, and a JSON index at the end.

    bytes 0-15    b"DREAMOMNI-ASSETS"
    bytes 16-23   version, little-endian
    bytes 24-31   offset of the index
    bytes 32-39   bytes of the index; the file ends with it
    bytes 40-71   sha256 of the index, which is the digest of the library
    from 128      blobs, each aligned to 64 bytes

The blob of a thing is its levels from the largest (premultiplied RGBA; after it the weight plane where the
main colour can be chosen) and its outline as float32 pairs. That of a background is its levels in RGB, that
of a font its file. The index has the offset, size and sha256 of each blob, so that `check` finds damage.
"""

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from dreamomni.errors import DataError
from dreamomni.storage import atomic_path

MAGIC = b"DREAMOMNI-ASSETS"
VERSION = 1
SUFFIX = ".assets"
_HEADER = struct.Struct("<16sQQQ32s")
_BLOBS_AT = 128
_ALIGNMENT = 64


class LibraryWriter:
    """Writes the blobs of a library as they come, then its index."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._file.write(b"\0" * _BLOBS_AT)

    def blob(self, content: bytes) -> dict[str, Any]:
        """Write one blob and say where it lies, as the index wants it."""
        self._file.write(b"\0" * (-self._file.tell() % _ALIGNMENT))
        offset = self._file.tell()
        self._file.write(content)
        return {"offset": offset, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    def finish(self, index: Mapping[str, Any]) -> str:
        """Write the index and the header; return the digest."""
        packed = json.dumps(index, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()
        digest = hashlib.sha256(packed)
        offset = self._file.tell()
        self._file.write(packed)
        self._file.seek(0)
        self._file.write(_HEADER.pack(MAGIC, VERSION, offset, len(packed), digest.digest()))
        return digest.hexdigest()


@contextmanager
def write_library(path: str | Path) -> Iterator[LibraryWriter]:
    """Open a library for writing; the file is whole or absent.

    Raises:
        OutputError: The file cannot be written.
    """
    with atomic_path(path) as part, part.open("wb") as file:
        yield LibraryWriter(file)


def read_index(path: Path) -> tuple[dict[str, Any], str]:
    """Read the index of a library and its digest.

    Raises:
        DataError: The file is missing, foreign, cut short, damaged or of another version.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER.size)
            if len(head) < _HEADER.size or not head.startswith(MAGIC):
                raise DataError(
                    f"{path} is not an asset library; name a file that `dreamomni data assets build` wrote"
                )
            _, version, offset, size, digest = _HEADER.unpack(head)
            if version != VERSION:
                raise DataError(
                    f"the asset library {path} has version {version}, but this release reads {VERSION}; "
                    "build it again"
                )
            found = file.seek(0, 2)
            if found != offset + size:
                raise DataError(
                    f"the asset library {path} is cut short or has grown: it has {found:,} bytes, but its "
                    f"header says {offset + size:,}; build or copy it again"
                )
            file.seek(offset)
            packed = file.read(size)
    except FileNotFoundError:
        raise DataError(
            f"there is no asset library {path}; build one with `dreamomni data assets build`"
        ) from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder, not an asset library; name the file in it") from None
    except OSError as error:
        raise DataError(f"the asset library {path} cannot be read: {error.strerror or error}") from error
    if hashlib.sha256(packed).digest() != digest:
        raise DataError(
            f"the asset library {path} is damaged: its index differs from its sha256; build it again"
        )
    index = json.loads(packed)
    return index, digest.hex()
