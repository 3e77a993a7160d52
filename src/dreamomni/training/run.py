"""From a recipe to a task, its usual hooks, and what a dry run tells; the command line composes them."""

from pathlib import Path
from typing import Any

from dreamomni.config import load_recipe
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.training.config import AutoencoderTaskConfig, DitTaskConfig, TrainRecipe, VlmTaskConfig
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
    """
    task = build_task(recipe)
    task.batch(0)  # a recipe whose first batch cannot be made must not pass
    return {
        "recipe": recipe.model_dump(mode="json"),
        "data": load_recipe(recipe.task.data, CollageRecipe).model_dump(mode="json"),
        "num_samples": recipe.training.max_steps * recipe.training.batch_size,
        "num_checkpoints": -(-recipe.training.max_steps // recipe.training.checkpoint_every),
    }
