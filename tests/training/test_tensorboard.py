"""What TensorBoard gets, read back from its files."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dreamomni.training.hooks import StepReport
from dreamomni.training.tensorboard import Means, TensorBoard, tag


def report(step: int, loss: float, **metrics: float | torch.Tensor) -> StepReport:
    return StepReport(step, 10, 8, loss, 1e-3, 2.0, metrics)


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def test_means_wait_for_nobody_and_forget() -> None:
    means = Means()
    means.add({"loss": 1.0, "edit": torch.tensor(4.0)})
    means.add({"loss": 3.0})
    assert means.take() == {"loss": 2.0, "edit": 4.0}
    assert means.take() == {}


def test_scalars_are_means_by_task_and_by_band(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr("dreamomni.training.tensorboard.time.monotonic", lambda: float(next(clock)))
    hook = TensorBoard(tmp_path, 4, peak=2.0, devices=2)
    hook.on_start(0)
    for step in range(1, 9):
        kind = "edit" if step % 2 else "drag"
        bands = {"loss_sigma_0.0_0.3": torch.tensor(float(step))}
        hook.on_step(
            report(step, float(step), **{f"loss_{kind}": float(step)}, tflop_per_sample=0.5, **bands)
        )
    hook.on_result(8, "evaluate", {"overall": 0.75})
    hook.on_picture(8, "validation", Image.new("RGB", (4, 4)))
    hook.on_end()
    events = read(tmp_path)

    def scalars(name: str) -> list[tuple[int, float]]:
        return [(event.step, event.value) for event in events.Scalars(name)]

    assert scalars("train/loss") == [(4, 2.5), (8, 6.5)]
    assert scalars("loss_by_task/edit") == [(4, 2.0), (8, 6.0)]
    assert scalars("loss_by_task/drag") == [(4, 3.0), (8, 7.0)]
    assert scalars("loss_by_sigma/0.0_0.3") == [(4, 2.5), (8, 6.5)]
    assert scalars("train/grad_norm") == [(4, 2.0), (8, 2.0)]
    # 4 steps of 8 samples in 10 s; 0.5 TFLOP each, of 2 x 2 TFLOP/s.
    assert scalars("speed/samples_per_second")[1][1] == pytest.approx(3.2)
    assert scalars("speed/mfu")[1][1] == pytest.approx(3.2 * 0.5 / 4)
    assert scalars("evaluate/overall") == [(8, 0.75)]
    assert events.Tags()["images"] == ["validation"]


def test_time_spent_on_pictures_is_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"now": 0.0}
    monkeypatch.setattr("dreamomni.training.tensorboard.time.monotonic", lambda: clock["now"])
    hook = TensorBoard(tmp_path, 2)
    hook.on_start(0)
    for step in (1, 2, 3, 4):
        clock["now"] += 1.0
        hook.on_step(report(step, 1.0))
        if step == 2:
            clock["now"] += 1000.0
            hook.on_sample(2, Image.new("RGB", (4, 4)))
    hook.on_end()
    assert [event.value for event in read(tmp_path).Scalars("speed/samples_per_second")] == [8.0, 8.0]


def test_without_a_peak_there_is_no_mfu(tmp_path: Path) -> None:
    hook = TensorBoard(tmp_path, 1)
    hook.on_start(0)
    hook.on_step(report(1, 1.0, tflop_per_sample=0.5))
    hook.on_end()
    assert "speed/mfu" not in read(tmp_path).Tags()["scalars"]


def test_tags() -> None:
    assert tag("loss") == "train/loss"
    assert tag("loss_text_to_image") == "loss_by_task/text_to_image"
    assert tag("right_colour") == "right/colour"
    assert tag("tflop_per_sample") == "train/tflop_per_sample"
