"""Tar archives whose bytes depend on their members alone: plain ustar headers, no owner, no time.

Written by hand, because the standard library's headers cost five times as much per member.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

from dreamomni.errors import DataError

BLOCK = 512
END = bytes(2 * BLOCK)
"""What an archive ends with."""
_MAX_NAME = 100
_MAX_SIZE = 8 * 1024**3 - 1
_CHECKSUM = slice(148, 156)
# A header is: name, these, size in octal, these, checksum, these.
_OWNER = b"0000644\0" + b"0000000\0" * 2
_TIME = b"\0" + b"00000000000\0"
_REST = (b"0" + bytes(100) + b"ustar\0" + b"00" + bytes(64) + b"0000000\0" * 2).ljust(BLOCK - 156, b"\0")
_CHECKSUM_OF_REST = sum(_OWNER) + sum(_TIME) + sum(b" " * 8) + sum(_REST)
_NAME = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_.]+", re.ASCII)


def member(name: str, content: bytes) -> bytes:
    """Return one member: header, content, padding.

    Args:
        name: `<key>.<member>`, at most 100 ASCII letters; the key has no dot.
        content: Less than 8 GiB.

    Raises:
        DataError: The name or the size does not fit into a header.
    """
    if len(name) > _MAX_NAME or not _NAME.fullmatch(name):
        raise DataError(f"{name!r} cannot name a member of a shard: it must look like key.member")
    if len(content) > _MAX_SIZE:
        raise DataError(f"{name} has {len(content):,} bytes; a member of a tar holds {_MAX_SIZE:,}")
    letters, size = name.encode("ascii"), b"%011o" % len(content)
    checksum = b"%06o\0 " % (_CHECKSUM_OF_REST + sum(letters) + sum(size))
    header = (letters.ljust(_MAX_NAME, b"\0"), _OWNER, size, _TIME, checksum, _REST)
    return b"".join((*header, content, bytes(-len(content) % BLOCK)))


def iterate_members(file: BinaryIO, name: str) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of plain files from where `file` stands to the end of the archive.

    Args:
        file: Open for reading; also a slice of an archive without its end.
        name: Of the archive, for messages.

    Raises:
        DataError: A header is damaged, or the archive ends in the middle of a member.
    """
    while header := file.read(BLOCK):
        if header.count(0) == BLOCK:
            return
        if len(header) < BLOCK or header[257:262] != b"ustar":
            raise DataError(f"{name} is damaged: there is no tar header where a member should begin")
        checksum = sum(header[:148]) + 8 * 32 + sum(header[156:])
        try:
            size, expected = int(header[124:135], 8), int(header[_CHECKSUM].rstrip(b"\0 "), 8)
        except ValueError:
            raise DataError(f"{name} is damaged: a tar header is not readable") from None
        if checksum != expected:
            raise DataError(f"{name} is damaged: the checksum of a tar header is wrong")
        content = file.read(size)
        padding = file.read(-size % BLOCK)
        if len(content) < size or len(padding) < -size % BLOCK:
            raise DataError(f"{name} is cut short: its last member has {len(content)} of {size} bytes")
        if header[156:157] in (b"0", b"\0"):
            yield header[:100].rstrip(b"\0").decode("ascii", "replace"), content
