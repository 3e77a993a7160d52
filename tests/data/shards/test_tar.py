import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamomni.data.shards import tar
from dreamomni.errors import DataError

names = st.from_regex(r"[a-z0-9_-]{1,30}\.[a-z0-9.]{1,20}", fullmatch=True)


def archive(files: dict[str, bytes]) -> bytes:
    return b"".join(tar.member(name, content) for name, content in files.items()) + tar.END


@given(st.dictionaries(names, st.binary(max_size=2000), max_size=5))
def test_the_standard_library_and_we_read_the_same(files: dict[str, bytes]) -> None:
    content = archive(files)
    assert len(content) % tar.BLOCK == 0
    with tarfile.open(fileobj=io.BytesIO(content)) as found:
        read = {info.name: found.extractfile(info).read() for info in found}  # type: ignore[union-attr]
        assert all(info.mtime == info.uid == info.gid == 0 and info.mode == 0o644 for info in found)
    assert read == files
    assert dict(tar.iterate_members(io.BytesIO(content), "x")) == files


def test_tars_of_the_standard_library_are_read() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as written:
        info = tarfile.TarInfo("a.txt")
        info.size, info.mtime = 5, 1_700_000_000
        written.addfile(info, io.BytesIO(b"hello"))
    buffer.seek(0)
    assert list(tar.iterate_members(buffer, "x")) == [("a.txt", b"hello")]


@pytest.mark.parametrize("name", ["key", ".txt", "a b.txt", "a" * 97 + ".txt", "ä.txt", "../a.txt"])
def test_names_that_no_shard_may_hold_are_refused(name: str) -> None:
    with pytest.raises(DataError, match="cannot name a member"):
        tar.member(name, b"")


def test_damage_is_noticed() -> None:
    content = archive({"a.txt": b"x" * 700, "b.txt": b"y"})

    def read(damaged: bytes) -> None:
        list(tar.iterate_members(io.BytesIO(damaged), "a.tar"))

    read(content)
    with pytest.raises(DataError, match=r"a\.tar is cut short"):
        read(content[:900])
    with pytest.raises(DataError, match="checksum"):
        read(content[:3] + b"!" + content[4:])
    with pytest.raises(DataError, match="no tar header"):
        read(b"z" * 1024)
    with pytest.raises(DataError, match="no tar header"):
        read(content[: 3 * tar.BLOCK + 100])
