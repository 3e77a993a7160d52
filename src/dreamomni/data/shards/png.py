"""PNG files whose bytes depend on their pixels alone, made fast.

Collages are flat: from one row to the next hardly anything changes. So every row but the first is stored as
its difference from the one above, and deflate looks for runs of one value only (zlib's strategy `Z_RLE`).
That strategy keeps no table of what it has seen: nothing but the input can decide its bytes, and zlib and
zlib-ng write the same ones. zlib-ng is taken where it is installed, because it is twice as fast
(docs/log/2026-11-22-png-by-runs.md).

A picture is cut into bands of rows that are compressed each by itself. Bands that equal those of another
picture of the sample, and bands without any change, are not compressed again. That changes no byte either.
"""

import functools
import hashlib
import struct
import zlib as _zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

BAND_BYTES = 200_000
"""Bytes that are compressed together, about; fewer cost time for each band, more leave less in common."""
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB = 0, 2
_SUB, _UP = 1, 2
_RAW, _MEMORY_LEVEL, _LEVEL = -15, 8, 1
_STREAM_START, _STREAM_END = b"\x78\x01", b"\x03\x00"
_ADLER = 65521
_FINGERPRINT_LETTERS = 12


def _load_deflate() -> Any:
    try:
        from zlib_ng import zlib_ng
    except ImportError:
        return _zlib
    return zlib_ng


_deflate: Any = _load_deflate()


@dataclass(frozen=True, slots=True)
class _Band:
    """Some rows, compressed, with the checksum and the number of the bytes that they were."""

    content: bytes
    adler: int
    size: int


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a picture (H, bytes of a row) as PNG counts them, and what its header says of them."""

    values: Pixels
    width: int
    depth: int
    colour: int

    @property
    def step(self) -> int:
        """Bytes from a pixel to the next."""
        return 3 if self.colour == _RGB else 1


@functools.cache
def fingerprint() -> str:
    """Tell the encoder by what it makes: a short hash of the file of one fixed picture."""
    y, x = np.mgrid[:300, :160].astype(np.int64)
    noise = (x * 40503 + y * 30011) % 65521 % 251
    pixels = np.stack([x + y, np.where((x // 24 + y // 40) % 3 == 0, noise, 200), y // 5 * 9], axis=2)
    content = encode_png((pixels % 256).astype(np.uint8))
    return hashlib.sha256(content).hexdigest()[:_FINGERPRINT_LETTERS]


def encode_png(pixels: Pixels) -> bytes:
    """Encode 8-bit pixels without loss.

    Args:
        pixels: (H, W, 3) or (H, W) uint8.
    """
    return encode_pngs([pixels])[0]


def encode_pngs(pictures: Sequence[Pixels]) -> list[bytes]:
    """Encode pictures that look alike: the files are those of `encode_png`, made in less time.

    Args:
        pictures: (H, W, 3) or (H, W) uint8 each.
    """
    made: dict[tuple[int, ...], tuple[Pixels, list[_Band]]] = {}
    files = []
    for pixels in pictures:
        height, width = pixels.shape[:2]
        values = np.ascontiguousarray(pixels).reshape(height, -1)
        rows = _Rows(values, width, 8, _RGB if pixels.ndim == 3 else _GREY)
        bands = _bands(rows, made.get(pixels.shape))
        made.setdefault(pixels.shape, (values, bands))
        files.append(_file(rows, bands))
    return files


def encode_bits(bits: Pixels) -> bytes:
    """Encode a picture of one bit a pixel.

    Args:
        bits: (H, W) uint8; what is not 0 is white.
    """
    rows = _Rows(np.packbits(bits, axis=1), bits.shape[1], 1, _GREY)
    return _file(rows, _bands(rows, None))


def _bands(rows: _Rows, like: tuple[Pixels, list[_Band]] | None) -> list[_Band]:
    """Compress every band, but take from a picture that is `like` this one what they have in common."""
    values = rows.values
    height, length = values.shape
    step = -(-height // -(-height * (length + 1) // BAND_BYTES))
    filtered = np.empty((step, length + 1), np.uint8)
    bands = []
    for number, top in enumerate(range(0, height, step)):
        end = min(top + step, height)
        above = max(top - 1, 0)
        if like is not None and _equal(values[above:end], like[0][above:end]):
            bands.append(like[1][number])
            continue
        if top and _equal(values[top:end], values[top - 1 : end - 1]):
            bands.append(_unchanged(end - top, length))
            continue
        part = filtered[: end - top]
        part[:, 0] = _UP
        if top:
            np.subtract(values[top:end], values[top - 1 : end - 1], out=part[:, 1:])
        else:
            part[0, 0] = _SUB
            part[0, 1 : 1 + rows.step] = values[0, : rows.step]
            np.subtract(values[0, rows.step :], values[0, : -rows.step], out=part[0, 1 + rows.step :])
            np.subtract(values[1:end], values[: end - 1], out=part[1:, 1:])
        bands.append(_compressed(part))
    return bands


def _equal(these: Pixels, those: Pixels) -> bool:
    # What differs mostly does so in the middle row, which is looked up sooner than everything.
    middle = slice(len(these) // 2, len(these) // 2 + 1)
    if cv2.norm(these[middle], those[middle], cv2.NORM_INF) != 0:
        return False
    return bool(cv2.norm(these, those, cv2.NORM_INF) == 0)


@functools.lru_cache(maxsize=256)
def _unchanged(height: int, length: int) -> _Band:
    """Rows that all equal the one above."""
    filtered = np.zeros((height, length + 1), np.uint8)
    filtered[:, 0] = _UP
    return _compressed(filtered)


def _compressed(filtered: Pixels) -> _Band:
    stream = _deflate.compressobj(_LEVEL, _zlib.DEFLATED, _RAW, _MEMORY_LEVEL, _zlib.Z_RLE)
    # Ended at a whole byte, but not the last of its stream, and with no look back: bands follow each other.
    content = stream.compress(filtered.data) + stream.flush(_zlib.Z_SYNC_FLUSH)
    return _Band(content, _deflate.adler32(filtered.data), filtered.size)


def _file(rows: _Rows, bands: Sequence[_Band]) -> bytes:
    height = len(rows.values)
    checksum = struct.pack(">I", _joined_adler(bands))
    body = (_STREAM_START, *(band.content for band in bands), _STREAM_END, checksum)
    head = _head(rows.width, height, rows.depth, rows.colour)
    return b"".join((head, *_chunk(b"IDAT", *body), _END))


@functools.lru_cache(maxsize=1024)
def _head(width: int, height: int, depth: int, colour: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"".join((_SIGNATURE, *_chunk(b"IHDR", header)))


def _joined_adler(bands: Sequence[_Band]) -> int:
    """Adler-32 of all bands: `low` is one more than the sum of the bytes, `high` the sum of all lows."""
    low, high = 1, 0
    for band in bands:
        high = (high + (band.adler >> 16) + band.size * (low - 1)) % _ADLER
        low = (low + (band.adler & 0xFFFF) - 1) % _ADLER
    return high << 16 | low


def _chunk(name: bytes, *content: bytes) -> tuple[bytes, ...]:
    checksum = _zlib.crc32(name)
    for part in content:
        checksum = _deflate.crc32(part, checksum)
    return struct.pack(">I", sum(map(len, content))), name, *content, struct.pack(">I", checksum)


_END = b"".join(_chunk(b"IEND"))
