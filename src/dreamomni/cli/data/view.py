"""`dreamomni data view`: the contact sheet of a folder of samples."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dreamomni.tasks.sample import TrainingSample


def add_parser(actions: Any) -> None:
    """Add the action."""
    view = actions.add_parser(
        "view",
        help="Write the contact sheet of a folder of samples.",
        description="Write sheet.png and index.html for the samples in a folder, and say where they are.",
    )
    view.add_argument("folder", metavar="DIR", type=Path)
    view.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the contact sheet of a folder."""
    from dreamomni.data.folder import read_samples

    return show(read_samples(args.folder), args.folder)


def show(samples: "list[TrainingSample]", folder: Path) -> int:
    """Write sheet.png and index.html into the folder and name them."""
    from dreamomni.data.sheet import contact_sheet, write_html
    from dreamomni.storage import atomic_path

    with atomic_path(folder / "sheet.png") as part:
        contact_sheet(samples).save(part)
    write_html(samples, folder / "index.html", title=f"Samples in {folder.name}")
    print(folder / "sheet.png")
    print(folder / "index.html")
    return 0
