"""Every task from the command line, by a tiny model whose card lists all of them."""

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from dreamomni.cli.main import main
from dreamomni.tasks.request import parse_request


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with pictures and masks."""
    monkeypatch.chdir(tmp_path)
    draws = np.random.default_rng(0)
    for name, size in (("in.png", (40, 48)), ("ref.png", (33, 20))):
        Image.fromarray(draws.integers(0, 256, (*size, 3), dtype=np.uint8)).save(name)
    mask = np.zeros((40, 48), np.uint8)
    mask[:, 24:] = 255
    Image.fromarray(mask).save("mask.png")
    Image.fromarray(mask.T.copy()).save("turned.png")
    Image.new("L", (48, 40)).save("black.png")
    Path("folder").mkdir()
    return tmp_path


def pixels(name: str) -> np.ndarray:
    with Image.open(name) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def texts(name: str) -> dict[str, Any]:
    with Image.open(name) as image:
        return {key.removeprefix("dreamomni."): json.loads(text) for key, text in image.text.items()}  # type: ignore[attr-defined]


GENERATE = ["generate", "a red star", "-o", "out.png"]
PICTURE = ["-i", "in.png", "-o", "out.png"]
EDIT = ["edit", "a red star", *PICTURE]
SEGMENT = ["segment", "the star", *PICTURE]
DETECT = ["detect", "all stars", *PICTURE]
CONTROL = ["control", "in.png", "-o", "map.png"]
GOOD: dict[str, tuple[list[str], tuple[int, int]]] = {
    "text_to_image": (GENERATE, (32, 32)),
    "control": ([*GENERATE, "--control", "canny", "--image", "in.png"], (48, 40)),
    "subject": ([*GENERATE, "--subject", "in.png", "ref.png", "--size", "48x32"], (48, 32)),
    "edit": ([*EDIT, "-i", "ref.png"], (48, 40)),
    "edit within": ([*EDIT, "--within", "mask.png"], (48, 40)),
    "inpaint": ([*EDIT, "--mask", "mask.png"], (48, 40)),
    "outpaint": (["edit", *PICTURE, "--outpaint", "8,0,0,4"], (56, 44)),
    "drag": (["edit", *PICTURE, "--drag", "0.5,0.5,0.2,0", "0.1,0.1,0,-0.1"], (48, 40)),
    "segment": ([*SEGMENT, "--save-mask", "m.png"], (48, 40)),
    "detect": ([*DETECT, "--save-boxes", "b.json"], (48, 40)),
}


@pytest.mark.parametrize("case", GOOD)
def test_every_task_has_a_command(
    case: str, here: Path, every_task_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv, size = GOOD[case]
    assert main([*argv, "--model", str(every_task_dir), "--quiet", "--steps", "2"]) == 0
    printed = capsys.readouterr().out.split()
    assert printed[0] == "out.png"
    with Image.open("out.png") as image:
        assert image.size == size
    written = texts("out.png")
    task = case.split()[0]
    assert written["request"]["task"] == written["provenance"]["task"] == task
    # The request inside names no file, and is whole but for the pictures themselves.
    assert not re.search(r"(in|ref|mask)\.png", json.dumps(written))
    assert parse_request(written["request"]).task == task
    if case in ("inpaint", "edit within"):
        assert (pixels("out.png")[:, :24] == pixels("in.png")[:, :24]).all()
    if case == "outpaint":
        assert (pixels("out.png")[:40, 8:] == pixels("in.png")).all()
    assert ("marks" in written) == (task in ("segment", "detect"))


def test_segment_and_detect_write_what_they_found(here: Path, every_task_dir: Path) -> None:
    options = ["--model", str(every_task_dir), "--quiet", "--steps", "1", "-n", "2", "--colour", "blue"]
    assert main([*GOOD["segment"][0], *options]) == 0
    marks = texts("out-2.png")["marks"]
    mask = pixels("m-2.png")[..., 0]
    assert set(np.unique(mask)) <= {0, 255}
    assert (marks["colour"], marks["mask"]["size"]) == ("blue", [40, 48])
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    boxes = sorted([int(x), int(y), int(x + w), int(y + h)] for x, y, w, h, _ in stats[1:count])
    assert sorted(marks["boxes"]) == boxes
    assert main([*GOOD["detect"][0], *options]) == 0
    found = json.loads(Path("b.json").read_text())
    assert [one["picture"] for one in found] == ["out-1.png", "out-2.png"]
    assert found[1]["boxes"] == texts("out-2.png")["marks"]["boxes"]


def test_what_lies_outside_may_be_left_to_the_model(here: Path, every_task_dir: Path) -> None:
    options = ["--model", str(every_task_dir), "--quiet", "--steps", "1", "--no-keep-outside"]
    assert main([*EDIT, "--mask", "mask.png", *options]) == 0
    assert (pixels("out.png")[:, :24] != pixels("in.png")[:, :24]).any()
    assert texts("out.png")["request"]["keep_outside"] is False


def test_a_map_is_made_as_in_training(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["control", "in.png", "-o", "map.png"]) == 0
    assert main(["control", "in.png", "-o", "other.png", "--low", "100", "--high", "300"]) == 0
    assert capsys.readouterr().out == "map.png\nother.png\n"
    assert texts("map.png")["control"] == {"kind": "canny", "low": 80, "high": 200}
    image = pixels("in.png").astype(np.uint8)
    assert (pixels("map.png")[..., 1] == cv2.Canny(image, 80, 200)).all()
    assert (pixels("other.png")[..., 1] == cv2.Canny(image, 100, 300)).all()


BAD = {
    "mask of another size": ([*EDIT, "--mask", "ref.png"], "mask is 20x33, but its image is 48x40: scale it"),
    "mask on its side": ([*EDIT, "--mask", "turned.png"], "seems to lie on its side"),
    "black mask": ([*EDIT, "--mask", "black.png"], "paint white where"),
    "no mask file": ([*EDIT, "--mask", "none.png"], "does not exist"),
    "mask twice": ([*EDIT, "--mask", "mask.png", "--within", "mask.png"], "both say where to paint"),
    "drag in pixels": ([*EDIT, "--drag", "24,20,8,0"], "not pixels: divide x and dx by the width"),
    "drag out of the image": ([*EDIT, "--drag", "0.9,0.5,0.3,0"], "both ends must be within 0 to 1"),
    "drag to nowhere": ([*EDIT, "--drag", "nan,0.5,0.3,0"], "drags"),
    "negative margin": ([*EDIT, "--outpaint", "-4,0,0,0"], "must not be negative"),
    "no margin": ([*EDIT, "--outpaint", "0,0,0,0"], "needs a margin"),
    "huge margin": ([*EDIT, "--outpaint", "99999,0,0,99999"], "take smaller margins"),
    "margin and size": ([*EDIT, "--outpaint", "8,0,0,0", "--size", "64x64"], "takes no size"),
    "too many images": ([*EDIT, *["-i", "ref.png"] * 3], "takes 3 input images, and the request has 4"),
    "too many subjects": ([*GENERATE, "--subject", *["ref.png"] * 4], "takes 3 input images"),
    "edit without words": (["edit", *PICTURE], "prompt is empty"),
    "map without kind": ([*GENERATE, "--image", "in.png"], "say its kind by --control"),
    "kind without map": ([*GENERATE, "--control", "canny"], "dreamomni control photo.jpg"),
    "unknown colour": ([*SEGMENT, "--colour", "mauve"], "say one of red"),
    "two colours": (["detect", "box it in red", *PICTURE, "--colour", "blue"], "leave one out"),
    "nothing to segment": (["segment", " ", *PICTURE], "prompt is empty"),
    "mask nowhere": ([*SEGMENT, "--save-mask", "no/m.png"], "make it first"),
    "boxes nowhere": ([*DETECT, "--save-boxes", "no/b.json"], "make it first"),
    "depth without a model": ([*CONTROL, "--kind", "depth"], "a folder or a hub id"),
    "annotator for edges": ([*CONTROL, "--annotator", "folder"], "by program"),
    "thresholds for depth": ([*CONTROL, "--kind", "depth", "--low", "3"], "thresholds"),
    "thresholds upside down": ([*CONTROL, "--low", "9", "--high", "3"], "low before high"),
    "no annotator there": ([*CONTROL, "--kind", "segmentation", "--annotator", "folder"], "cannot be loaded"),
}
LACKING = [case for case in GOOD if case not in ("text_to_image", "edit", "edit within")]


@pytest.mark.parametrize("case", BAD)
def test_bad_structure_is_one_sentence_and_exit_2(
    case: str, here: Path, every_task_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv, words = BAD[case]
    if argv[0] != "control":
        argv = [*argv, "--model", str(every_task_dir)]
    before = sorted(here.rglob("*"))
    assert main(argv) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("dreamomni: error: ")
    assert error.count("\n") == 1
    assert words in error
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize("case", LACKING)
def test_tasks_that_a_model_lacks_are_refused_before_it_is_loaded(
    case: str,
    here: Path,
    tiny_model_dir: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("dreamomni.cli.arguments.load_pipeline", fail)
    assert main([*GOOD[case][0], "--model", str(tiny_model_dir)]) == 2
    assert f"did not learn {case}; it learned text_to_image, edit" in capsys.readouterr().err
