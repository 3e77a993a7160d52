"""`dreamomni segment` and `dreamomni detect`: the name of a thing -> where it is, painted and as numbers."""

import argparse
from pathlib import Path
from typing import Any

from dreamomni.cli.arguments import (
    add_model_arguments,
    add_output,
    add_sampling_arguments,
    build_request,
    serve,
)


def add_parser(verbs: Any) -> None:
    """Add both verbs."""
    segment = verbs.add_parser(
        "segment",
        help="Paint a thing of a picture in one colour.",
        description="Paint what is named in one colour. The mask that is read off the result lies in the "
        "PNG, and in a picture of its own with --save-mask.",
        epilog='example: dreamomni segment "the fish" -i in.png -o out.png --save-mask mask.png',
    )
    _add_common(segment)
    segment.add_argument(
        "--save-mask", default=None, metavar="PNG", help="where to write the mask, white on what is meant"
    )
    segment.set_defaults(run=run, task="segment", save_boxes=None)
    detect = verbs.add_parser(
        "detect",
        help="Draw a box around a thing of a picture.",
        description="Draw boxes around what is named. The boxes that are read off the result lie in the PNG, "
        "and in a file of their own with --save-boxes.",
        epilog='example: dreamomni detect "all stars" -i in.png -o out.png --save-boxes boxes.json',
    )
    _add_common(detect)
    detect.add_argument(
        "--save-boxes", default=None, metavar="JSON", help="where to write the boxes, in pixels"
    )
    detect.set_defaults(run=run, task="detect", save_mask=None)


def run(args: argparse.Namespace) -> int:
    """Serve the request, write what it asks for beside the picture, and say where."""
    from dreamomni.inference.output import check_folder
    from dreamomni.storage import write_json
    from dreamomni.tasks.images import save_png

    values = {"task": args.task, "prompt": args.thing, "images": (args.image,), "colour": args.colour}
    request = build_request(values, args)
    boxes = None if args.save_boxes is None else Path(args.save_boxes)
    if boxes is not None:
        check_folder(boxes.parent, f"cannot write {boxes}")
    mask_path = None if args.save_mask is None else Path(args.save_mask)
    result, (pictures, *masks) = serve(request, args, mask_path)
    for number, picture in enumerate(pictures):
        print(picture)
        for path in (some[number] for some in masks):
            mask = result.marks[number].mask
            assert mask is not None
            save_png(mask, path, {})
            print(path)
    if boxes is not None:
        found = [
            {"picture": str(picture), "colour": marks.colour, "boxes": [list(box) for box in marks.boxes]}
            for picture, marks in zip(pictures, result.marks, strict=True)
        ]
        write_json(boxes, found)
        print(boxes)
    return 0


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("thing", help='what to mark, "the red fish"; a whole instruction does as well')
    parser.add_argument("-i", "--image", required=True, metavar="FILE", help="the picture")
    add_output(parser)
    parser.add_argument(
        "--colour", "--color", default=None, metavar="NAME", help="default: one that the picture lacks"
    )
    add_sampling_arguments(parser)
    add_model_arguments(parser)
