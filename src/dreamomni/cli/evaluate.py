"""`dreamomni evaluate`: a model -> numbers with error bars."""

import argparse
import shlex
from pathlib import Path
from typing import Any

from dreamomni.cli import rewriter
from dreamomni.cli.arguments import add_model_arguments, add_overrides, load_pipeline, positive_int


def add_parser(verbs: Any) -> None:
    """Add the verb and its suites."""
    parser = verbs.add_parser("evaluate", help="Measure a model.")
    suites = parser.add_subparsers(metavar="SUITE", required=True, title="suites")
    world = suites.add_parser(
        "world",
        help="Requests of every task in the collage world, checked by program.",
        description="Ask for held-out pictures of every task that the model serves, check by program what "
        "came out, print a table, write record.json and a page with every picture.",
        epilog="example: dreamomni evaluate world --model mini --out out/evaluation",
    )
    world.add_argument("--out", required=True, metavar="DIR", help="made if missing")
    world.add_argument("--recipe", default="eval/world", help="evaluation recipe (default: %(default)s)")
    world.add_argument(
        "--world", default=None, help="data recipe (default: the world that the model learned)"
    )
    world.add_argument("--num-cases", type=positive_int, default=None, metavar="N", help="cases of each kind")
    world.add_argument(
        "--kinds", default=None, metavar="K,K", help="only these kinds of cases, such as inpaint,drag_move"
    )
    world.add_argument(
        "--features",
        default=None,
        metavar="DIR",
        help="autoencoder that measures perceptual distances (default: the model's own)",
    )
    world.add_argument("--seed", type=int, default=None, metavar="N", help="draws the cases")
    world.add_argument("--steps", type=int, default=None, metavar="N", help="denoising steps")
    world.add_argument("--guidance", type=float, default=None, metavar="X")
    world.add_argument("--image-guidance", type=float, default=None, metavar="X")
    add_overrides(world, "num_seen_cases_per_kind=12")
    world.add_argument("--quiet", action="store_true", help="no progress bar")
    add_model_arguments(world)
    world.set_defaults(run=run_world)
    rewriter.add_suite(suites)


def run_world(args: argparse.Namespace) -> int:
    """Load the model, evaluate it, print the table."""
    from dreamomni.config import load_recipe
    from dreamomni.data.collage.recipe import CollageRecipe
    from dreamomni.evaluation.generators import from_pipeline
    from dreamomni.evaluation.perceptual import EncoderFeatures
    from dreamomni.evaluation.report import print_table, write_page
    from dreamomni.evaluation.runner import WorldEvaluation, evaluate_world
    from dreamomni.inference.output import make_folder
    from dreamomni.models.autoencoder import Autoencoder

    changes = {
        "num_cases_per_kind": args.num_cases,
        "seed": args.seed,
        "world": args.world,
        "kinds": None if args.kinds is None else f"[{args.kinds}]",
        "features": args.features,
    }
    overrides = [*args.overrides, *(f"{key}={value}" for key, value in changes.items() if value is not None)]
    settings = load_recipe(args.recipe, WorldEvaluation, overrides)
    folder = make_folder(Path(args.out))
    show, args.quiet = not args.quiet, True
    pipe = load_pipeline(args)
    world = settings.world if args.world else pipe.card.world or settings.world
    given = {
        "num_inference_steps": args.steps,
        "guidance_scale": args.guidance,
        "image_guidance_scale": args.image_guidance,
    }
    options = {key: getattr(pipe.card, key) if value is None else value for key, value in given.items()}
    features = (
        EncoderFeatures.from_pretrained(settings.features)
        if settings.features
        else EncoderFeatures(Autoencoder(pipe.vae), f"the autoencoder of {pipe.card.name}")
    )
    record = evaluate_world(
        from_pipeline(pipe, **options),
        load_recipe(world, CollageRecipe),
        folder,
        **settings.model_dump(exclude={"world", "features"}),
        tasks=pipe.card.tasks,
        features=features,
        progress=show,
        model={"name": pipe.card.name, "hash": pipe.model_hash, **options},
        command=shlex.join(["dreamomni", *args.argv]),
    )
    print_table(record)
    print(write_page(record, folder))
    return 0
