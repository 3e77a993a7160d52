"""`dreamomni data sample`: draw samples of a recipe into a folder."""

import argparse
import sys
from pathlib import Path
from typing import Any

from dreamomni.cli.arguments import add_overrides, positive_int
from dreamomni.cli.data.view import show


def add_parser(actions: Any) -> None:
    """Add the action."""
    sample = actions.add_parser(
        "sample",
        help="Draw samples of a recipe into a folder.",
        description="Draw samples as PNG and JSON files, with a contact sheet (sheet.png, index.html).",
        epilog="example: dreamomni data sample mini-world --out out/samples -n 16",
    )
    sample.add_argument(
        "recipe", metavar="RECIPE", help="a YAML file, or the name of a shipped recipe (mini-world)"
    )
    sample.add_argument("--out", required=True, metavar="DIR", help="made if missing")
    sample.add_argument("-n", "--num-samples", type=positive_int, default=16, metavar="N")
    sample.add_argument("--seed", type=int, default=0, metavar="N")
    sample.add_argument("--kind", default=None, help="only this kind, such as counting or replace")
    sample.add_argument("--split", default="train", choices=("train", "held_out"))
    add_overrides(sample, "size=128x128")
    sample.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draw the samples, write them and their contact sheet."""
    from dreamomni.config import load_recipe
    from dreamomni.data.annotators import load_annotators
    from dreamomni.data.collage.engine import CollageEngine, RejectedSampleError
    from dreamomni.data.collage.recipe import CollageRecipe
    from dreamomni.data.folder import write_samples
    from dreamomni.inference.output import make_folder

    recipe = load_recipe(args.recipe, CollageRecipe, args.overrides)
    engine = CollageEngine(recipe, split=args.split, annotators=load_annotators(recipe))
    samples = []
    for index in range(args.num_samples):
        try:
            samples.append(engine.sample(args.seed, index, kind=args.kind))
        except RejectedSampleError as error:
            # One that finds no room says so and leaves a gap; nothing stands in for it.
            rejected = error
            print(f"dreamomni: {error}", file=sys.stderr)
    if not samples:
        raise rejected
    folder = make_folder(Path(args.out))
    write_samples(samples, folder)
    return show(samples, folder, title=f"Samples of {args.recipe}")
