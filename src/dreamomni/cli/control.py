"""`dreamomni control`: picture -> map of its edges, depth or regions, to generate from."""

import argparse
import json
from pathlib import Path
from typing import Any


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "control",
        help="Make a map of a picture, for generate --control.",
        description="Make a map of a picture as the data engine makes them: edges by program, depth and "
        "regions by a model of yours.",
        epilog="example: dreamomni control photo.jpg --kind canny -o map.png",
    )
    parser.add_argument("image", metavar="FILE", help="the picture")
    parser.add_argument(
        "--kind", choices=("canny", "depth", "segmentation"), default="canny", help="default: %(default)s"
    )
    parser.add_argument("-o", "--output", required=True, metavar="PNG", help="where to write the map")
    parser.add_argument(
        "--low", type=int, default=None, metavar="N", help="canny: the gradient at which an edge goes on"
    )
    parser.add_argument(
        "--high", type=int, default=None, metavar="N", help="canny: the gradient at which an edge starts"
    )
    parser.add_argument(
        "--annotator",
        default=None,
        metavar="MODEL",
        help="depth, segmentation: a transformers model, as a folder or a hub id",
    )
    parser.add_argument("--device", default="cpu", help="where the annotator runs (default: %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make the map and say where it is."""
    from dreamomni.inference.control_map import CONTROL_KEY, make_control_map
    from dreamomni.inference.output import check_outputs
    from dreamomni.tasks.images import load_image, save_png

    path = Path(args.output)
    check_outputs([path])
    image = load_image(args.image)
    made, details = make_control_map(
        image, args.kind, low=args.low, high=args.high, annotator=args.annotator, device=args.device
    )
    save_png(made, path, {CONTROL_KEY: json.dumps(details)})
    print(path)
    return 0
