import json
from pathlib import Path

import pytest

from dreamomni.cli.main import main

SMALL = ["data", "generate", "mini-world", "--num-samples", "9", "--shard-size", "4"]


def test_a_data_set_is_made_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "shards"
    assert main([*SMALL, "--out", str(folder), "--seed", "3"]) == 0
    told = capsys.readouterr()
    assert f"{folder}: 9 samples in 3 shards" in told.out
    assert "text_to_image:" in told.out
    assert "9/9" in told.err
    identity = json.loads((folder / "dataset.json").read_text())["identity"]
    assert (identity["seed"], identity["shard_size"], identity["image_format"]) == (3, 4, "auto")
    assert main([*SMALL, "--out", str(folder), "--seed", "3", "--quiet"]) == 0
    again = capsys.readouterr()
    assert again.out == told.out
    assert not again.err


def test_a_part_and_its_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--shard-range", "1/3", "--image-format", "jpeg", "--split", "held_out", "--quiet"]
    assert main([*SMALL, "--out", str(tmp_path), *options, "--set", "size=80x64"]) == 0
    assert "4 samples in 1 shard," in capsys.readouterr().out
    stats = json.loads((tmp_path / "stats/00001.json").read_text())
    assert stats["indices"] == [4, 8]
    assert stats["sizes"] == {"80x64": 4}
    assert stats["identity"]["split"] == "held_out"
    assert all("-jpeg/" in name for name in stats["files"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shard-range", "3/3"], "there is no shard range 3/3"),
        (["--shard-range", "half"], "a shard range is written i/n"),
        (["--set", "version=99"], "version"),
        (["--seed", "-1"], "seed -1 is negative"),
        (["--set", "mixture={single: 0}"], "mixture"),
        (["--workers", "0"], "'0' is not a whole number from 1"),
    ],
)
def test_mistakes_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    try:
        code = main([*SMALL, "--out", str(tmp_path / "shards"), *options])
    except SystemExit as stop:  # argparse's own
        code = stop.code
    assert code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("dreamomni: error: ")
    assert message in lines[0]
    assert not (tmp_path / "shards").exists()


def test_a_folder_of_another_seed_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--out", str(tmp_path), "--quiet"]) == 0
    capsys.readouterr()
    assert main([*SMALL, "--out", str(tmp_path), "--quiet", "--seed", "1"]) == 2
    assert capsys.readouterr().err == (
        f"dreamomni: error: {tmp_path} was made with another seed (0, now 1): "
        "ask for the same again, or name another folder\n"
    )
