"""Measurements and pictures on the way, and who is told."""

import json
from pathlib import Path

import pytest
from PIL import Image
from toy_training import ToyTask, toy_recipe

from dreamomni.training.hooks import Console, Hook, MetricsFile, SampleFiles
from dreamomni.training.pictures import request_sheet
from dreamomni.training.run import standard_hooks
from dreamomni.training.trainer import train
from dreamomni.training.watching import Measure, Show


def test_a_run_measures_at_its_cadence_and_at_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = toy_recipe(max_steps=14, sample_every=4)
    task = ToyTask(recipe.training)
    hooks: list[Hook] = standard_hooks(recipe, tmp_path)
    seen: list[float] = []

    def measure(step: int) -> dict[str, float]:
        seen.append(step)
        assert not task.net.training  # the averaged weights, in evaluation mode
        return {"overall": step / 100}

    hooks += [
        Measure("evaluate", 8, 14, measure, hooks),
        Show("validation", lambda: Image.new("RGB", (5, 5)), hooks),
    ]
    train(recipe, task, tmp_path, resume=False, hooks=hooks)
    assert seen == [8, 14]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    found = {line["step"]: line["evaluate"] for line in lines if "evaluate" in line}
    assert {step: values["overall"] for step, values in found.items()} == {8: 0.08, 14: 0.14}
    assert "step 8  evaluate  overall 0.08" in capsys.readouterr().err
    pictures = {path.name for path in (tmp_path / "samples").iterdir()}
    assert {"validation-00000004.png", "validation-00000014.png", "step-00000014.png"} <= pictures


def test_measurements_after_the_checkpoint_are_dropped_on_resume(tmp_path: Path) -> None:
    hook = MetricsFile(tmp_path / "metrics.jsonl", 1)
    hook.on_start(0)
    for step in (4, 8):
        hook.on_result(step, "evaluate", {"overall": 0.5})
    hook.on_start(6)
    assert [json.loads(line)["step"] for line in hook.path.read_text().splitlines()] == [4]


def test_a_measurement_is_one_line_on_the_console(capsys: pytest.CaptureFixture[str]) -> None:
    Console(1).on_result(7, "evaluate", {"single": 0.98765, "drag": 0.5})
    assert capsys.readouterr().err == "step 7  evaluate  single 0.988  drag 0.5\n"


def test_pictures_of_other_hooks_have_names_of_their_own(tmp_path: Path) -> None:
    SampleFiles(tmp_path).on_picture(3, "validation", Image.new("RGB", (4, 4)))
    assert [path.name for path in tmp_path.iterdir()] == ["validation-00000003.png"]


def test_a_sheet_shows_inputs_answers_and_words() -> None:
    red, blue = Image.new("RGB", (20, 30), "red"), Image.new("RGB", (40, 10), "blue")
    sheet = request_sheet([((red, blue), red, "put the one on the other"), ((), blue, "blue")])
    colours = {colour for _, colour in sheet.getcolors(maxcolors=10_000) or []}
    assert {(255, 0, 0), (0, 0, 255), (255, 255, 255)} <= colours
    assert sheet.width >= 20 + 40 + 20
    assert sheet.height >= 30 + 10
