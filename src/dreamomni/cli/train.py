"""`dreamomni train`: a recipe -> weights."""

import argparse
from pathlib import Path
from typing import Any

from dreamomni.cli.arguments import add_overrides


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "train",
        help="Train a model from a recipe.",
        description="Train from a recipe: a YAML file, or the name of a shipped one (such as mini-dit).",
        epilog="example: dreamomni train mini-dit --set training.max_steps=1000 --resume",
    )
    parser.add_argument("recipe", metavar="RECIPE")
    add_overrides(parser, "training.batch_size=32")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the resolved recipe and derived sizes, then stop"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint in the run folder"
    )
    parser.add_argument("--run-dir", default=None, metavar="DIR", help="default: runs/<name of the recipe>")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Load the recipe, compose task and hooks, train."""
    import yaml

    from dreamomni.config import load_recipe
    from dreamomni.training.config import TrainRecipe

    recipe = load_recipe(args.recipe, TrainRecipe, args.overrides)

    from dreamomni.training.run import build_task, dry_run, standard_hooks
    from dreamomni.training.trainer import train

    if args.dry_run:
        print(yaml.safe_dump(dry_run(recipe), sort_keys=False, width=110), end="")
        return 0
    run_dir = Path(args.run_dir) if args.run_dir else Path("runs") / recipe.name
    outcome = train(
        recipe, build_task(recipe), run_dir, resume=args.resume, hooks=standard_hooks(recipe, run_dir)
    )
    if outcome.export is not None:
        print(outcome.export)
    return outcome.exit_code
