"""`dreamomni generate`: words -> picture."""

import argparse
from typing import Any

from dreamomni.cli.arguments import add_model_arguments, add_sampling_arguments, produce


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "generate",
        help="Make a picture from words.",
        description="Make a picture from words.",
        epilog='example: dreamomni generate "two red stars above a blue house" -o out.png --seed 0',
    )
    parser.add_argument("prompt", help="what the picture shows")
    parser.add_argument(
        "-o", "--output", required=True, metavar="PNG", help="where to write; -n 2 gives -1 and -2"
    )
    add_sampling_arguments(parser)
    add_model_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Build the request and serve it."""
    from dreamomni.tasks.geometry import Size
    from dreamomni.tasks.request import parse_request

    request = parse_request(
        {
            "task": "text_to_image",
            "prompt": args.prompt,
            "size": Size.parse(args.size) if args.size else None,
            "seed": args.seed,
            "num_inference_steps": args.steps,
            "guidance_scale": args.guidance,
            "num_images": args.num_images,
        }
    )
    return produce(request, args)
