# ruff: noqa: T201
"""Tables 4 and 5 of DreamOmni2 on mini, each by one command, beside the paper's numbers.

Run: python benchmarks/references.py encodings --samples 128000 --out runs/ablations
     [--recipes references-both,references-none] [--set task.init_from=FOLDER/transformer]
Index encoding and position shift: four trainings that differ in nothing else, then the evaluation of each.

     python benchmarks/references.py rewriting --model FOLDER --out runs/ablations/rewriting
The base model, with its LoRAs, with its rewriter, with both: one model, asked four times.

Both evaluate with the seeds 1,2,3 (--seeds), and with --num-cases cases of each kind and seed. A finished row
is kept: run the same command again to go on. A row of other settings is refused.
"""

import argparse
import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
from ablations import ROW, load, load_metrics, make_row, measure, read_row, settings_of

from dreamomni.errors import ConfigError
from dreamomni.evaluation.cases import EvalCase
from dreamomni.evaluation.expectation import REFERENCE_METRICS
from dreamomni.evaluation.generators import from_pipeline
from dreamomni.evaluation.report import metric_text
from dreamomni.evaluation.runner import Generate
from dreamomni.inference.pipeline import DreamOmniPipeline
from dreamomni.storage import write_json
from dreamomni.tasks.request import parse_request

ENCODINGS = ("references-none", "references-shift", "references-index", "references-both")
SWITCHES: Mapping[str, tuple[str, bool]] = {
    "base": ("none", False),
    "lora": ("auto", False),
    "rewriter": ("none", True),
    "both": ("auto", True),
}
"""What is on in each row of Table 4: which adapter, and whether words are rewritten."""

KINDS = tuple(kind for kind in REFERENCE_METRICS if kind not in ("reference_style", "reference_font"))
"""What the autoencoder of mini can show at 64 pixels."""

SHARES = ("references_concrete", "references_abstract", "generation_concrete", "generation_abstract")
COLUMNS = (*SHARES, "references_followed", "references_swapped", "generation_followed", "generation_swapped")
HEADINGS = (
    "edit concrete",
    "edit abstract",
    "generation concrete",
    "generation abstract",
    "edit, right image",
    "edit, both orders",
    "generation, right image",
    "generation, both orders",
)
PAPER: Mapping[str, tuple[float, float, float, float]] = {
    "references-none": (0.2439, 0.2805, 0.2917, 0.2222),
    "references-shift": (0.4634, 0.5427, 0.5417, 0.5111),
    "references-index": (0.3415, 0.3902, 0.4167, 0.4556),
    "references-both": (0.6585, 0.6280, 0.6667, 0.6333),
    "base": (0.1220, 0.0122, 0.3750, 0.1222),
    "lora": (0.3659, 0.3171, 0.4583, 0.3444),
    "rewriter": (0.2439, 0.3415, 0.5417, 0.4778),
    "both": (0.6585, 0.6280, 0.6667, 0.6333),
}
"""Success by row and the first four columns: Tables 5 and 4, judged by Doubao on 41, 164, 24 and 90 cases."""


def switched(generate: Generate, adapter: str, rewrite: bool) -> Generate:
    """The same model, asked with an adapter and with its rewriter on or off."""

    def ask(cases: Sequence[EvalCase]) -> Any:
        return generate([dataclasses.replace(case, request=_with(case, adapter, rewrite)) for case in cases])

    return ask


def _with(case: EvalCase, adapter: str, rewrite: bool) -> Any:
    request = case.request
    asked = {name: getattr(request, name) for name in request.model_fields_set}
    return parse_request({**asked, "adapter": adapter, "rewrite": rewrite})


def encodings(arguments: argparse.Namespace, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Train and evaluate what is missing of Table 5."""
    names = arguments.recipes.split(",")
    recipes = [load(name, arguments.samples, arguments.overrides) for name in names]
    rows = []
    for recipe in recipes:
        folder = arguments.out / recipe.name
        row = read_row(folder, settings) or make_row(recipe, folder, settings, arguments.kinds)
        if row is None:
            print(f"{recipe.name} was interrupted; run the same command again to go on")
            break
        write_json(folder / ROW, row)
        rows.append(row)
    return rows


def rewriting(arguments: argparse.Namespace, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Evaluate what is missing of Table 4.

    Raises:
        ConfigError: The model lacks a LoRA or the rewriter.
    """
    pipe = DreamOmniPipeline.from_pretrained(arguments.model)
    pipe.set_progress_bar_config(disable=True)
    lacking = [name for name in ("edit", "generate") if not pipe.adapters.get(name)]
    lacking += [] if pipe.rewriter is not None else ["rewriter"]
    if lacking:
        raise ConfigError(
            f"{arguments.model} has no {', no '.join(lacking)}: Table 4 needs edit_lora/, gen_lora/ and "
            "rewriter/ in the model folder"
        )
    settings = settings | {"model": pipe.model_hash}
    rows = []
    for name, (adapter, rewrite) in SWITCHES.items():
        folder = arguments.out / name
        row = read_row(folder, settings)
        if row is None:
            started = time.monotonic()
            generate = switched(from_pipeline(pipe), adapter, rewrite)
            metrics = measure(generate, settings, arguments.kinds, pipe.card.tasks)
            row = {
                "name": name,
                "settings": settings,
                "seconds": round(time.monotonic() - started, 1),
                "metrics": {metric: estimate._asdict() for metric, estimate in metrics.items()},
            }
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / ROW, row)
        rows.append(row)
    return rows


def print_rows(rows: Sequence[dict[str, Any]]) -> None:
    """Print the table as Markdown: what was measured, and in brackets what the paper has."""
    print(f"| scheme | {' | '.join(HEADINGS)} |")
    print("|---" * (len(HEADINGS) + 1) + "|")
    for row in rows:
        metrics = load_metrics(row["metrics"])
        cells = [metric_text(name, metrics) for name in COLUMNS]
        paper = [f" ({100 * share:.1f} %)" for share in PAPER.get(row["name"], ())]
        cells = [cell + told for cell, told in zip(cells, [*paper, *[""] * len(cells)], strict=False)]
        print(f"| {row['name']} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Make what is missing of one table, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("table", choices=("encodings", "rewriting"))
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--recipes", default=",".join(ENCODINGS), help="of encodings: names or paths")
    parser.add_argument("--samples", type=int, default=128_000, help="of encodings: samples of each training")
    parser.add_argument(
        "--model", default="mini", help="of rewriting: a model with both LoRAs and a rewriter"
    )
    parser.add_argument("--seeds", default="1,2,3", help="seeds of the evaluation's cases and noise")
    parser.add_argument("--num-cases", type=int, default=24, help="cases of each kind and seed")
    parser.add_argument("--world", default="mini-references", help="data recipe of the cases")
    parser.add_argument("--kinds", default=",".join(KINDS), help="kinds of cases")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    arguments.seeds = [int(seed) for seed in arguments.seeds.split(",")]
    arguments.kinds = arguments.kinds.split(",")
    if arguments.table == "rewriting":
        arguments.samples = 0
    cv2.setNumThreads(1)
    make = {"encodings": encodings, "rewriting": rewriting}[arguments.table]
    print_rows(make(arguments, {**settings_of(arguments), "kinds": arguments.kinds}))


if __name__ == "__main__":
    main()
