"""The command line on a tiny model: what a user may do wrong, and that the road is open."""

import io
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from dreamomni.cli.main import main


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with one good picture."""
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("in.png")
    return tmp_path


def header_of(width: int, height: int) -> bytes:
    """A PNG that says how large it is and then ends."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def make_bad_files() -> None:
    Path("text.png").write_text("this is not a picture")
    Path("empty.png").write_bytes(b"")
    Path("cut.png").write_bytes(Path("in.png").read_bytes()[:2000])
    Image.new("RGB", (1, 1)).save("dot.png")
    Path("huge.png").write_bytes(header_of(20_000, 20_000))
    Path("no_model").mkdir()
    Path("bad.yaml").write_text("size: 64x64\ncolour: red\n")


GENERATE = ["generate", "a red star", "-o", "out.png"]
EDIT = ["edit", "remove the red star", "-o", "out.png"]
BAD = {
    "missing file": ([*EDIT, "-i", "none.png"], "does not exist"),
    "missing reference": ([*EDIT, "-i", "in.png", "-i", "none.png"], "does not exist"),
    "not an image": ([*EDIT, "-i", "text.png"], "not a PNG"),
    "empty file": ([*EDIT, "-i", "empty.png"], "empty file"),
    "truncated image": ([*EDIT, "-i", "cut.png"], "cut short"),
    "one pixel": ([*EDIT, "-i", "dot.png"], "too small"),
    "huge header": ([*EDIT, "-i", "huge.png"], "too large"),
    "folder as image": ([*EDIT, "-i", "no_model"], "is a folder"),
    "no model": ([*GENERATE, "--model", "no_model"], "is not a DreamOmni model: it lacks"),
    "unknown model": ([*GENERATE, "--model", "large"], "there is no model 'large'"),
    "hub model offline": ([*GENERATE, "--model", "someone/large"], "hub cannot be reached"),
    "unknown recipe": (["train", "mini-dot"], "no recipe"),
    "unknown recipe key": (["data", "sample", "bad.yaml", "--out", "x"], "unknown key colour"),
    "unknown override": (
        ["data", "sample", "mini-world", "--out", "x", "--set", "sise=1x1"],
        "unknown key sise",
    ),
    "unknown kind": (["data", "sample", "mini-world", "--out", "x", "--kind", "poem"], "poem"),
    "impossible size": ([*GENERATE, "--size", "0x64"], "at least 1 pixel"),
    "size off the grid": ([*GENERATE, "--size", "60x64"], "nearest is 64x64"),
    "size too large": ([*GENERATE, "--size", "4096x4096"], "the limit is"),
    "size in other words": ([*GENERATE, "--size", "large"], "WIDTHxHEIGHT"),
    "empty prompt": (["generate", "", "-o", "out.png"], "prompt is empty"),
    "blank instruction": (["edit", " ", "-i", "in.png", "-o", "out.png"], "prompt is empty"),
    "no steps": ([*GENERATE, "--steps", "0"], "num_inference_steps"),
    "negative seed": ([*GENERATE, "--seed", "-1"], "seed"),
    "no pictures": ([*GENERATE, "-n", "0"], "num_images"),
    "guidance that is no number": ([*GENERATE, "--guidance", "nan"], "guidance_scale"),
    "output in a missing folder": (["generate", "a star", "-o", "no/out.png"], "so make it first"),
    "output is a folder": (["generate", "a star", "-o", "no_model"], "no_model"),
    "output is no PNG": (["generate", "a star", "-o", "out.jpg"], "out.png"),
    "output in a file": (["generate", "a star", "-o", "in.png/out.png"], "is not a folder"),
    "output cannot be made": (["generate", "a star", "-o", "/proc/out.png"], "no file can be made"),
    "demo into a file": (["demo", "--out", "in.png"], "in.png"),
    "samples into a file": (["data", "sample", "mini-world", "--out", "in.png"], "in.png"),
    "view nothing": (["data", "view", "no_model"], "holds no tar, parquet, jsonl, csv or picture file"),
    "info of nothing": (["info", "no_model"], "it lacks"),
    "unknown device": ([*GENERATE, "--device", "tpu"], "tpu"),
    "half precision on a CPU": ([*GENERATE, "--device", "cpu", "--dtype", "fp16"], "bf16 or fp32"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_exit_2(
    case: str, here: Path, tiny_model_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_bad_files()
    argv, words = BAD[case]
    if argv[0] in ("generate", "edit") and "--model" not in argv:
        argv = [*argv, "--model", str(tiny_model_dir)]
    before = sorted(here.rglob("*"))
    assert main(argv) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("dreamomni: error: ")
    assert error.count("\n") == 1
    assert words in error
    assert sorted(here.rglob("*")) == before


def test_generate_writes_the_same_bytes_twice_with_the_request_inside(
    here: Path, tiny_model_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["generate", "a red star", "--seed", "4", "--size", "48x32", "--steps", "2", "--quiet"]
    argv += ["--model", str(tiny_model_dir)]
    assert main([*argv, "-o", "one.png"]) == 0
    assert main([*argv, "-o", "two.png"]) == 0
    assert capsys.readouterr().out == "one.png\ntwo.png\n"
    assert Path("one.png").read_bytes() == Path("two.png").read_bytes()
    with Image.open("one.png") as image:
        assert image.size == (48, 32)
        request = json.loads(image.text["dreamomni.request"])  # type: ignore[attr-defined]
        provenance = json.loads(image.text["dreamomni.provenance"])  # type: ignore[attr-defined]
    assert request == {
        "task": "text_to_image",
        "prompt": "a red star",
        "seed": 4,
        "size": "48x32",
        "num_inference_steps": 2,
    }
    assert provenance["model"] == "tiny"
    assert provenance["num_inference_steps"] == 2


def test_several_outputs_are_those_of_the_following_seeds(here: Path, tiny_model_dir: Path) -> None:
    argv = ["generate", "a red star", "--steps", "2", "--quiet", "--model", str(tiny_model_dir)]
    assert main([*argv, "-n", "2", "--seed", "7", "-o", "out.png"]) == 0
    assert main([*argv, "--seed", "8", "-o", "eight.png"]) == 0
    assert not Path("out.png").exists()
    first, second, eight = (
        np.asarray(Image.open(f"{name}.png")).astype(int) for name in ("out-1", "out-2", "eight")
    )
    assert np.abs(second - eight).max() <= 1
    assert np.abs(first - second).max() > 1


def test_edit_keeps_the_size_and_leaves_the_input_alone(here: Path, tiny_model_dir: Path) -> None:
    before = Path("in.png").read_bytes()
    argv = ["edit", "remove the star", "-i", "in.png", "-i", "in.png", "-o", "out.png", "--steps", "2"]
    assert main([*argv, "--image-guidance", "1.5", "--quiet", "--model", str(tiny_model_dir)]) == 0
    with Image.open("out.png") as image:
        assert image.size == (48, 40)
    assert Path("in.png").read_bytes() == before


def test_an_interrupted_run_leaves_nothing(
    here: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dreamomni.inference.stages.decode", interrupt)
    before = sorted(here.iterdir())
    assert main([*GENERATE, "--model", str(tiny_model_dir), "--quiet"]) == 130
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("dreamomni: interrupted")
    assert sorted(here.iterdir()) == before


def test_info_counts_presets_without_weights_and_models_from_their_headers(
    here: Path, tiny_model_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for preset, expected in (("2.5b", 2.5e9), ("0.85b", 0.85e9)):
        assert main(["info", preset, "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert abs(facts["parameters"] / expected - 1) < 0.03
        assert sum(facts["parts"].values()) == facts["parameters"]
    assert main(["info", str(tiny_model_dir), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["parameters"] == facts["components"]["transformer"] > 0
    assert main(["info", str(tiny_model_dir)]) == 0
    assert "text_to_image, edit" in capsys.readouterr().out


def test_data_sample_and_view(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["data", "sample", "mini-world", "--out", "s", "-n", "3", "--kind", "replace", "--seed", "1"])
        == 0
    )
    assert len(list(Path("s").glob("*.image1.png"))) == 3
    Path("s/index.html").unlink()
    assert main(["data", "view", "s"]) == 0
    assert "train-1-000000002" in Path("s/index.html").read_text()
    assert capsys.readouterr().out == "s/sheet.png\ns/index.html\n" * 2


@pytest.fixture
def demo(here: Path, tiny_model_dir: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[list[str]]:
    assert main(["demo", "--out", "out/demo", "--model", str(tiny_model_dir)]) == 0
    return capsys.readouterr().out.splitlines()


def test_demo_writes_a_gallery(demo: list[str]) -> None:
    assert demo == ["out/demo/gallery.png", "out/demo/index.html"]
    page = Path("out/demo/index.html").read_text()
    linked = [part.split('"')[0] for part in page.split('<img src="')[1:]]
    assert len(linked) == 10 + 3 * 9
    assert all((Path("out/demo") / name).is_file() for name in linked)
    with Image.open(io.BytesIO(Path("out/demo/gallery.png").read_bytes())) as picture:
        assert picture.width > 1000


def test_train_dry_run_prints_the_resolved_recipe_and_writes_nothing(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(here.rglob("*"))
    argv = ["train", "mini-vae", "--dry-run", "--set", "training.max_steps=321"]
    assert main([*argv, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recipe"]["training"]["max_steps"] == 321
    assert main([*argv, "--tflops", "0.05", "--mfu", "0.5"]) == 0
    assert "mini-vae: 321 steps" in capsys.readouterr().out
    assert main(["train", "mini-vae", "--mfu", "0.4"]) == 2
    assert "--mfu belongs to --dry-run" in capsys.readouterr().err
    assert sorted(here.rglob("*")) == before


def test_evaluate_world_writes_record_and_page(
    here: Path, tiny_model_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = {"names": ["star", "house", "fish", "tree"]}
    world |= {"mixture": {"single": 1, "remove": 1}, "held_out": {"fraction": 0.2}}
    Path("small.yaml").write_text(yaml.safe_dump(world))
    argv = ["evaluate", "world", "--model", str(tiny_model_dir), "--out", "w", "--world", "small.yaml"]
    argv += ["--num-cases", "1", "--steps", "1", "--quiet"]
    argv += ["--set", "num_seen_cases_per_kind=0", "--set", "cheats=false"]
    assert main(argv) == 0
    assert "w/index.html" in capsys.readouterr().out
    record = json.loads(Path("w/record.json").read_text())
    assert {"single_object", "edit_remove", "psnr_outside_mask"} <= set(record["metrics"])
    assert record["model"]["num_inference_steps"] == 1
    assert record["command"].startswith("dreamomni evaluate world")
