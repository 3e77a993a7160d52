"""The published layout of DreamOmni2 from the command line, with tiny random weights."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from coloured import coloured
from PIL import Image

from dreamomni.cli.main import main
from dreamomni.tasks.result import PNG_KEY


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    coloured(70, 52, 0).save("a.png")
    coloured(48, 64, 1).save("b.png")
    return tmp_path


def options(folder: Path) -> list[str]:
    return ["--model", str(folder), "--steps", "2", "--quiet", "-o", "out.png"]


def provenance() -> dict[str, object]:
    with Image.open("out.png") as image:
        return json.loads(image.text[PNG_KEY])


def test_an_edit_of_one_image_keeps_its_size_and_uses_the_base(
    here: Path, tiny_kontext_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["edit", "make the dog red", "-i", "a.png", *options(tiny_kontext_dir)]
    assert main(argv) == 0
    out, error = capsys.readouterr()
    assert out == "out.png\n"
    assert "not for commercial use" in error
    told = provenance()
    assert (told["size"], told["adapter"], told["model"]) == ("70x52", None, "kontext")
    assert told["licence"] == "FLUX.1 [dev] Non-Commercial License"
    assert (told["guidance_scale"], told["revised_prompt"]) == (3.5, None)
    first = Path("out.png").read_bytes()
    assert main(argv) == 0
    assert Path("out.png").read_bytes() == first


def test_an_edit_with_a_reference_uses_the_lora_and_asks_the_rewriter(
    here: Path, tiny_kontext_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["edit", "put the hat of image 2 on the dog", "-i", "a.png", "-i", "b.png"]
    argv += options(tiny_kontext_dir)
    assert main(argv) == 0
    told = provenance()
    assert told["adapter"] == "edit"
    # Random weights write no standard form, and the result says so.
    assert told["revised_prompt"] is None
    assert any("read as it stands" in sentence for sentence in told["warnings"])
    assert "read as it stands" in capsys.readouterr().err
    with_lora = np.asarray(Image.open("out.png"))
    assert main([*argv, "--no-rewrite"]) == 0
    assert not any("rewrit" in sentence for sentence in provenance()["warnings"])
    assert np.array_equal(np.asarray(Image.open("out.png")), with_lora)
    assert main([*argv, "--no-rewrite", "--adapter", "none"]) == 0
    assert provenance()["adapter"] is None
    assert not np.array_equal(np.asarray(Image.open("out.png")), with_lora)


def test_generation_from_words_and_from_subjects(here: Path, tiny_kontext_dir: Path) -> None:
    argv = ["generate", "a cat in the snow", "--size", "64x48", *options(tiny_kontext_dir)]
    assert main(argv) == 0
    assert (provenance()["size"], provenance()["adapter"]) == ("64x48", None)
    argv += ["--subject", "a.png", "b.png", "--no-rewrite"]
    assert main(argv) == 0
    assert (provenance()["task"], provenance()["adapter"]) == ("subject", "generate")


def test_the_base_may_lie_elsewhere(here: Path, tiny_kontext_dir: Path) -> None:
    Path("mine").mkdir()
    (Path("mine") / "edit_lora").symlink_to(tiny_kontext_dir / "edit_lora")
    argv = ["edit", "make the dog red", "-i", "a.png", *options(Path("mine"))]
    assert main([*argv, "--base-model", str(tiny_kontext_dir / "base"), "--adapter", "edit"]) == 0
    assert provenance()["adapter"] == "edit"


EDIT = ["edit", "make the dog red", "-i", "a.png"]
BAD = {
    "no image": (["edit", "make the dog red"], "required: -i"),
    "image 3 of 2": (["edit", "take the hat of image 3", "-i", "a.png", "-i", "b.png"], "image 3"),
    "unreadable among five": (
        [
            "edit",
            "mix them",
            *[word for name in ("a", "b", "no", "a", "b") for word in ("-i", f"{name}.png")],
        ],
        "of 5 input images, number 3: image 'no.png' does not exist",
    ),
    "too many tokens": (
        ["edit", "mix them", *["-i", "large.png"] * 20],
        "20 images and the result make",
    ),
    "empty words": (["generate", "", "--subject", "a.png"], "say in words"),
    "a drag": (["edit", "move it", "-i", "a.png", "--drag", "0.5,0.5,0.1,0"], "did not learn drag"),
    "image guidance": ([*EDIT, "--image-guidance", "2"], "no image guidance"),
    "no such lora": ([*EDIT, "--model", "base", "--adapter", "edit"], "no LoRA 'edit'"),
    "hub offline": ([*EDIT, "--model", "kontext"], "the model hub cannot be reached"),
    "no base": ([*EDIT, "--base-model", "nowhere"], "there is no base model 'nowhere'"),
    "options of another model": ([*EDIT, "--model", "mini", "--official"], "--official is for DreamOmni2"),
    "off the grid": (["generate", "a cat", "--size", "60x64"], "nearest is 64x64"),
}


def exit_code(argv: list[str]) -> int:
    try:
        return main(argv)
    except SystemExit as stop:  # argparse ends by itself
        return int(stop.code or 0)


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence(
    case: str, here: Path, tiny_kontext_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coloured(1024, 1024).save("large.png")
    Path("base").symlink_to(tiny_kontext_dir / "base")
    argv, words = BAD[case]
    if "--model" not in argv:
        argv = [*argv, "--model", str(tiny_kontext_dir)]
    assert exit_code([*argv, "-o", "out.png", "--quiet"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("dreamomni: error: ")
    assert error.count("\n") == 1
    assert words in error
    assert not Path("out.png").exists()


def test_twelve_images_are_served_with_a_warning(
    here: Path, tiny_kontext_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["edit", "mix them", *["-i", "b.png"] * 12, "--no-rewrite", *options(tiny_kontext_dir)]
    assert main(argv) == 0
    assert any("12 images came, but the model was trained with 1 to 5" in w for w in provenance()["warnings"])
    assert "warning: 12 images came" in capsys.readouterr().err


@pytest.mark.parametrize("family", ["ours", "kontext"])
def test_nothing_on_stderr_comes_from_another_library(
    family: str, here: Path, tiny_model_dir: Path, tiny_kontext_dir: Path
) -> None:
    folder = tiny_model_dir if family == "ours" else tiny_kontext_dir
    argv = ["generate", "a red star", "--size", "32x32", *options(folder)]
    ran = subprocess.run(
        [sys.executable, "-m", "dreamomni.cli.main", *argv],
        capture_output=True,
        text=True,
        check=True,
        timeout=250,
    )
    assert ran.stdout == "out.png\n"
    allowed = ("dreamomni: warning: ", "the base FLUX.1-Kontext-dev")
    assert [line for line in ran.stderr.splitlines() if not line.startswith(allowed)] == []


def test_our_own_models_import_nothing_of_kontext(here: Path, tiny_model_dir: Path) -> None:
    code = (
        "import sys; from dreamomni.inference.opening import open_pipeline; "
        f"open_pipeline({str(tiny_model_dir)!r}); "
        "print([m for m in sys.modules if 'inference.kontext' in m or 'clip.modeling' in m or '.t5.' in m])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=250
    )
    assert ran.stdout == "[]\n"
