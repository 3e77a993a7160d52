"""The benchmarks of memory and of references run, at tiny size on the CPU."""

import json
import runpy
import sys
from itertools import pairwise
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> list[dict[str, float]]:
    monkeypatch.setattr(sys, "argv", [str(BENCHMARKS / words[0]), *words[1:], "--json"])
    runpy.run_path(str(BENCHMARKS / words[0]), run_name="__main__")
    rows: list[dict[str, float]] = json.loads(capsys.readouterr().out)
    return rows


def test_kontext_in_two_modes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--modes", "full", "sequential", "--references", "1", "--steps", "2")
    rows = run(monkeypatch, capsys, "kontext.py", *words)
    assert [row["mode"] for row in rows] == ["diffusers", "full", "sequential"]
    assert all(row["seconds"] > 0 for row in rows)
    assert rows[2]["peak"] < 0.8 * rows[1]["peak"]
    assert rows[2]["peak"] <= 1.02 * rows[2]["planned"]


def test_references_that_are_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--preset", "tiny", "--size", "64", "--text", "8", "--seconds", "--steps", "2")
    rows = run(monkeypatch, capsys, "reference_reuse.py", *words)
    assert [row["references"] for row in rows] == [1, 2, 4, 5]
    for before, after in pairwise(rows):
        assert after["plain"] / after["kept"] > before["plain"] / before["kept"] > 1
    assert all(row["kept_seconds"] > 0 for row in rows)
