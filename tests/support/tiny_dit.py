"""A DiT run of the real classes that takes milliseconds a step: tiny networks, tiny worlds."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file
from toy_training import toy_recipe

from dreamomni.models.autoencoder import MINI_VAE_CONFIG, Autoencoder
from dreamomni.models.vlm import build_mini_vlm
from dreamomni.training.config import TrainRecipe
from dreamomni.training.dit_task import DitTask
from dreamomni.training.hooks import MetricsFile
from dreamomni.training.run import build_task
from dreamomni.training.trainer import train

SMALL = "size: 32x32\nnames: [star, heart]\nmixture: {single: 1.0, add: 1.0}\nheld_out: {fraction: 0}\n"
EVERYTHING = """
size: [64x64, 96x64]
names: [star, heart, fish, tree, cup]
background_styles: {plain: 1.0}
mixture: {single: 2, text: 1, replace: 1, multi_edit: 1, inpaint: 1, outpaint: 1, drag_move: 1, canny: 1,
  depth: 1, subject: 6, segment: 1, detect: 1, combined: 1}
object_sizes: {1: [0.4, 0.5], 2: [0.3, 0.36], 3: [0.2, 0.26]}
reference: {num_sources: {1: 1, 2: 1}, source_sizes: [64x32], max_subjects: 2, source_objects: [1, 2]}
held_out: {fraction: 0}
"""
"""Every task, two canvas sizes, and up to two sources of sizes of their own."""


def build_parts(folder: Path) -> Path:
    """Write a tiny autoencoder, a tiny VLM and two worlds."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "world.yaml").write_text(SMALL)
    (folder / "everything.yaml").write_text(EVERYTHING)
    layout = {**MINI_VAE_CONFIG, "block_out_channels": (8, 8, 8, 8)}
    torch.manual_seed(0)
    Autoencoder(AutoencoderKL(**layout)).save_pretrained(folder / "vae")
    build_vlm(folder / "vlm")
    return folder


def build_vlm(folder: Path, hidden_size: int = 64) -> None:
    """Write a tiny VLM."""
    sizes = {"hidden_size": hidden_size, "num_heads": 4, "intermediate_size": 64, "num_layers": 2}
    vision = {"vision_width": 32, "vision_depth": 1, "vision_heads": 2}
    words = ["add a red star", "a heart", "replace the fish with a green tree", "image 1"]
    build_mini_vlm(words, vocab_size=320, **sizes, **vision).save_pretrained(folder)


def tiny_dit(parts: Path, max_steps: int = 5, training: dict[str, object] | None = None, **task: object):
    """A recipe; keywords change its task."""
    settings = {
        "type": "dit",
        "data": str(parts / "world.yaml"),
        "preset": "tiny",
        "autoencoder": str(parts / "vae"),
        "text_encoder": str(parts / "vlm"),
        "text_encoder_mode": "joint",
        "feature_cache": {"num_samples": 40},
        "sample_steps": 2,
    }
    base = toy_recipe(decay={"type": "constant"}, sample_every=100).training.model_dump()
    return TrainRecipe.model_validate(
        {
            "name": "tiny-dit",
            "task": {**settings, **task},
            "training": {**base, "max_steps": max_steps, "learning_rate": 1e-3, **(training or {})},
        }
    )


def prepared(parts: Path, folder: Path, training: dict[str, object] | None = None, **task: object) -> DitTask:
    """A task that is ready to make batches."""
    built = build_task(tiny_dit(parts, training=training, **task))
    assert isinstance(built, DitTask)
    torch.manual_seed(0)
    built.prepare(folder)
    return built


def run(recipe: TrainRecipe, folder: Path, *, resume: bool = False) -> None:
    """Train, with metrics in the run folder."""
    hooks = [MetricsFile(folder / "metrics.jsonl", 1)]
    train(recipe, build_task(recipe), folder, resume=resume, hooks=hooks)


def metrics(folder: Path) -> list[dict[str, float]]:
    """What was logged, step by step."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def losses(folder: Path) -> dict[int, float]:
    """Loss of every step."""
    return {row["step"]: row["loss"] for row in metrics(folder)}


def state(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of the newest checkpoint."""
    newest = max((folder / "checkpoints").glob("step-*"))
    names = ("modules", "ema", "optimizer")
    return {f"{name}:{k}": v for name in names for k, v in load_file(newest / f"{name}.safetensors").items()}
