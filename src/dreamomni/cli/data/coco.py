"""`dreamomni data coco`: the instances of a folder of samples in COCO's format."""

import argparse
from pathlib import Path
from typing import Any

_PICTURES = ("clean", "target", "inputs", "all")


def add_parser(actions: Any) -> None:
    """Add the action."""
    coco = actions.add_parser(
        "coco",
        help="Write boxes and masks of a folder of samples as COCO annotations.",
        description="Write one JSON file with boxes, areas, exact masks, categories and licences, as "
        "pycocotools reads it. The folder holds loose samples or finished shards.",
        epilog="example: dreamomni data coco out/perception --out out/annotations.json",
    )
    coco.add_argument("folder", metavar="DIR", type=Path)
    coco.add_argument("--out", required=True, metavar="FILE", type=Path, help="the JSON file to write")
    coco.add_argument(
        "--pictures",
        default="clean",
        choices=_PICTURES,
        help="which pictures of each sample: clean (default) is the target, but image 1 where the target "
        "has regions or boxes drawn in",
    )
    coco.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the annotations and say how many there are."""
    from dreamomni.data.coco import write_coco

    counts = write_coco(args.folder, args.out, args.pictures)
    print(", ".join(f"{count} {what}" for what, count in counts.items()))
    print(args.out)
    return 0
