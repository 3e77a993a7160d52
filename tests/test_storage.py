import os
from pathlib import Path

import pytest

from dreamomni import storage
from dreamomni.errors import CheckpointError, OutputError


def test_a_file_arrives_whole_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deeper" / "value.json"
    storage.write_json(path, {"a": [1, 2]})
    assert path.read_text() == '{\n  "a": [\n    1,\n    2\n  ]\n}\n'
    storage.write_text(path, "again")
    assert path.read_text() == "again"
    assert [p.name for p in path.parent.iterdir()] == ["value.json"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failed_write_leaves_the_old_file_and_no_part(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "image.png"
    path.write_text("old")

    def write_and_fail() -> None:
        with storage.atomic_path(path) as part:
            assert part.suffix == ".png"
            part.write_text("half")
            raise error

    with pytest.raises(error):
        write_and_fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["image.png"]


def test_what_cannot_be_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"not a directory|file exists"):
        storage.write_text(tmp_path / "file" / "x.txt", "")
    with pytest.raises(OutputError, match="it is a folder"):
        storage.write_text(tmp_path, "")
    with pytest.raises(OutputError, match="cannot write"):
        storage.write_text("/proc/nowhere/x.txt", "")
    with pytest.raises(OutputError, match="too long"):
        storage.write_text(tmp_path / ("x" * 300), "")
    with pytest.raises(OutputError, match="no such file"), storage.atomic_path(tmp_path / "never"):
        pass  # the body forgot to write


def test_nan_is_not_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        storage.write_json(tmp_path / "x.json", float("nan"))
    assert not os.listdir(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.bin").write_bytes(b"abc")
    (tmp_path / "sub" / "b.bin").write_bytes(b"")
    storage.write_manifest(tmp_path, {"step": 3})
    return tmp_path


def test_a_manifest_lists_and_verifies(folder: Path) -> None:
    manifest = storage.verify_manifest(folder)
    assert manifest == storage.read_manifest(folder)
    assert manifest["step"] == 3
    assert sorted(manifest["files"]) == ["a.bin", "sub/b.bin"]
    assert manifest["files"]["a.bin"] == {"size": 3, "sha256": storage.sha256_file(folder / "a.bin")}
    assert storage.sha256_file(folder / "a.bin").startswith("ba7816bf")
    assert storage.write_manifest(folder, {"step": 3}) == manifest


@pytest.mark.parametrize(
    ("content", "words"), [(b"abd", "a.bin is damaged"), (b"abcd", "4 bytes"), (None, "missing")]
)
def test_a_damaged_file_is_named(folder: Path, content: bytes | None, words: str) -> None:
    (folder / "a.bin").unlink()
    if content is not None:
        (folder / "a.bin").write_bytes(content)
    with pytest.raises(CheckpointError, match=words) as caught:
        storage.verify_manifest(folder)
    assert "a.bin" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "never written to the end"),
        ("{", "damaged"),
        ("[]", "lists no files"),
        ("\x80", "damaged"),
        ('{"version": 9, "files": {}}', "version 9"),
    ],
)
def test_a_damaged_manifest_is_refused(folder: Path, text: str | None, words: str) -> None:
    path = folder / storage.MANIFEST_NAME
    path.unlink()
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match=words):
        storage.verify_manifest(folder)


def test_manifest_keys_are_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="taken"):
        storage.write_manifest(tmp_path, {"files": {}})
