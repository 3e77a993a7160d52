"""`dreamomni data view`: the contact sheet of a folder of samples."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamomni.cli.arguments import positive_int

if TYPE_CHECKING:
    from dreamomni.tasks.sample import TrainingSample


def add_parser(actions: Any) -> None:
    """Add the action."""
    view = actions.add_parser(
        "view",
        help="Write the contact sheet of a folder of samples or shards.",
        description="Write sheet.png and index.html, and say where they are. The page shows boxes, masks, "
        "instances and drag arrows under the mouse, or on all pictures by its check boxes.",
        epilog="example: dreamomni data view out/shards -n 60",
    )
    view.add_argument("folder", metavar="DIR", type=Path, help="loose samples, or shards")
    view.add_argument(
        "-n",
        "--num-samples",
        type=positive_int,
        default=None,
        metavar="N",
        help="how many, spread evenly over the kinds (default: all loose samples, 48 of shards)",
    )
    view.add_argument("--kind", default=None, help="only this kind, such as counting or replace")
    view.add_argument(
        "--out",
        type=Path,
        default=None,
        metavar="DIR",
        help="default: the folder, or `view` in one of shards",
    )
    view.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the contact sheet of a folder."""
    from dreamomni.data.sources import open_folder, spread
    from dreamomni.inference.output import make_folder

    source = open_folder(args.folder, kind=args.kind)
    count = args.num_samples or (48 if source.is_sharded else None)
    out = args.out or (args.folder / "view" if source.is_sharded else args.folder)
    return show(spread(source, count), make_folder(out), title=f"Samples in {args.folder.resolve().name}")


def show(samples: "Sequence[TrainingSample]", folder: Path, *, title: str) -> int:
    """Write sheet.png and index.html into the folder and name them."""
    from dreamomni.data.sheet import contact_sheet, write_html
    from dreamomni.storage import atomic_path

    with atomic_path(folder / "sheet.png") as part:
        contact_sheet(samples).save(part)
    write_html(samples, folder / "index.html", title=title)
    print(folder / "sheet.png")
    print(folder / "index.html")
    return 0
