"""What watches a run: console, metrics, sample pictures. Each owns its cadence."""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from torch import Tensor

from dreamomni import storage
from dreamomni.errors import OutputError


@dataclass(frozen=True, slots=True)
class StepReport:
    """One finished optimizer step.

    Args:
        step: steps done, this one included.
        max_steps: where the run ends.
        batch_size: samples in the step.
        loss: its loss.
        learning_rate: rate it was taken with.
        grad_norm: norm of all gradients before clipping.
        metrics: what the task reports besides.
    """

    step: int
    max_steps: int
    batch_size: int
    loss: float
    learning_rate: float
    grad_norm: float
    metrics: Mapping[str, float | Tensor]

    def values(self) -> dict[str, float]:
        """All numbers as plain floats."""
        own = {"loss": self.loss, "learning_rate": self.learning_rate, "grad_norm": self.grad_norm}
        return own | {name: float(value) for name, value in self.metrics.items()}


class Hook(Protocol):
    """Called by the trainer; may look, must not change the model."""

    def on_start(self, step: int) -> None:
        """Training begins after `step` finished steps (0 for a new run)."""
        ...

    def on_step(self, report: StepReport) -> None:
        """A step is done."""
        ...

    def on_sample(self, step: int, image: Image.Image | None) -> None:
        """Sampling time: the modules hold the averaged weights during this call."""
        ...

    def on_end(self) -> None:
        """Training is over, well or badly."""
        ...


class BaseHook:
    """A hook that does nothing; override what you need."""

    def on_start(self, step: int) -> None:
        """Nothing."""

    def on_step(self, report: StepReport) -> None:
        """Nothing."""

    def on_sample(self, step: int, image: Image.Image | None) -> None:
        """Nothing."""

    def on_result(self, step: int, name: str, values: Mapping[str, float]) -> None:
        """Another hook measured something; nothing."""

    def on_picture(self, step: int, name: str, image: Image.Image) -> None:
        """Another hook drew something; nothing."""

    def on_end(self) -> None:
        """Nothing."""


class Console(BaseHook):
    """A progress bar on a terminal, elsewhere a line every `log_every` steps: mean loss, samples/s, time."""

    def __init__(self, log_every: int) -> None:
        self.log_every = log_every
        self._bar: Progress | None = None
        self._bar_task: TaskID | None = None
        self._since = (0.0, 0)
        self._losses: list[float] = []
        self._rate = self._loss = 0.0

    def on_start(self, step: int) -> None:
        """Start the clock."""
        self._since = (time.monotonic(), step)

    def on_step(self, report: StepReport) -> None:
        """Show the step when its turn has come."""
        self._losses.append(report.loss)
        due = report.step % self.log_every == 0 or report.step == report.max_steps
        if sys.stderr.isatty():
            self._show(report, due)
        elif due:
            self._measure(report)
            left = (report.max_steps - report.step) * report.batch_size / max(self._rate, 1e-9)
            numbers = "  ".join(
                f"{name} {value:.4g}" for name, value in report.values().items() if name != "loss"
            )
            sys.stderr.write(
                f"step {report.step}/{report.max_steps}  loss {self._loss:.4f}  {numbers}  "
                f"{self._rate:.1f} samples/s  {_clock(left)} left\n"
            )
            sys.stderr.flush()

    def on_result(self, step: int, name: str, values: Mapping[str, float]) -> None:
        """A row of numbers; above the bar, if there is one."""
        row = f"step {step}  {name}  " + "  ".join(f"{key} {value:.3g}" for key, value in values.items())
        if self._bar is not None:
            self._bar.console.print(row, highlight=False)
        else:
            sys.stderr.write(row + "\n")
            sys.stderr.flush()

    def on_end(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _show(self, report: StepReport, due: bool) -> None:
        if self._bar is None:
            self._bar = Progress(
                TextColumn("[bold]train"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("loss {task.fields[loss]:.4f}"),
                TextColumn("{task.fields[rate]:.1f} samples/s"),
                TimeRemainingColumn(),
            )
            self._bar.start()
            self._bar_task = self._bar.add_task("train", total=report.max_steps, loss=report.loss, rate=0.0)
        if due:
            self._measure(report)
        assert self._bar_task is not None
        self._bar.update(self._bar_task, completed=report.step, loss=self._loss, rate=self._rate)

    def _measure(self, report: StepReport) -> None:
        then, step = self._since
        now = time.monotonic()
        self._rate = (report.step - step) * report.batch_size / max(now - then, 1e-9)
        self._since = (now, report.step)
        self._loss = sum(self._losses) / len(self._losses)
        self._losses.clear()


class MetricsFile(BaseHook):
    """`metrics.jsonl`: numbers every `log_every` steps; a resume drops lines past the checkpoint."""

    def __init__(self, path: Path, log_every: int) -> None:
        self.path, self.log_every = path, log_every

    def on_start(self, step: int) -> None:
        """Drop what a killed run wrote after its last checkpoint."""
        kept = []
        for line in self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []:
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # the line a kill cut in half
            if entry["step"] <= step:
                kept.append(line + "\n")
        storage.write_text(self.path, "".join(kept))

    def on_step(self, report: StepReport) -> None:
        """Append a line."""
        if report.step % self.log_every == 0 or report.step == report.max_steps:
            self._append({"step": report.step, **report.values()})

    def on_result(self, step: int, name: str, values: Mapping[str, float]) -> None:
        """Append a line with the numbers under the name."""
        self._append({"step": step, name: dict(values)})

    def _append(self, entry: Mapping[str, Any]) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise OutputError(
                f"cannot write {self.path}: {(error.strerror or str(error)).lower()}; mend it and resume"
            ) from error


class SampleFiles(BaseHook):
    """`samples/step-00001000.png`, and pictures of other hooks beside it under their own names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_sample(self, step: int, image: Image.Image | None) -> None:
        """Save the grid."""
        if image is not None:
            self.on_picture(step, "step", image)

    def on_picture(self, step: int, name: str, image: Image.Image) -> None:
        """Save a picture under its name."""
        with storage.atomic_path(self.folder / f"{name}-{step:08d}.png") as part:
            image.save(part, format="PNG")


def _clock(num_seconds: float) -> str:
    hours, rest = divmod(round(num_seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
