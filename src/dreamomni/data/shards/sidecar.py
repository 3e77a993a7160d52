"""The parquet table beside each tar: where every sample lies, and what it is without decoding it."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dreamomni.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pyarrow as pa

COMPRESSION = "zstd"


def require_pyarrow() -> ModuleType:
    """Return pyarrow.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ConfigError(
            "shards need pyarrow for their tables of contents: pip install 'dreamomni[data]'"
        ) from None
    return pyarrow


@functools.cache
def schema() -> "pa.Schema":
    """Columns of the table. `offset` and `size` are bytes of the tar; boxes are x0, y0, x1, y1 in pixels."""
    pa = require_pyarrow()
    thing = pa.struct(
        [
            ("instance_id", pa.int32()),
            ("name", pa.string()),
            ("colour", pa.string()),
            ("kind", pa.string()),
            ("box", pa.list_(pa.int32(), 4)),
            ("area", pa.int64()),
            ("visibility", pa.float64()),
        ]
    )
    drag = pa.struct(
        [(axis, pa.float64()) for axis in ("x", "y", "dx", "dy")] + [("instance_id", pa.int32())]
    )
    return pa.schema(
        [
            ("key", pa.string()),
            ("index", pa.int64()),
            ("offset", pa.int64()),
            ("size", pa.int64()),
            ("task", pa.string()),
            ("kind", pa.string()),
            ("instruction", pa.string()),
            ("caption", pa.string()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("num_images", pa.int32()),
            ("objects", pa.list_(thing)),
            ("image_objects", pa.list_(pa.list_(thing))),
            ("drags", pa.list_(drag)),
            ("assets", pa.list_(pa.string())),
            ("licences", pa.list_(pa.string())),
        ]
    )


@functools.cache
def _names() -> tuple[str, ...]:
    return tuple(schema().names)


def row(facts: Mapping[str, Any], offset: int, size: int) -> dict[str, Any]:
    """The row of a sample, from its record (`members.record`) and its place in the tar, in bytes."""
    place = {"offset": offset, "size": size}
    return place | {name: facts[name] for name in _names() if name not in place}


def table_bytes(rows: Sequence[dict[str, Any]]) -> bytes:
    """The table of one tar as a parquet file; equal rows give equal bytes."""
    pa = require_pyarrow()
    buffer = pa.BufferOutputStream()
    table = pa.Table.from_pylist(list(rows), schema=schema())
    pa.parquet.write_table(table, buffer, compression=COMPRESSION)
    return bytes(buffer.getvalue())


def read_places(path: Path) -> list[tuple[int, int, int]]:
    """Return (index, offset, size) of every sample of a tar, in order.

    Raises:
        ConfigError: pyarrow is not installed.
        DataError: The table is missing or damaged.
    """
    table = _read(path, ["index", "offset", "size"])
    return list(zip(*(table[name].to_pylist() for name in ("index", "offset", "size")), strict=True))


def read_shapes(path: Path) -> list[dict[str, Any]]:
    """Return index, task, kind, width, height and num_images of every sample of a tar, in order.

    Raises:
        ConfigError: pyarrow is not installed.
        DataError: The table is missing or damaged.
    """
    return list(_read(path, ["index", "task", "kind", "width", "height", "num_images"]).to_pylist())


def _read(path: Path, columns: list[str]) -> "pa.Table":
    pa = require_pyarrow()
    try:
        return pa.parquet.read_table(path, columns=columns)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
