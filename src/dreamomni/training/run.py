"""From a recipe to a task, its usual hooks, and what a dry run tells; the command line composes them."""

from pathlib import Path
from typing import Any

import torch

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.training.config import (
    AutoencoderTaskConfig,
    DitTaskConfig,
    TaskConfig,
    TrainRecipe,
    VlmTaskConfig,
)
from dreamomni.training.hooks import Console, Hook, MetricsFile, SampleFiles, TensorBoard
from dreamomni.training.task import TrainingTask


def build_task(recipe: TrainRecipe) -> TrainingTask:
    """The task of a recipe. Models and caches are built by its `prepare`, batches can be made at once.

    Raises:
        ConfigError: the recipe names data, a folder or a preset that is not there.
    """
    match recipe.task:
        case AutoencoderTaskConfig():
            from dreamomni.training.autoencoder_task import AutoencoderTask

            return AutoencoderTask(recipe.task, recipe.training)
        case VlmTaskConfig():
            from dreamomni.training.vlm_task import VlmTask

            return VlmTask(recipe.task, recipe.training)
        case DitTaskConfig():
            from dreamomni.training.dit_task import DitTask

            return DitTask(recipe.task, recipe.training)


def standard_hooks(recipe: TrainRecipe, run_dir: Path) -> list[Hook]:
    """Console, metrics.jsonl, samples/ and tensorboard/ in the run folder."""
    log_every = recipe.training.log_every
    return [
        Console(log_every),
        MetricsFile(run_dir / "metrics.jsonl", log_every),
        SampleFiles(run_dir / "samples"),
        TensorBoard(run_dir / "tensorboard", log_every),
    ]


def dry_run(recipe: TrainRecipe) -> dict[str, Any]:
    """The resolved recipe and the sizes that follow from it; nothing is trained, written or cached.

    Raises:
        ConfigError: the recipe names something that is not there.
        DataError: its data recipe cannot make a sample.
    """
    data = load_recipe(recipe.task.data, CollageRecipe)
    CollageEngine(data).sample(recipe.training.seed, 0)
    training = recipe.training
    return {
        "recipe": recipe.model_dump(mode="json"),
        "data": data.model_dump(mode="json"),
        "num_parameters": _num_parameters(recipe.task),
        "num_samples": training.max_steps * training.batch_size,
        "num_checkpoints": -(-training.max_steps // training.checkpoint_every),
    }


def _num_parameters(task: TaskConfig) -> int | None:
    """Parameters of the network to train; None where they depend on words that a dry run does not read."""
    match task:
        case AutoencoderTaskConfig(init_from=None):
            from dreamomni.training.autoencoder_task import build_autoencoder

            with torch.device("meta"):
                return sum(p.numel() for p in build_autoencoder(task).model.parameters())
        case DitTaskConfig():
            from dreamomni.models.presets import count_parameters

            return count_parameters(task.preset)["total"]
    return None
