import subprocess
import sys
import time
from pathlib import Path

import pytest

from dreamomni.cli.main import main
from dreamomni.errors import RequestError

VERBS = ("generate", "edit", "segment", "detect", "control", "demo", "info", "train", "data", "evaluate")


def test_help_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'diffusers', 'transformers', 'numpy', 'PIL', 'pydantic', 'cv2'}"
    code = (
        "import sys; from dreamomni.cli.main import build_parser; build_parser().format_help(); "
        f"sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
    )
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert time.perf_counter() - started < 5  # a second on an idle machine; the suite runs on a busy one


@pytest.mark.parametrize("argv", [["--help"], *([verb, "--help"] for verb in VERBS), ["--version"]])
def test_help_and_version_end_well(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 0
    assert "dreamomni" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["paint"],
        ["generate"],
        ["generate", "a red star"],
        ["generate", "a red star", "-o", "out.png", "--steps", "many"],
        ["edit", "remove the star", "-o", "out.png"],
        ["edit", "-i", "in.png", "-o", "out.png", "--drag", "0.5,0.5"],
        ["edit", "-i", "in.png", "-o", "out.png", "--outpaint", "16"],
        ["edit", "-i", "in.png", "-o", "out.png", "--outpaint", "1.5,0,0,0"],
        ["edit", "a star", "-i", "in.png", "-o", "out.png", "--mask", "m.png", "--outpaint", "1,0,0,0"],
        ["generate", "a star", "-o", "out.png", "--control", "edges", "--image", "in.png"],
        ["generate", "a star", "-o", "out.png", "--control", "canny", "--subject", "in.png"],
        ["segment", "the star", "-o", "out.png"],
        ["control", "in.png"],
        ["data"],
        ["data", "sample", "mini-world", "--out", "x", "-n", "0"],
        ["evaluate", "world"],
    ],
)
def test_wrong_arguments_are_one_line_and_exit_2(
    argv: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("dreamomni: error: ")
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def _verb_that_raises(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def run(args: object) -> int:
        raise error

    monkeypatch.setattr("dreamomni.cli.info.run", run)


def test_errors_of_ours_are_one_line_and_exit_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _verb_that_raises(monkeypatch, RequestError("the size is\n wrong"))
    assert main(["info", "mini"]) == 2
    assert capsys.readouterr().err == "dreamomni: error: the size is wrong\n"


def test_an_interrupt_is_one_line_and_exit_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _verb_that_raises(monkeypatch, KeyboardInterrupt())
    assert main(["info", "mini"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_mistakes_of_ours_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    _verb_that_raises(monkeypatch, AssertionError("a bug"))
    with pytest.raises(AssertionError, match="a bug"):
        main(["info", "mini"])
