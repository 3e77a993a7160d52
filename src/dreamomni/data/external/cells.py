"""What stands in one cell of a row: pictures as paths or bytes, and words."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from dreamomni.errors import DataError
from dreamomni.seeding import derive_seed

PICTURE_SUFFIXES = ("png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff", "heic", "avif", "jxl")
"""Endings of picture files; those that the loader does not read are refused by it, with a reason."""


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a file, in bytes."""

    path: Path
    offset: int
    size: int


Picture = Path | Window | bytes
"""Where the bytes of an image file are."""


def pictures_in(value: Any, folder: Path) -> list[Picture]:
    """The pictures of a cell: a path, bytes, what Hugging Face stores (bytes and path), or a list of these.

    Args:
        value: Content of the cell.
        folder: What relative paths start from.

    Raises:
        DataError: It is something else, or an address on the net.
    """
    if value is None or value == "":
        return []
    if isinstance(value, Window | Path):
        return [value]
    if isinstance(value, bytes | bytearray | memoryview):
        return [bytes(value)]
    if isinstance(value, dict) and {"bytes", "path"} & set(value):
        return pictures_in(value.get("bytes") or value.get("path"), folder)
    if isinstance(value, list | tuple):
        return [picture for item in value for picture in pictures_in(item, folder)]
    if isinstance(value, str) and value.startswith("["):
        try:
            return pictures_in(json.loads(value), folder)
        except ValueError:
            pass  # a path may begin with a bracket
    if isinstance(value, str):
        if value.startswith(("http://", "https://", "s3://", "gs://", "hf://")):
            raise DataError(f"holds the address {_short(value)}: download the pictures first")
        return [folder / value]
    raise DataError(f"holds {_short(value)}, which is no picture: a path or the bytes of an image file is")


def words_in(value: Any, key: str) -> str:
    """The words of a cell; of a list, one is chosen by `key`.

    Raises:
        DataError: It holds no text.
    """
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError:
            raise DataError("holds bytes that are no UTF-8 text") from None
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, Sequence) and all(isinstance(item, str) for item in value):
        choices = [item.strip() for item in value if item.strip()]
        return choices[derive_seed(0, "words", key) % len(choices)] if choices else ""
    if value is None:
        return ""
    raise DataError(f"holds {_short(value)}, which is no text")


def open_picture(picture: Picture) -> BinaryIO:
    """Open the bytes of a picture for reading, at the beginning.

    Raises:
        DataError: The file is missing or cannot be read.
    """
    if isinstance(picture, Path):
        try:
            return picture.open("rb")
        except (OSError, ValueError) as error:
            raise DataError(_unreadable(picture, error)) from None

    return io.BytesIO(read_picture(picture))


def read_picture(picture: Picture) -> bytes:
    """All bytes of a picture.

    Raises:
        DataError: The file is missing, cannot be read, or ends too early.
    """
    if isinstance(picture, bytes):
        return picture
    path = picture if isinstance(picture, Path) else picture.path
    try:
        if isinstance(picture, Path):
            return picture.read_bytes()
        with picture.path.open("rb") as file:
            file.seek(picture.offset)
            content = file.read(picture.size)
    except (OSError, ValueError) as error:
        raise DataError(_unreadable(path, error)) from None
    if len(content) < picture.size:
        raise DataError(f"{path} is cut short: it ends before byte {picture.offset + picture.size:,}")
    return content


def _unreadable(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path} does not exist"
    return f"{path} cannot be read: {(getattr(error, 'strerror', None) or str(error)).lower()}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
