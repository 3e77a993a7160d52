"""Hooks that let evaluation and inference look at a model in training; training itself knows neither."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

    from dreamomni.inference.pipeline import DreamOmniPipeline
    from dreamomni.training.config import TrainRecipe
    from dreamomni.training.hooks import Hook


def watching_hooks(recipe: "TrainRecipe", task: Any, run_dir: Path, hooks: "list[Hook]") -> "list[Hook]":
    """What the recipe's `evaluate` and `validation` ask for.

    Args:
        recipe: The recipe.
        task: Has `pipeline_parts()`, once it is prepared: the parts of a pipeline around the live modules.
        run_dir: Records go to `evaluation/` in it.
        hooks: Told what comes out.

    Raises:
        ConfigError: The world to evaluate is not there.
        RequestError: A request of `validation` is not possible.
    """
    from dreamomni.training.hooks import Hook
    from dreamomni.training.run import validation_requests
    from dreamomni.training.watching import Measure, Show

    found: list[Hook] = []
    requests = validation_requests(recipe)
    if requests:
        found.append(Show("validation", lambda: _answers(_pipeline(task), requests), hooks))
    if recipe.evaluate is not None:
        every, last = recipe.evaluate.every, recipe.training.max_steps
        measure = _evaluation(recipe, task, run_dir / "evaluation")
        found.append(Measure("evaluate", every, last, measure, hooks))
    return found


def _pipeline(task: Any) -> "DreamOmniPipeline":
    from dreamomni.inference.pipeline import DreamOmniPipeline

    pipe = DreamOmniPipeline(**task.pipeline_parts())
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _answers(pipe: "DreamOmniPipeline", requests: Any) -> "Image.Image":
    from dreamomni.tasks.images import load_image
    from dreamomni.training.pictures import request_sheet

    results = pipe.run_batch(requests)
    return request_sheet(
        [
            ([load_image(image) for image in request.images], result.images[0], request.prompt)
            for request, result in zip(requests, results, strict=True)
        ]
    )


def _evaluation(recipe: "TrainRecipe", task: Any, folder: Path) -> Any:
    from dreamomni.config import load_recipe
    from dreamomni.data.collage.recipe import CollageRecipe
    from dreamomni.evaluation.generators import from_pipeline
    from dreamomni.evaluation.runner import evaluate_world

    settings = recipe.evaluate
    assert settings is not None
    if settings.world is not None:
        load_recipe(settings.world, CollageRecipe)  # a wrong name shall not wait for the first evaluation

    def measure(step: int) -> dict[str, float]:
        pipe = _pipeline(task)
        world = settings.world or pipe.card.world or "mini-world"
        record = evaluate_world(
            from_pipeline(pipe),
            load_recipe(world, CollageRecipe),
            folder / f"step-{step:08d}",
            num_cases_per_kind=settings.num_cases,
            num_seen_cases_per_kind=0,
            batch_size=settings.batch_size,
            cheats=False,
            tasks=pipe.card.tasks,
            progress=False,
            model={"name": recipe.name, "step": step},
        )
        return {name: metric.mean for name, metric in record.metrics.items() if metric.mean is not None}

    return measure
