"""`dreamomni generate`: words -> picture; with a map to follow, or with subjects to show."""

import argparse
from typing import Any

from dreamomni.cli.arguments import (
    add_model_arguments,
    add_output,
    add_reference_arguments,
    add_sampling_arguments,
    produce,
)

CONTROLS = ("canny", "depth", "pose", "scribble", "segmentation")


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "generate",
        help="Make a picture from words, a map, or subjects.",
        description="Make a picture from words; with --control it follows a map and has its size, with "
        "--subject it shows the things of your images.",
        epilog='example: dreamomni generate "two red stars above a blue house" -o out.png --seed 0',
    )
    parser.add_argument("prompt", help='what the picture shows; may be "" with a map or subjects')
    add_output(parser)
    group = parser.add_argument_group("input images")
    kinds = group.add_mutually_exclusive_group()
    kinds.add_argument(
        "--control", choices=CONTROLS, help="what kind of map --image is; `dreamomni control` makes one"
    )
    kinds.add_argument(
        "--subject",
        dest="subjects",
        nargs="+",
        metavar="FILE",
        help="images whose things the prompt speaks of as image 1, image 2, ...",
    )
    group.add_argument("-i", "--image", default=None, metavar="FILE", help="the map of --control")
    add_reference_arguments(parser)
    add_sampling_arguments(parser)
    add_model_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Build the request and serve it."""
    from dreamomni.errors import RequestError

    values: dict[str, Any] = {"task": "text_to_image", "prompt": args.prompt}
    if args.control is not None:
        if args.image is None:
            raise RequestError(
                "--control needs a map by --image; dreamomni control makes one: "
                "dreamomni control photo.jpg --kind canny -o map.png"
            )
        values |= {"task": "control", "control": args.control, "images": (args.image,)}
    elif args.image is not None:
        raise RequestError(
            "--image is a map: say its kind by --control, or use --subject, or dreamomni edit to change it"
        )
    elif args.subjects is not None:
        values |= {"task": "subject", "images": tuple(args.subjects)}
    return produce(values, args)
