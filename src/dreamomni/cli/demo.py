"""`dreamomni demo`: a gallery of all that one model learned."""

import argparse
from pathlib import Path
from typing import Any

from dreamomni.cli.arguments import add_model_arguments, load_pipeline


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "demo",
        help="Make a gallery of every task of a model.",
        description="Make pictures from words, and of every other task of the model some with known truth; "
        "write gallery.png and index.html.",
    )
    parser.add_argument(
        "--out", default="out/demo", metavar="DIR", help="made if missing (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="draws the noise and the edited pictures"
    )
    add_model_arguments(parser)
    parser.set_defaults(run=run, quiet=True)


def run(args: argparse.Namespace) -> int:
    """Load, make, write, and say where."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from dreamomni.inference.gallery import describe, make_exhibits, write_gallery
    from dreamomni.inference.output import make_folder

    folder = make_folder(Path(args.out))
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    ) as bars:
        rows = {"load the model": bars.add_task("load the model", total=1)}
        pipe = load_pipeline(args)
        bars.update(rows["load the model"], completed=1)

        def show(what: str, done: int, total: int) -> None:
            if what not in rows:
                rows[what] = bars.add_task(what, total=total)
            bars.update(rows[what], completed=done)

        exhibits = make_exhibits(pipe, seed=args.seed, on_progress=show)
        gallery = write_gallery(exhibits, folder, describe(pipe, args.seed))
    print(gallery.picture)
    print(gallery.page)
    return 0
