"""From a recipe to a task, its usual hooks, and what a dry run tells; the command line composes them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dreamomni import runtime
from dreamomni.tasks.request import Request, parse_request
from dreamomni.training.config import AutoencoderTaskConfig, DitTaskConfig, TrainRecipe, VlmTaskConfig
from dreamomni.training.estimate.cost import Rate, estimate
from dreamomni.training.estimate.report import Estimate
from dreamomni.training.hooks import Console, Hook, MetricsFile, SampleFiles
from dreamomni.training.kontext_config import KontextTaskConfig
from dreamomni.training.task import TrainingTask
from dreamomni.training.tensorboard import TensorBoard
from dreamomni.training.utilisation import num_devices, peak_tflops


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
        case KontextTaskConfig():
            from dreamomni.training.kontext_task import KontextTask

            return KontextTask(recipe.task, recipe.training)


def standard_hooks(recipe: TrainRecipe, run_dir: Path) -> list[Hook]:
    """Console, metrics.jsonl, samples/ and tensorboard/ in the run folder."""
    training = recipe.training
    peak = peak_tflops(runtime.pick_device(training.device), training.peak_tflops)
    return [
        Console(training.log_every),
        MetricsFile(run_dir / "metrics.jsonl", training.log_every),
        SampleFiles(run_dir / "samples"),
        TensorBoard(run_dir / "tensorboard", training.log_every, peak=peak, devices=num_devices()),
    ]


def dry_run(recipe: TrainRecipe, *, processes: int = 1, rate: Rate | None = None) -> Estimate:
    """What the recipe will cost; nothing is trained, written, cached or fetched.

    Args:
        recipe: The recipe.
        processes: GPUs, one process each.
        rate: Speed to work out the time with.

    Raises:
        ConfigError: The recipe names something that is not there and cannot be assumed, or the batch does not
            divide among the processes.
        RequestError: A request of `validation` is not possible.
        DataError: Its data recipe cannot make a sample.
    """
    validation_requests(recipe)
    return estimate(recipe, processes=processes, rate=rate)


def validation_requests(recipe: TrainRecipe) -> list[Request]:
    """The requests of `validation`; without a task, one with images is an edit and one without is not.

    Raises:
        RequestError: A request is not possible.
    """
    return [parse_request({"task": _guess_task(request), **request}) for request in recipe.validation]


def _guess_task(request: Mapping[str, Any]) -> str:
    return "edit" if request.get("images") else "text_to_image"
