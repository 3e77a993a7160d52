"""A task that trains in milliseconds, with all that can make a resume differ."""

import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from dreamomni.errors import DataError
from dreamomni.seeding import derive_seed, generator
from dreamomni.training.config import AutoencoderTaskConfig, TrainingConfig, TrainRecipe
from dreamomni.training.hooks import BaseHook, StepReport
from dreamomni.training.task import WHOLE, Part, StepOutput
from dreamomni.training.trainer import TrainOutcome, train


class ToyNet(nn.Module):
    """A numbered stack of linear layers for Muon, a channels-last convolution, dropout, buffers.

    With `separable` no sample feels the others of its batch, and nothing is dropped.
    """

    def __init__(self, *, separable: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.GroupNorm(2, 4) if separable else nn.BatchNorm2d(4)
        self.blocks = nn.ModuleList([nn.Linear(4, 6), nn.Linear(6, 4)])
        self.dropout = nn.Dropout(0.0 if separable else 0.2)
        self.last = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.norm(self.first(x)).permute(0, 2, 3, 1)
        for block in self.blocks:
            h = torch.nn.functional.silu(block(self.dropout(h)))
        return self.last(h).permute(0, 3, 1, 2)


class ToyTask:
    """Predict the mirrored picture from a noisy one."""

    def __init__(
        self,
        training: TrainingConfig,
        *,
        seconds_per_step: float = 0.0,
        separable: bool = False,
        masked: bool = False,
    ) -> None:
        self.training = training
        self.seconds_per_step = seconds_per_step
        self.separable, self.masked = separable, masked
        self.bad_part: int | None = None
        self.nan_at: int | None = None
        self.inf_gradient_at: int | None = None
        self.bad_batch_at: int | None = None

    def prepare(self, run_dir: Path) -> None:
        self.net = ToyNet(separable=self.separable).to(memory_format=torch.channels_last)

    def modules(self) -> dict[str, nn.Module]:
        return {"net": self.net}

    def blocks(self) -> list[nn.Module]:
        return list(self.net.blocks)

    def batch(self, step: int, part: Part = WHOLE) -> dict[str, object]:
        hit = self.bad_part is None or part.number == self.bad_part
        if step == self.bad_batch_at and hit:
            raise DataError(f"the batch of step {step} is made of nothing")
        draws = generator(derive_seed(self.training.seed, "toy"), step)
        pixels = draws.normal(size=(self.training.batch_size, 3, 4, 4)).astype(np.float32)
        rows = part.rows(len(pixels))
        keys = [f"toy-{step}"] if part == WHOLE else [f"toy-{step}-{row}" for row in rows]
        mine = torch.from_numpy(pixels[rows.start : rows.stop])
        return {"pixels": mine, "keys": keys, "step": step, "part": part, "hit": hit}

    def loss(self, batch: dict[str, object], generator: torch.Generator) -> StepOutput:
        time.sleep(self.seconds_per_step)
        pixels, step = batch["pixels"], batch["step"]
        noisy = pixels + 0.1 * batch["part"].randn(pixels.shape, generator)
        errors = (self.net(noisy).float() - pixels.flip(-1)).square()
        # Parts then have means over different numbers of pixels.
        counted = pixels > 0.5 if self.masked else torch.ones_like(pixels, dtype=torch.bool)
        loss = errors[counted].mean() if self.masked else errors.mean()
        weight = float(counted.sum()) if self.masked else 1.0
        if step == self.nan_at and batch["hit"]:
            loss = loss * float("nan")
        if step == self.inf_gradient_at and batch["hit"]:
            # The root of zero: a finite value with an infinite slope.
            loss = loss + (self.net.last.bias.sum() * 0).abs().sqrt()
        return StepOutput(loss, {"doubled": loss.detach() * 2}, batch["keys"], weight)

    def sample_grid(self, step: int) -> Image.Image:
        torch.rand(3)  # a picture may draw from the global stream; training must not feel it
        return Image.new("RGB", (8, 8))

    def export(self, folder: Path) -> None:
        (folder / "weight.txt").write_text(str(self.net.last.weight.sum().item()))


class Losses(BaseHook):
    """Remembers the loss of every step."""

    def __init__(self) -> None:
        self.by_step: dict[int, float] = {}

    def on_step(self, report: StepReport) -> None:
        self.by_step[report.step] = report.loss


def toy_recipe(**training: object) -> TrainRecipe:
    settings = {
        "max_steps": 20,
        "batch_size": 4,
        "warmup_steps": 3,
        "learning_rate": 1e-2,
        "weight_decay": 0.1,
        "ema_decay": 0.9,
        "precision": "fp32",
        "device": "cpu",
        "num_workers": 0,
        "num_threads": 1,
        "log_every": 1,
        "sample_every": 4,
        "checkpoint_every": 5,
    }
    return TrainRecipe(
        name="toy", task=AutoencoderTaskConfig(), training=TrainingConfig(**{**settings, **training})
    )


def run_toy(
    run_dir: Path, *, resume: bool = False, task: ToyTask | None = None, **training: object
) -> tuple[dict[int, float], TrainOutcome]:
    recipe, losses = toy_recipe(**training), Losses()
    outcome = train(recipe, task or ToyTask(recipe.training), run_dir, resume=resume, hooks=[losses])
    return losses.by_step, outcome
