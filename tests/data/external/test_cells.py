from pathlib import Path

import pytest

from dreamomni.data.external.cells import Window, open_picture, pictures_in, read_picture, words_in
from dreamomni.errors import DataError

FOLDER = Path("/data")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, []),
        ("", []),
        ("a/b.png", [FOLDER / "a/b.png"]),
        ("../b.png", [FOLDER / "../b.png"]),
        ("/elsewhere/b.png", [Path("/elsewhere/b.png")]),
        (b"png", [b"png"]),
        ({"bytes": b"png", "path": "b.png"}, [b"png"]),
        ({"bytes": None, "path": "b.png"}, [FOLDER / "b.png"]),
        ({"bytes": None, "path": None}, []),
        (["a.png", {"bytes": b"x", "path": None}], [FOLDER / "a.png", b"x"]),
        ('["a.png", "b.png"]', [FOLDER / "a.png", FOLDER / "b.png"]),
        ("[1].png", [FOLDER / "[1].png"]),
    ],
)
def test_pictures(value: object, expected: list[object]) -> None:
    assert pictures_in(value, FOLDER) == expected


def test_what_is_no_picture() -> None:
    with pytest.raises(DataError, match="holds 7, which is no picture"):
        pictures_in(7, FOLDER)
    with pytest.raises(DataError, match=r"the address 'https://x/y\.png': download"):
        pictures_in("https://x/y.png", FOLDER)


def test_words() -> None:
    assert words_in("  a cat \n", "k") == "a cat"
    assert words_in(b"a cat", "k") == "a cat"
    assert words_in(None, "k") == words_in([], "k") == words_in([" "], "k") == ""
    with pytest.raises(DataError, match="no UTF-8"):
        words_in(b"\xff", "k")
    with pytest.raises(DataError, match="holds 3, which is no text"):
        words_in(3, "k")


def test_one_of_several_prompts_is_chosen_by_the_row() -> None:
    prompts = ["a", "b", " ", "c"]
    chosen = [words_in(prompts, f"row {number}") for number in range(300)]
    assert chosen == [words_in(prompts, f"row {number}") for number in range(300)]
    assert all(70 < chosen.count(prompt) < 130 for prompt in "abc")


def test_bytes_of_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"0123456789")
    assert read_picture(path) == b"0123456789"
    assert read_picture(Window(path, 2, 3)) == b"234"
    with open_picture(Window(path, 2, 3)) as file:
        assert file.read() == b"234"
    with pytest.raises(DataError, match="is cut short: it ends before byte 12"):
        read_picture(Window(path, 2, 10))
    with pytest.raises(DataError, match=r"y does not exist"):
        open_picture(tmp_path / "y")
    with pytest.raises(DataError, match="cannot be read: is a directory"):
        read_picture(tmp_path)
