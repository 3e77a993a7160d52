# ruff: noqa: T201
"""Recipes that differ in one thing, trained on equally many samples and evaluated alike: one table.

Run: python benchmarks/ablations.py --samples 64000 --out runs/ablations
     [--recipes ablation-base,ablation-v1] [--seeds 1,2,3] [--num-cases 24] [--set training.batch_size=16]

Each recipe gets a run folder in --out. A training that was stopped goes on where it stopped, and a finished
row (row.json) is kept: run the same command again to go on. A row of other settings is refused.
"""

import argparse
import json
import math
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import cv2

from dreamomni.config import list_recipes, load_recipe
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.errors import ConfigError
from dreamomni.evaluation.expectation import EDIT_METRICS, T2I_METRICS
from dreamomni.evaluation.generators import from_pipeline
from dreamomni.evaluation.record import Metrics
from dreamomni.evaluation.report import metric_text
from dreamomni.evaluation.runner import Generate, evaluate_world
from dreamomni.evaluation.statistics import Estimate, unweighted_mean
from dreamomni.inference.pipeline import DreamOmniPipeline
from dreamomni.storage import write_json
from dreamomni.training.config import TrainRecipe
from dreamomni.training.run import build_task, standard_hooks
from dreamomni.training.trainer import train

GROUP = "train/ablations/ablation-"
ROW = "row.json"
KINDS = (*T2I_METRICS, *EDIT_METRICS)
COLUMNS = ("overall", "single_object", "colors", "position", "edit_overall", "psnr_outside_mask")


def settings_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """What all rows of one table must have in common."""
    return {
        "samples": arguments.samples,
        "seeds": arguments.seeds,
        "num_cases": arguments.num_cases,
        "world": arguments.world,
        "overrides": arguments.overrides,
    }


def load(name: str, samples: int, overrides: Sequence[str]) -> TrainRecipe:
    """A recipe that trains on as many samples as asked, whatever its batch size.

    Raises:
        ConfigError: There is no such recipe, or there are too few samples for it.
    """
    recipe = load_recipe(name, TrainRecipe, overrides)
    steps = samples // recipe.training.batch_size
    if steps <= recipe.training.warmup_steps:
        raise ConfigError(
            f"{samples} samples are {steps} steps of {recipe.training.batch_size}, but {name} warms up for "
            f"{recipe.training.warmup_steps}: give more samples, or --set training.warmup_steps=0"
        )
    lengths = [f"training.max_steps={steps}", f"training.sample_every={steps}"]
    return load_recipe(name, TrainRecipe, [*overrides, *lengths])


def make_row(
    recipe: TrainRecipe, folder: Path, settings: dict[str, Any], kinds: Sequence[str] = KINDS
) -> dict[str, Any] | None:
    """Train one recipe and evaluate it on some kinds; None when the training was interrupted.

    The seconds are those of this call: a training that went on was longer.
    """
    started = time.monotonic()
    outcome = train(recipe, build_task(recipe), folder, resume=True, hooks=standard_hooks(recipe, folder))
    if not outcome.finished or outcome.export is None:
        return None
    trained = time.monotonic() - started
    pipe = DreamOmniPipeline.from_pretrained(outcome.export)
    pipe.set_progress_bar_config(disable=True)
    metrics = measure(from_pipeline(pipe), settings, kinds, pipe.card.tasks)
    parameters = sum(parameter.numel() for parameter in pipe.transformer.parameters())
    return {
        "name": recipe.name,
        "settings": settings,
        "parameters": parameters,
        "train_seconds": round(trained, 1),
        "metrics": {name: estimate._asdict() for name, estimate in metrics.items()},
    }


def measure(
    generate: Generate, settings: dict[str, Any], kinds: Sequence[str], tasks: Collection[str]
) -> dict[str, Estimate]:
    """The world evaluation with every seed of the settings, together."""
    world = load_recipe(settings["world"], CollageRecipe)
    rounds = [
        evaluate_world(
            generate,
            world,
            num_cases_per_kind=settings["num_cases"],
            num_seen_cases_per_kind=0,
            seed=seed,
            cheats=False,
            progress=False,
            kinds=kinds,
            tasks=tasks,
        ).metrics
        for seed in settings["seeds"]
    ]
    return together(rounds)


def together(rounds: Sequence[Metrics]) -> dict[str, Estimate]:
    """The mean over seeds; its error is the larger of what the cases and what the spread of the seeds say."""
    found = {}
    for name in rounds[0]:
        estimate = unweighted_mean([metrics[name].estimate for metrics in rounds])
        means = [metrics[name].mean for metrics in rounds]
        if len(means) > 1 and estimate.mean is not None:
            spread = sum((mean - estimate.mean) ** 2 for mean in means if mean is not None)
            error = math.sqrt(spread / (len(means) - 1) / len(means))
            estimate = estimate._replace(stderr=max(estimate.stderr or 0.0, error))
        found[name] = estimate
    return found


def read_row(folder: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """A finished row.

    Raises:
        ConfigError: It was made with other settings.
    """
    path = folder / ROW
    if not path.is_file():
        return None
    row: dict[str, Any] = json.loads(path.read_text())
    if row["settings"] != settings:
        raise ConfigError(
            f"{path} was made with {row['settings']}, not with {settings}: give another --out, or delete it"
        )
    return row


def print_rows(rows: Sequence[dict[str, Any]]) -> None:
    """Print the table as Markdown."""
    print(f"| recipe | parameters | training, s | {' | '.join(COLUMNS)} |")
    print("|---" * (len(COLUMNS) + 3) + "|")
    for row in rows:
        metrics: Metrics = load_metrics(row["metrics"])
        cells = " | ".join(metric_text(name, metrics) for name in COLUMNS)
        print(f"| {row['name']} | {row['parameters']:,} | {row['train_seconds']:.0f} | {cells} |", flush=True)


def load_metrics(tree: dict[str, Any]) -> Metrics:
    """Metrics as they were written."""
    from dreamomni.evaluation.record import MetricRecord

    return {name: MetricRecord(**values) for name, values in tree.items()}


def main() -> None:
    """Train what is missing, print all."""
    shipped = [name.rpartition("/")[2] for name in list_recipes() if name.startswith(GROUP)]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--recipes", default=",".join(shipped), help="names or paths, divided by commas")
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--samples", type=int, default=64_000, help="samples that each recipe trains on")
    parser.add_argument("--seeds", default="1,2,3", help="seeds of the evaluation's cases and noise")
    parser.add_argument("--num-cases", type=int, default=24, help="cases of each kind and seed")
    parser.add_argument("--world", default="mini-v1", help="data recipe of the cases")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    arguments.seeds = [int(seed) for seed in arguments.seeds.split(",")]
    cv2.setNumThreads(1)
    settings = settings_of(arguments)
    # All recipes are read first: a mistake in the last must not cost the time of the first.
    recipes = [load(name, arguments.samples, arguments.overrides) for name in arguments.recipes.split(",")]
    rows = []
    for recipe in recipes:
        folder = arguments.out / recipe.name
        row = read_row(folder, settings)
        if row is None:
            row = make_row(recipe, folder, settings)
            if row is None:
                print(f"{recipe.name} was interrupted; run the same command again to go on")
                break
            write_json(folder / ROW, row)
        rows.append(row)
    print_rows(rows)


if __name__ == "__main__":
    main()
