"""--memory on the command line, and `dreamomni models plan`."""

from pathlib import Path

import pytest
from PIL import Image
from tiny_kontext import write_tiny_kontext

from dreamomni.cli.main import main


@pytest.fixture(scope="module")
def kontext_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_kontext(tmp_path_factory.mktemp("kontext"))


def test_plan_shows_every_mode_without_loading(kontext_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["models", "plan", str(kontext_dir), "--images", "2", "--size", "64x64"]
    assert main([*words, "--device-memory", "1kB"]) == 0
    assert capsys.readouterr().out.count("of 1.0 kB: does not fit") == 4
    assert main([*words, "--device-memory", "1GB"]) == 0
    out = capsys.readouterr().out
    for mode in ("full", "sequential", "offload", "quantized (int8)"):
        assert f": {mode} on cuda" in out
    assert "rewriter" in out
    assert "edit adapter" in out
    assert out.count("of 1.00 GB: fits") == 4


def test_sequential_on_the_command_line_gives_the_same_picture(
    kontext_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (64, 48), "teal").save(tmp_path / "in.png")
    made = []
    for mode in ("full", "sequential"):
        path = tmp_path / f"{mode}.png"
        words = ["edit", "make it red", "-i", str(tmp_path / "in.png"), "-o", str(path), "--steps", "2"]
        assert main([*words, "--model", str(kontext_dir), "--memory", mode, "--quiet"]) == 0
        made.append(Image.open(path).tobytes())
        told = capsys.readouterr().err
        assert f"memory plan of {kontext_dir}: {mode} on cpu" in told
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["--memory", "full", "--device-memory", "100kB"],
            "needs .* but cpu has 100.0 kB to give, and no other",
        ),
        (["--device-memory", "lots"], "'lots' is no amount of memory: say 24GB"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    tiny_model_dir: Path, tmp_path: Path, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["generate", "two red stars", "-o", str(tmp_path / "a.png"), "--model", str(tiny_model_dir)]
    assert main([*command, *words]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("dreamomni: error: ")
    assert "\n" not in error
    import re

    assert re.search(sentence, error)


def test_nothing_is_told_of_a_small_model_that_nobody_asked_about(
    tiny_model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "generate",
        "two red stars",
        "-o",
        str(tmp_path / "a.png"),
        "--model",
        str(tiny_model_dir),
        "--quiet",
    ]
    assert main(command) == 0
    assert "memory" not in capsys.readouterr().err


def test_impossible_numbers_are_refused(tiny_model_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "plan", str(tiny_model_dir), "--images", "-1"]) == 2
    assert "-1 images" in capsys.readouterr().err
