"""`dreamomni data assets`: built, listed, drawn, checked and credited from the command line."""

import json
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from dreamomni.cli.main import main


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("stickers").mkdir()
    for name, colour in (("red_ball", "#de1c24"), ("cup", "#1e9f3c")):
        picture = Image.new("RGBA", (48, 48))
        ImageDraw.Draw(picture).ellipse((4, 4, 44, 44), fill=colour)
        picture.save(f"stickers/{name}.png")
    return tmp_path


def run(*words: str) -> int:
    return main(["data", "assets", *words])


BUILD = (
    "build",
    "stickers",
    "--out",
    "toys.assets",
    "--licence",
    "CC-BY-4.0",
    "--attribution",
    "Ann",
    "--quiet",
)


def test_build_list_check_and_attribution(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*BUILD, "--held-out", "0") == 0
    assert "toys.assets: 2 stickers; 0 of them held out" in capsys.readouterr().out
    assert run("list", "toys.assets") == 0
    assert "toys:cup  cup  sticker  green  41x41  CC-BY-4.0  train" in capsys.readouterr().out
    assert run("list", "toys.assets", "--json") == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["id"] for record in records] == ["toys:cup", "toys:red_ball"]
    assert run("list", "toys.assets", "--sheet", "sheet.png") == 0
    with Image.open("sheet.png") as sheet:
        pixels = sheet.convert("RGB").resize((64, 64), Image.Resampling.NEAREST).get_flattened_data()
        assert {(222, 28, 36), (30, 159, 60)} <= set(pixels)
    capsys.readouterr()
    assert run("check", "toys.assets", "--quiet") == 0
    assert "2 assets, all as they were built" in capsys.readouterr().out
    assert run("attribution", "toys.assets") == 0
    assert capsys.readouterr().out.startswith("CC-BY-4.0, Ann:\n  toys:cup (cup)\n")


def test_a_folder_as_out_and_samples_from_a_recipe(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*BUILD[:3], "libraries/", *BUILD[4:], "--held-out", "0") == 0
    assert Path("libraries/stickers.assets").is_file()
    recipe = ["assets=libraries/stickers.assets", "names=assets", "size=64x64", "mixture={single: 1}"]
    words = ["data", "sample", "photos", "--out", "drawn", "-n", "3"]
    assert main([*words, *(word for value in recipe for word in ("--set", value))]) == 0
    capsys.readouterr()
    assert run("attribution", "drawn", "--library", "libraries/stickers.assets") == 0
    assert "CC-BY-4.0, Ann:" in capsys.readouterr().out
    assert run("attribution", "drawn") == 2
    assert "library 'stickers' with --library" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["build", "none", "--out", "x.assets"], "no file or folder none"),
        (
            ["build", "stickers", "--out", "x.assets", "--quiet"],
            "nobody says the licence of stickers/cup.png",
        ),
        ([*BUILD[:5], "Free", "--quiet"], "the licence 'Free' of --licence is not known to SPDX"),
        ([*BUILD, "--held-out", "2"], "held-out part of a library must be 0 to 1"),
        ([*BUILD, "--min-size", "900"], "smallest size of things must be 1 to 512 px, not 900"),
        ([*BUILD, "--max-size", "5"], "16 to 4096 px"),
        ([*BUILD, "--images", "x"], "no source is a COCO or LVIS file"),
        ([*BUILD, "--kind", "font"], "holds nothing to build fonts from"),
        (["list", "stickers"], "is a folder, not an asset library"),
        (["check", "stickers/cup.png"], "is not an asset library"),
        (["attribution", "stickers"], "neither an asset library nor a folder of samples"),
    ],
)
def test_mistakes_are_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], reason: str
) -> None:
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
    assert not list(here.glob("*.assets"))


def test_check_finds_damage(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*BUILD) == 0
    content = bytearray(Path("toys.assets").read_bytes())
    content[300] ^= 1
    Path("toys.assets").write_bytes(content)
    assert run("check", "toys.assets", "--quiet") == 2
    assert "toys.assets is damaged at 'cup'" in capsys.readouterr().err
