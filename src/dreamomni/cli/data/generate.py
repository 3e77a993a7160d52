"""`dreamomni data generate`: a data set of shards, resumable, the same bytes however it is made."""

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamomni.cli.arguments import add_overrides, positive_int

if TYPE_CHECKING:
    from dreamomni.data.shards.generate import Summary
    from dreamomni.data.shards.writer import Report

_SECONDS_OF_SPEED = 30.0


def add_parser(actions: Any) -> None:
    """Add the action."""
    generate = actions.add_parser(
        "generate",
        help="Make a data set of tar shards from a recipe.",
        description=(
            "Make webdataset shards, each with a parquet table and statistics. Stopped at any moment, the "
            "same command goes on; the bytes are the same for any number of workers, here or on a cluster."
        ),
        epilog="example: dreamomni data generate mini-world --out out/shards --num-samples 10000 --workers 2",
    )
    generate.add_argument("recipe", metavar="RECIPE", help="a YAML file, or the name of a shipped recipe")
    generate.add_argument("--out", required=True, metavar="DIR", help="made if missing")
    generate.add_argument("-n", "--num-samples", type=positive_int, required=True, metavar="N")
    generate.add_argument("--seed", type=int, default=0, metavar="N")
    generate.add_argument("--split", default="train", choices=("train", "held_out"))
    generate.add_argument(
        "--workers", type=positive_int, default=1, metavar="W", help="processes (default: %(default)s)"
    )
    generate.add_argument(
        "--engine",
        default="local",
        choices=("local", "ray"),
        help="processes here, or the Ray cluster at RAY_ADDRESS (default: %(default)s)",
    )
    generate.add_argument(
        "--shard-size", type=positive_int, default=1000, metavar="M", help="samples (default: %(default)s)"
    )
    generate.add_argument(
        "--shard-range", default="0/1", metavar="I/N", help="only part I of N, numbered from 0"
    )
    generate.add_argument(
        "--image-format",
        default="auto",
        choices=("auto", "png", "jpeg", "jpeg420"),
        help="auto: PNG, and JPEG 4:4:4 where the background is a photograph",
    )
    polish = generate.add_argument_group(
        "better words (a language model rewrites them; what changes numbers, colours or places is refused)"
    )
    polish.add_argument(
        "--polish-model", default=None, metavar="NAME", help="at the endpoint, or a folder or hub id"
    )
    polish.add_argument(
        "--polish-endpoint",
        default=None,
        metavar="URL",
        help="OpenAI-compatible server such as http://localhost:8000/v1; its key is read from OPENAI_API_KEY",
    )
    polish.add_argument(
        "--polish-cache",
        default="out/answers.db",
        metavar="FILE",
        help="answers so far; with the same answers the bytes are the same (default: %(default)s)",
    )
    generate.add_argument("--quiet", action="store_true", help="no progress bar")
    add_overrides(generate, "size=256x256")
    generate.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make the data set and say what is in it."""
    from dreamomni.config import load_recipe
    from dreamomni.data.collage.recipe import CollageRecipe
    from dreamomni.data.polish.job import PolishJob
    from dreamomni.data.shards.generate import ShardRange, generate
    from dreamomni.data.shards.job import ShardJob
    from dreamomni.errors import ConfigError

    if args.polish_endpoint and not args.polish_model:
        raise ConfigError("--polish-endpoint needs the name of a model there: give --polish-model")
    polish = None
    if args.polish_model:
        polish = PolishJob(args.polish_model, Path(args.polish_cache).absolute(), args.polish_endpoint)
    job = ShardJob(
        load_recipe(args.recipe, CollageRecipe, args.overrides),
        Path(args.out),
        num_samples=args.num_samples,
        seed=args.seed,
        split=args.split,
        shard_size=args.shard_size,
        image_format=args.image_format,
        polish=polish,
    )
    shard_range = ShardRange.parse(args.shard_range)
    shards = shard_range.shards(job.num_shards)
    total = sum(len(job.indices(shard)) for shard in shards)
    with progress_bar(total, quiet=args.quiet) as report:
        summary = generate(
            job, num_workers=args.workers, engine=args.engine, shard_range=shard_range, report=report
        )
    tell(summary, job.folder)
    return 0


@contextmanager
def progress_bar(total: int, *, quiet: bool) -> "Iterator[Report]":
    """Show samples, samples per second, time left, and what was rejected, on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    rejected: Counter[str] = Counter()
    console = Console(stderr=True)
    columns = (
        TextColumn("generating"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[rejected]}"),
    )
    with Progress(
        *columns, console=console, disable=quiet, speed_estimate_period=_SECONDS_OF_SPEED
    ) as progress:
        bar = progress.add_task("generating", total=total, speed="", rejected="")

        def report(done: int, refused: Mapping[str, int]) -> None:
            rejected.update(refused)
            progress.update(bar, advance=done, rejected=_count(rejected, "rejected"))
            speed = progress.tasks[0].speed
            progress.update(bar, speed="" if speed is None else f"{speed:,.1f} samples/s")

        yield report


def tell(summary: "Summary", folder: Path) -> None:
    """Print what the shards hold."""
    print(
        f"{folder}: {summary.num_samples:,} samples in {summary.num_shards:,} "
        f"shard{'' if summary.num_shards == 1 else 's'}, {summary.num_bytes / 1e6:,.1f} MB"
    )
    for task, kinds in summary.samples.items():
        print(
            f"  {task}: {kinds.total():,} ({', '.join(f'{kind} {kinds[kind]:,}' for kind in sorted(kinds))})"
        )
    for counts, what in ((summary.rejected, "rejected"), (summary.redrawn, "drawn again")):
        if counts:
            print(f"  {_count(counts, what)}")


def _count(counts: Mapping[str, int], what: str) -> str:
    if not counts:
        return ""
    listed = ", ".join(f"{reason} {counts[reason]:,}" for reason in sorted(counts))
    return f"{what}: {sum(counts.values()):,} ({listed})"
