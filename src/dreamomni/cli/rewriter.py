"""`dreamomni evaluate rewriter`: what a rewriter makes of users' words, as numbers with error bars."""

import argparse
from pathlib import Path
from typing import Any

from dreamomni.cli.arguments import positive_int
from dreamomni.cli.progress import following


def add_suite(suites: Any) -> None:
    """Add the suite to those of `dreamomni evaluate`."""
    parser = suites.add_parser(
        "rewriter",
        help="Words about several images, and the standard form that a rewriter makes of them.",
        description="Let the VLM that rewrites instructions put what users say in held-out samples into the "
        "standard form, and print how often it is right.",
        epilog="example: dreamomni evaluate rewriter --model runs/mini-rewriter/export",
    )
    parser.add_argument(
        "--model",
        default="mini",
        metavar="MODEL",
        help="the folder of a rewriter, or a model that has one (default: %(default)s)",
    )
    parser.add_argument(
        "--data", default="mini-references", metavar="RECIPE", help="data recipe (default: %(default)s)"
    )
    parser.add_argument(
        "--split",
        choices=("held_out", "train"),
        default="held_out",
        help="held_out: things in colors that training never showed (default: %(default)s)",
    )
    parser.add_argument(
        "--num-cases", type=positive_int, default=32, metavar="N", help="of each kind (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="draws the cases")
    parser.add_argument("--out", default=None, metavar="FILE", help="write every case and number as JSON")
    parser.add_argument("--device", default=None, help="cpu, cuda, cuda:N or mps (default: the best at hand)")
    parser.add_argument("--dtype", default=None, help="bf16, fp32 or fp16 (default: by device)")
    parser.add_argument("--threads", type=positive_int, default=None, metavar="N", help="CPU threads")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Load the rewriter, ask it, print the table."""
    from rich.console import Console
    from rich.table import Table

    from dreamomni.config import load_recipe
    from dreamomni.data.collage.recipe import CollageRecipe
    from dreamomni.evaluation.rewriting import MEASURES, RewriterReport, ask_rewriter, asked_kinds
    from dreamomni.inference.output import make_folder
    from dreamomni.inference.rewriting.rewriter import Rewriter, find_rewriter
    from dreamomni.runtime import pick_device, pick_dtype, set_threads
    from dreamomni.storage import write_json

    if args.out is not None:
        make_folder(Path(args.out).parent)
    recipe = load_recipe(args.data, CollageRecipe)
    folder = find_rewriter(args.model)
    set_threads(args.threads)
    device = pick_device(args.device)
    rewriter = Rewriter.open(folder, device=device, dtype=pick_dtype(args.dtype, device))
    cases = ask_rewriter(rewriter, recipe, num_cases=args.num_cases, seed=args.seed, split=args.split)
    total = args.num_cases * len(asked_kinds(recipe))
    report = RewriterReport(tuple(following(cases, total, "rewriting", quiet=args.quiet)))
    table = Table("kind", *MEASURES, title=f"Rewriter {folder}, {args.split} samples of {args.data}")
    for kind, found in {**report.by_kind(), "all": report.overall()}.items():
        table.add_row(kind, *(str(found[measure]) for measure in MEASURES))
    Console().print(table)
    if args.out is not None:
        about = {"model": str(args.model), "hash": rewriter.weights_hash, "dtype": str(rewriter.dtype)}
        asked = {"data": args.data, "split": args.split, "seed": args.seed, "num_cases": args.num_cases}
        write_json(Path(args.out), {**about, **asked, **report.to_json()})
    return 0
