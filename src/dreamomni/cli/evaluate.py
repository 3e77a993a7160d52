"""`dreamomni evaluate`: a model -> numbers with error bars."""

import argparse
from typing import Any

from dreamomni.cli.arguments import add_model_arguments


def add_parser(verbs: Any) -> None:
    """Add the verb and its suites."""
    parser = verbs.add_parser("evaluate", help="Measure a model.")
    suites = parser.add_subparsers(metavar="SUITE", required=True, title="suites")
    world = suites.add_parser(
        "world",
        help="Prompts and edits of the collage world, checked by program.",
        description="Ask for held-out pictures and edits of the world, check by program what came out, "
        "print a table, write record.json and a page with every picture.",
        epilog="example: dreamomni evaluate world --model mini --out out/evaluation",
    )
    world.add_argument("--out", required=True, metavar="DIR", help="made if missing")
    world.add_argument("--recipe", default="world", help="evaluation recipe (default: %(default)s)")
    world.add_argument("--num-cases", type=int, default=None, metavar="N", help="cases of each kind")
    world.add_argument("--seed", type=int, default=0, metavar="N")
    world.add_argument("--steps", type=int, default=None, metavar="N", help="denoising steps")
    world.add_argument("--guidance", type=float, default=None, metavar="X")
    world.add_argument("--image-guidance", type=float, default=None, metavar="X")
    world.add_argument("--quiet", action="store_true", help="no progress bar")
    add_model_arguments(world)
    world.set_defaults(run=run_world)


def run_world(args: argparse.Namespace) -> int:
    """Load the model, evaluate it, print the table."""
    raise NotImplementedError
