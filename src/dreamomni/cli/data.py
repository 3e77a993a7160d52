"""`dreamomni data`: look at what a data recipe makes."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamomni.cli.arguments import positive_int

if TYPE_CHECKING:
    from dreamomni.tasks.sample import TrainingSample


def add_parser(verbs: Any) -> None:
    """Add the verb and its two actions."""
    parser = verbs.add_parser("data", help="Draw samples of a data recipe, or look at some.")
    actions = parser.add_subparsers(metavar="ACTION", required=True, title="actions")

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
    sample.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a recipe value",
    )
    sample.set_defaults(run=run_sample)

    view = actions.add_parser(
        "view",
        help="Write the contact sheet of a folder of samples.",
        description="Write sheet.png and index.html for the samples in a folder, and say where they are.",
    )
    view.add_argument("folder", metavar="DIR", type=Path)
    view.set_defaults(run=run_view)


def run_sample(args: argparse.Namespace) -> int:
    """Draw the samples, write them and their contact sheet."""
    from dreamomni.config import load_recipe
    from dreamomni.data.collage.engine import CollageEngine
    from dreamomni.data.collage.recipe import CollageRecipe
    from dreamomni.data.folder import write_samples
    from dreamomni.inference.output import make_folder

    engine = CollageEngine(load_recipe(args.recipe, CollageRecipe, args.overrides), split=args.split)
    samples = [engine.sample(args.seed, index, kind=args.kind) for index in range(args.num_samples)]
    folder = make_folder(Path(args.out))
    write_samples(samples, folder)
    return _show(samples, folder)


def run_view(args: argparse.Namespace) -> int:
    """Write the contact sheet of a folder."""
    from dreamomni.data.folder import read_samples

    return _show(read_samples(args.folder), args.folder)


def _show(samples: "list[TrainingSample]", folder: Path) -> int:
    from dreamomni.data.sheet import contact_sheet, write_html
    from dreamomni.storage import atomic_path

    with atomic_path(folder / "sheet.png") as part:
        contact_sheet(samples).save(part)
    write_html(samples, folder / "index.html", title=f"Samples in {folder.name}")
    print(folder / "sheet.png")
    print(folder / "index.html")
    return 0
