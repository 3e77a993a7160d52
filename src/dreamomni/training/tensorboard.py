"""TensorBoard: losses by task and by band of sigma, rates, speed and utilisation, grids, measurements."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from dreamomni.training.hooks import BaseHook, StepReport
from dreamomni.training.utilisation import mfu

log = logging.getLogger(__name__)

_GROUPS = (("loss_sigma_", "loss_by_sigma"), ("loss_", "loss_by_task"), ("right_", "right"))


class Means:
    """Means of named numbers since they were last taken.

    Tensors are added where they are; nothing waits for a device before `take`.
    """

    def __init__(self) -> None:
        self._sums: dict[str, float | Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, values: Mapping[str, float | Tensor]) -> None:
        """Take in the numbers of one step; not every step needs to have all of them."""
        for name, value in values.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """Return the means and begin anew."""
        means = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return means


class TensorBoard(BaseHook):
    """Scalars every `log_every` steps, each the mean since the last ones, and pictures as they come.

    `speed/mfu` is (forward and backward operations per sample) x (samples per second) / (peak x devices), as
    `training.utilisation` defines it. It needs a task that reports `tflop_per_sample`, and a peak.

    Args:
        folder: Where the event files go.
        log_every: Steps between scalars.
        peak: TFLOP/s of one device, or None when it is not known: then there is no MFU.
        devices: Of the whole run.
    """

    def __init__(self, folder: Path, log_every: int, *, peak: float | None = None, devices: int = 1) -> None:
        self.folder, self.log_every = folder, log_every
        self.peak, self.devices = peak, devices
        self._writer: Any = None
        self._means = Means()
        self._since = (0.0, 0)

    def on_start(self, step: int) -> None:
        """Open the writer; points past the checkpoint are purged."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            log.info("tensorboard is not installed; metrics.jsonl has the numbers")
            return
        self._writer = SummaryWriter(str(self.folder), purge_step=step + 1)
        self._since = (time.monotonic(), step)
        if self.peak is not None:
            self._writer.add_text("mfu", f"relative to {self.peak:g} TFLOP/s x {self.devices}", step)

    def on_step(self, report: StepReport) -> None:
        """Collect, and write when it is time."""
        if self._writer is None:
            return
        own = {"loss": report.loss, "learning_rate": report.learning_rate, "grad_norm": report.grad_norm}
        self._means.add({**own, **report.metrics})
        if report.step % self.log_every and report.step != report.max_steps:
            return
        means = self._means.take()
        for name, value in {**means, **self._speed(report, means)}.items():
            self._writer.add_scalar(tag(name), value, report.step)

    def _speed(self, report: StepReport, means: Mapping[str, float]) -> dict[str, float]:
        then, step = self._since
        now = time.monotonic()
        self._since = (now, report.step)
        rate = (report.step - step) * report.batch_size / max(now - then, 1e-9)
        speed = {"speed/samples_per_second": rate}
        if self.peak is not None and "tflop_per_sample" in means:
            speed["speed/mfu"] = mfu(means["tflop_per_sample"], rate, self.peak, self.devices)
        return speed

    def on_sample(self, step: int, image: Image.Image | None) -> None:
        """Write the grid."""
        if image is not None:
            self.on_picture(step, "samples", image)

    def on_result(self, step: int, name: str, values: Mapping[str, float]) -> None:
        """Write a measurement."""
        if self._writer is not None:
            for key, value in values.items():
                self._writer.add_scalar(f"{name}/{key}", value, step)
            self._writer.flush()
            self._rest(step)

    def on_picture(self, step: int, name: str, image: Image.Image) -> None:
        """Write a picture."""
        if self._writer is not None:
            self._writer.add_image(name, np.asarray(image.convert("RGB")), step, dataformats="HWC")
            self._rest(step)

    def _rest(self, step: int) -> None:
        """Start the clock anew where no step has been taken since it was read: this was no training."""
        if self._since[1] == step:
            self._since = (time.monotonic(), step)

    def on_end(self) -> None:
        """Flush."""
        if self._writer is not None:
            self._writer.close()


def tag(name: str) -> str:
    """Where a number stands in TensorBoard: `loss_sigma_0.0_0.3` under `loss_by_sigma`, and so on."""
    if "/" in name or name in ("loss", "learning_rate", "grad_norm"):
        return name if "/" in name else f"train/{name}"
    for prefix, group in _GROUPS:
        if name.startswith(prefix):
            return f"{group}/{name.removeprefix(prefix)}"
    return f"train/{name}"
