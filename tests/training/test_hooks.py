"""What a run leaves for people: lines, numbers, pictures."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from toy_training import ToyTask, toy_recipe

from dreamomni.errors import OutputError
from dreamomni.training.hooks import Console, MetricsFile, SampleFiles, StepReport
from dreamomni.training.pictures import text_sheet, tile, to_uint8
from dreamomni.training.run import standard_hooks
from dreamomni.training.trainer import train


def report(step: int, loss: float = 0.5) -> StepReport:
    return StepReport(step, 10, 4, loss, 1e-3, 2.0, {"psnr": torch.tensor(30.0)})


def test_metrics_after_the_checkpoint_are_dropped_on_resume(tmp_path: Path) -> None:
    hook = MetricsFile(tmp_path / "metrics.jsonl", 2)
    hook.on_start(0)
    for step in range(1, 8):
        hook.on_step(report(step, loss=1 / step))
    with hook.path.open("a") as file:
        file.write('{"step": 8, "lo')
    hook.on_start(4)
    lines = [json.loads(line) for line in hook.path.read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4]
    assert lines[0] == {"step": 2, "loss": 0.5, "learning_rate": 1e-3, "grad_norm": 2.0, "psnr": 30.0}


def test_without_a_terminal_the_console_writes_lines(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(5)
    console.on_start(0)
    for step in range(1, 11):
        console.on_step(report(step, loss=float(step)))
    console.on_end()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[:2] for line in lines] == [
        ["step 5/10", "loss 3.0000"],
        ["step 10/10", "loss 8.0000"],
    ]
    assert "samples/s" in lines[0]
    assert "psnr 30" in lines[0]
    assert lines[1].endswith("0:00:00 left")


def test_a_metrics_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    hook = MetricsFile(tmp_path / "metrics.jsonl", 1)
    hook.path.mkdir()
    with pytest.raises(OutputError, match="is a directory; mend it and resume"):
        hook.on_step(report(1))


def test_sample_files(tmp_path: Path) -> None:
    hook = SampleFiles(tmp_path / "samples")
    hook.on_sample(3, Image.new("RGB", (4, 4)))
    hook.on_sample(4, None)
    assert [path.name for path in (tmp_path / "samples").iterdir()] == ["step-00000003.png"]


def test_the_standard_hooks_fill_the_run_folder(tmp_path: Path) -> None:
    recipe = toy_recipe(max_steps=8)
    train(recipe, ToyTask(recipe.training), tmp_path, resume=False, hooks=standard_hooks(recipe, tmp_path))
    names = {path.name for path in tmp_path.iterdir()}
    assert {"checkpoints", "samples", "metrics.jsonl", "recipe.yaml", "export"} <= names
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 8


def test_pictures() -> None:
    pixels = torch.tensor([-2.0, -1.0, 0.0, 1.0]).reshape(4, 1, 1, 1).expand(4, 3, 2, 5)
    images = to_uint8(pixels)
    assert images.shape == (4, 2, 5, 3)
    assert images[:, 0, 0, 0].tolist() == [0, 0, 128, 255]
    assert tile([images, images]).size == (20, 4)
    assert text_sheet([(images[0], "one\ntwo")], title="t", width=100).size[0] == 100
