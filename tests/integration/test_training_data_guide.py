"""The guide to training data: its table is that of the code, and its examples run as they stand."""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dreamomni.cli.main import main
from dreamomni.config import validate
from dreamomni.data.external.conventions import CONVENTIONS, Convention, Field
from dreamomni.data.feeds import DataPart

GUIDE = Path(__file__).parents[2] / "docs" / "training_data.md"
TEXT = GUIDE.read_text(encoding="utf-8")
HEADINGS: dict[str, tuple[Field, ...]] = {
    "target": ("target",),
    "input images": ("source", "images"),
    "words": ("instruction",),
    "caption": ("caption",),
    "mask": ("mask",),
    "task": ("task",),
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def cell(convention: Convention, fields: tuple[Field, ...]) -> str:
    shown = []
    for field in fields:
        names = "`" + "` \\| `".join(convention.columns.get(field, ())) + "`"
        if field in convention.columns:
            shown.append(f"[{names}]" if field in convention.optional else names)
    if not shown and fields == ("task",):
        return convention.task or ""
    return ", ".join(shown)


def table() -> str:
    lines = ["| names of | " + " | ".join(HEADINGS) + " |", "|---" * (len(HEADINGS) + 1) + "|"]
    for convention in CONVENTIONS:
        cells = (cell(convention, fields) for fields in HEADINGS.values())
        lines.append(f"| {convention.name} | " + " | ".join(cells) + " |")
    return re.sub(r" +\|", " |", "\n".join(lines)) + "\n"


def test_the_table_of_columns_is_that_of_the_code() -> None:
    begin = "<!-- table: conventions -->\n"
    found = TEXT[TEXT.index(begin) + len(begin) :].lstrip("\n")
    assert found.startswith(table()), f"write this into {GUIDE}:\n{table()}"


def test_the_parts_of_recipes_are_such() -> None:
    first, second = blocks("yaml")
    parts = yaml.safe_load(first)["task"]["data"] + yaml.safe_load(second)
    assert [validate(part, DataPart, origin="a part").type for part in parts] == [  # type: ignore[arg-type]
        "collage",
        "shards",
        "table",
        "table",
        "table",
    ]


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    said = io.StringIO()
    for block in blocks("bash"):
        commands = re.findall(r"^dreamomni .*$", block, re.MULTILINE)
        rest = re.sub(r"^dreamomni .*\n", "", block, flags=re.MULTILINE)
        subprocess.run(["bash", "-e", "-c", rest], check=True)
        with contextlib.redirect_stdout(said):
            for command in commands:
                assert main(shlex.split(command)[1:]) == 0, command
    assert re.findall(r"^(\d+) samples of (\S+)", said.getvalue(), re.MULTILINE) == [
        ("2", "edits.jsonl"),
        ("1", "captioned"),
        ("1", "mine.csv"),
        ("2", "edits.parquet"),
        ("2", "saved"),
        ("2", "edits.tar"),
    ]
    assert "make it gold" in Path("edits.html").read_text()
    assert "turn it into clay" in Path("pairs.html").read_text()
