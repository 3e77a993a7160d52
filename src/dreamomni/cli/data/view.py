"""`dreamomni data view`: the contact sheet of a folder of samples, or of a table as training reads it."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamomni.cli.arguments import add_overrides, positive_int

if TYPE_CHECKING:
    from dreamomni.tasks.sample import TrainingSample


def add_parser(actions: Any) -> None:
    """Add the action."""
    view = actions.add_parser(
        "view",
        help="Write the contact sheet of samples, shards, or a table of your own.",
        description="Write sheet.png and index.html, and say where they are. The page shows boxes, masks, "
        "instances and drag arrows under the mouse, or on all pictures by its check boxes. A table is shown "
        "as training reads it: --set base=512 or --set columns.target=my_column say how.",
        epilog="example: dreamomni data view edits.jsonl --out edits.html",
    )
    view.add_argument(
        "folder",
        metavar="DATA",
        type=Path,
        help="loose samples, shards, or a table: jsonl, csv, parquet, tar, a folder of these or of pictures",
    )
    view.add_argument(
        "-n",
        "--num-samples",
        type=positive_int,
        default=None,
        metavar="N",
        help="how many, spread evenly over the kinds (default: all loose samples, 48 of others)",
    )
    view.add_argument("--kind", default=None, help="only this kind, such as counting or replace")
    view.add_argument(
        "--out",
        type=Path,
        default=None,
        metavar="DIR|FILE.html",
        help="a folder, or one page (default: the folder, `view` in one of shards, `view-NAME` for a table)",
    )
    add_overrides(view, "base=512")
    view.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the contact sheet of a folder or table."""
    from dreamomni.data.sheet import write_html
    from dreamomni.data.sources import open_folder, spread
    from dreamomni.inference.output import make_folder

    source = open_folder(args.folder, kind=args.kind, overrides=args.overrides)
    name = args.folder.resolve().name
    samples = spread(source, args.num_samples or (48 if source.is_sharded or source.is_table else None))
    for reason in source.rejected if source.is_table else ():
        print(f"left out: {reason}")
    title = f"Samples in {name}"
    if args.out is not None and args.out.suffix.lower() in (".html", ".htm"):
        write_html(samples, args.out, title=title)
        print(args.out)
        return 0
    # Nothing is written beside a user's own data.
    usual = Path(f"view-{args.folder.resolve().stem}") if source.is_table else args.folder
    out = args.out or (usual / "view" if source.is_sharded else usual)
    return show(samples, make_folder(out), title=title)


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
