import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_pictures import png

from dreamomni.cli.main import main
from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.folder import write_samples
from dreamomni.tasks.sample import TrainingSample


@pytest.fixture(scope="module")
def samples() -> list[TrainingSample]:
    engine = CollageEngine(load_recipe("mini-world", CollageRecipe))
    return [
        engine.sample(0, index, kind) for index, kind in enumerate(("single", "add", "drag_move", "text"))
    ]


@pytest.fixture
def folder(samples: list[TrainingSample], tmp_path: Path) -> Path:
    write_samples(samples, tmp_path / "samples")
    return tmp_path / "samples"


def test_an_audit_of_what_is_right_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "audit", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "4 samples (add 1, drag_move 1, single 1, text 1)" in said
    assert said.rstrip().endswith("everything agrees")


def test_an_audit_of_a_recipe_needs_no_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "audit", "mini-world", "-n", "3", "--seed", "5", "--kind", "replace", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["passed"]
    assert report["kinds"] == {"replace": 3}
    assert report["checks"]["held-out combinations"] == {"samples": 3, "disagreements": 0}


def test_an_audit_names_what_disagrees(
    samples: list[TrainingSample], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = dataclasses.replace(samples[0].objects[0], area=1)
    wrong = dataclasses.replace(samples[0], objects=(first,))
    write_samples([wrong, samples[1]], tmp_path)
    assert main(["data", "audit", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert f"areas: single, {samples[0].key}" in said
    assert "has area 1, counted" in said
    assert main(["data", "audit", str(tmp_path), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert not report["passed"]
    assert report["checks"]["areas"] == {"samples": 2, "disagreements": 1}
    assert report["checks"]["boxes"] == {"samples": 2, "disagreements": 0}


def test_a_changed_picture_file_is_noticed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = folder.glob("*000001.target.png")
    with Image.open(path) as image:
        pixels = np.array(image)
    pixels[0, 0] ^= 0x40
    Image.fromarray(pixels).save(path)
    assert main(["data", "audit", str(folder)]) == 1
    assert "1 pixels differ outside the mask" in capsys.readouterr().out


def test_stats_count_a_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "stats", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "4 samples of" in said
    assert "sizes: 64x64 4" in said
    assert main(["data", "stats", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"] == {"drag": 1, "edit": 1, "text_to_image": 2}


def test_view_writes_both_pages(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "view", str(folder), "--out", str(tmp_path / "view"), "-n", "2"]) == 0
    assert (tmp_path / "view" / "index.html").read_text().count("<article") == 2
    assert (tmp_path / "view" / "sheet.png").is_file()
    assert str(tmp_path / "view" / "index.html") in capsys.readouterr().out


def test_view_of_shards_leaves_them_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shards = tmp_path / "shards"
    assert main(["data", "generate", "mini-world", "--out", str(shards), "--num-samples", "6"]) == 0
    before = {path: path.read_bytes() for path in shards.rglob("*") if path.is_file()}
    assert main(["data", "view", str(shards)]) == 0
    assert (shards / "view" / "index.html").is_file()
    assert all(path.read_bytes() == content for path, content in before.items())
    assert main(["data", "audit", str(shards)]) == 0
    capsys.readouterr()


def test_a_gallery_shows_the_kinds_of_the_mixture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tasks.png"
    command = ["data", "gallery", "mini-world", "--out", str(path), "--cell", "64", "--width", "600"]
    assert main(command) == 0
    small = Image.open(path).size
    assert main([*command, "--set", "mixture.segment=1.0", "--index", "segment=3"]) == 0
    assert Image.open(path).size[1] > small[1]
    assert main([*command[:-4], "--index", "nothing=1"]) == 2
    assert main(["data", "gallery", "mini-world", "--out", str(tmp_path / "tasks.gif")]) == 2
    assert "name a .png or a .jpg file" in capsys.readouterr().err


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "mine"
    folder.mkdir()
    rows = []
    for number in range(60):
        if number < 5:
            (folder / f"{number}.png").write_bytes(png(number))
        row: dict[str, object] = {"output_image": f"{number % 5}.png", "instruction": f"row {number}"}
        rows.append(row if number % 10 else {**row, "input_images": ["4.png"]})
    rows.append({"output_image": "gone.png", "instruction": "nothing"})
    path = folder / "edits.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_table_is_shown_as_training_reads_it(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--set", "skip_bad=1", "--set", "base=64"]
    assert main(["data", "view", str(table), "--out", "page.html", "-n", "8", *options]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"left out: {table}, line 61: target")
    assert said.rstrip().endswith("page.html")
    page = Path("page.html").read_text()
    assert page.count('class="edit"') == page.count('class="text_to_image"') == 4
    assert "row 0<" in page
    assert "OmniGen2" in page
    assert main(["data", "view", str(table), *options]) == 0
    assert Image.open("view-edits/sheet.png").width > 100
    assert Path("view-edits/index.html").read_text().count("<article") == 48
    assert {path.suffix for path in table.parent.iterdir()} == {".png", ".jsonl"}


def test_a_table_is_counted(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--set", "skip_bad=1", "--set", "base=64", "--json", "--quiet"]
    assert main(["data", "stats", str(table), *options]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert counts["tasks"] == {"edit": 6, "text_to_image": 54}
    assert counts["sizes"] == {"80x48": 60}
    assert counts["backgrounds"] == {}
    assert list(counts["rejected"].values()) == [1]
    assert main(["data", "stats", str(table.parent), *options, "--kind", "edit", "-n", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"] == {"edit": 2}


def test_what_cannot_be_done_with_a_table(
    table: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command, message in (
        (
            ["view", str(table)],
            "gone.png does not exist (1 row of 61 cannot be used; `skip_bad: 1` leaves them",
        ),
        (["audit", str(table), "--set", "skip_bad=1"], "has no labels to audit"),
        (
            ["stats", str(table), "--set", "skip_bad=1", "--kind", "subject"],
            "holds no sample of kind 'subject'",
        ),
        (["stats", str(table), "--set", "skip_bed=1"], "unknown key skip_bed (did you mean skip_bad?)"),
        (["view", str(folder), "--set", "base=64"], "--set changes recipes and tables only"),
        (["view", str(table.parent / "0.png")], "0.png ends in none of .jsonl"),
    ):
        assert main(["data", *command]) == 2
        assert message in capsys.readouterr().err
