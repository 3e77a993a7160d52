"""`dreamomni edit`: picture + instruction -> picture."""

import argparse
from typing import Any

from dreamomni.cli.arguments import add_model_arguments, add_sampling_arguments, produce


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "edit",
        help="Change a picture by an instruction.",
        description="Change a picture by an instruction. The result has the size of image 1, or --size.",
        epilog='example: dreamomni edit "replace the car with a tree" -i in.png -o out.png',
    )
    parser.add_argument("instruction", help="what to change")
    parser.add_argument(
        "-i",
        "--image",
        dest="images",
        action="append",
        required=True,
        metavar="FILE",
        help="image 1 is edited; repeat for references, which the instruction calls image 2, image 3",
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="PNG", help="where to write; -n 2 gives -1 and -2"
    )
    add_sampling_arguments(parser)
    parser.add_argument(
        "--image-guidance",
        type=float,
        default=None,
        metavar="X",
        help="how strictly to keep to the input images",
    )
    add_model_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read the images, build the request and serve it."""
    from dreamomni.tasks.geometry import Size
    from dreamomni.tasks.images import load_image
    from dreamomni.tasks.request import parse_request

    request = parse_request(
        {
            "task": "edit",
            "prompt": args.instruction,
            "images": tuple(load_image(path) for path in args.images),
            "size": Size.parse(args.size) if args.size else None,
            "seed": args.seed,
            "num_inference_steps": args.steps,
            "guidance_scale": args.guidance,
            "image_guidance_scale": args.image_guidance,
            "num_images": args.num_images,
        }
    )
    return produce(request, args)
