"""`dreamomni train`: a recipe -> weights."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamomni.cli.arguments import add_overrides, positive_int

if TYPE_CHECKING:
    from dreamomni.training.config import TrainRecipe


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
        "--resume", action="store_true", help="go on from the last checkpoint in the run folder"
    )
    parser.add_argument("--run-dir", default=None, metavar="DIR", help="default: runs/<name of the recipe>")
    costs = parser.add_argument_group("what it will cost")
    costs.add_argument(
        "--dry-run",
        action="store_true",
        help="print parameters, tokens, operations, memory, disk and time, and do nothing else",
    )
    costs.add_argument("--json", action="store_true", help="the same as JSON, with the resolved recipe")
    costs.add_argument(
        "--processes",
        type=positive_int,
        default=None,
        metavar="N",
        help="GPUs, one process each (default: 1)",
    )
    costs.add_argument(
        "--rate", type=float, default=None, metavar="X", help="samples a second of the whole run"
    )
    costs.add_argument("--tflops", type=float, default=None, metavar="X", help="peak of one GPU, such as 990")
    costs.add_argument(
        "--mfu", type=float, default=None, metavar="X", help="share of it that is used, such as 0.4"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Load the recipe, compose task and hooks, train."""
    from dreamomni.config import load_recipe
    from dreamomni.training.config import TrainRecipe

    _check_costs(args)
    recipe = load_recipe(args.recipe, TrainRecipe, args.overrides)

    from dreamomni.training.run import build_task, standard_hooks
    from dreamomni.training.trainer import train

    if args.dry_run:
        return _dry_run(recipe, args)

    from dreamomni.cli.watching import watching_hooks

    run_dir = Path(args.run_dir) if args.run_dir else Path("runs") / recipe.name
    task = build_task(recipe)
    hooks = standard_hooks(recipe, run_dir)
    hooks = [*hooks, *watching_hooks(recipe, task, run_dir, hooks)]
    outcome = train(recipe, task, run_dir, resume=args.resume, hooks=hooks)
    if outcome.export is not None:
        print(outcome.export)
    return outcome.exit_code


def _dry_run(recipe: "TrainRecipe", args: argparse.Namespace) -> int:
    import json

    from dreamomni.training.estimate.cost import Rate
    from dreamomni.training.estimate.report import show
    from dreamomni.training.run import dry_run

    found = dry_run(recipe, processes=args.processes or 1, rate=Rate(args.rate, args.tflops, args.mfu))
    if args.json:
        print(json.dumps(found.to_json(), indent=1))
    else:
        show(found)
    return 0


def _check_costs(args: argparse.Namespace) -> None:
    """Refuse options of a dry run without one: a real run must not start by mistake."""
    from dreamomni.errors import ConfigError

    given = [name for name in ("json", "processes", "rate", "tflops", "mfu") if getattr(args, name)]
    if given and not args.dry_run:
        raise ConfigError(f"--{given[0]} belongs to --dry-run: say that too, or leave it out")
