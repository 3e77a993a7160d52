"""`dreamomni edit`: picture + instruction -> picture; also inpainting, outpainting and drags."""

import argparse
import re
from typing import Any

from dreamomni.cli.arguments import (
    add_model_arguments,
    add_output,
    add_reference_arguments,
    add_sampling_arguments,
    produce,
)


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "edit",
        help="Change a picture by an instruction, a mask, margins or drags.",
        description="Change a picture by an instruction. The result has the size of image 1, or --size; with "
        "--outpaint that of image 1 and its margins.",
        epilog='example: dreamomni edit "replace the car with a tree" -i in.png -o out.png',
    )
    parser.add_argument(
        "instruction",
        nargs="?",
        default="",
        help="what to change; with --mask or --outpaint what to show (optional then, and with --drag)",
    )
    parser.add_argument(
        "-i",
        "--image",
        dest="images",
        action="append",
        required=True,
        metavar="FILE",
        help="image 1 is edited; repeat for references, which the instruction calls image 2, image 3",
    )
    add_output(parser)
    group = parser.add_argument_group("where (pixels elsewhere stay exactly as they are)")
    kinds = group.add_mutually_exclusive_group()
    kinds.add_argument(
        "--mask", default=None, metavar="FILE", help="inpaint: white is painted anew, of the size of image 1"
    )
    kinds.add_argument(
        "--outpaint",
        type=_margins,
        default=None,
        metavar="L,T,R,B",
        help="pixels to continue image 1 by, left, top, right, bottom",
    )
    kinds.add_argument(
        "--drag",
        dest="drags",
        type=_drag,
        action="extend",
        nargs="+",
        metavar="X,Y,DX,DY",
        help="move what is at x,y by dx,dy: fractions of width and height, such as 0.5,0.5,0.2,0",
    )
    group.add_argument(
        "--within", default=None, metavar="FILE", help="a mask: follow the instruction, but in white alone"
    )
    group.add_argument(
        "--keep-outside",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="put back what a mask or margin leaves alone, bit by bit (default: yes)",
    )
    # "-4,0,0,0" is a value (a wrong one, which is told so), not an unknown option.
    parser._negative_number_matcher = re.compile(r"^-[\d.]")
    add_reference_arguments(parser)
    add_sampling_arguments(parser)
    add_model_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Build the request and serve it."""
    from dreamomni.errors import RequestError

    if args.within is not None and (args.mask is not None or args.outpaint is not None):
        other = "--mask" if args.mask is not None else "--outpaint"
        raise RequestError(f"--within and {other} both say where to paint: give one of them")
    values: dict[str, Any] = {"task": "edit", "prompt": args.instruction, "images": tuple(args.images)}
    if args.mask is not None:
        values |= {"task": "inpaint", "mask": args.mask}
    elif args.outpaint is not None:
        values |= {"task": "outpaint", "margins": args.outpaint}
    elif args.drags is not None:
        values |= {"task": "drag", "drags": tuple(args.drags), "mask": args.within}
    else:
        values |= {"mask": args.within}
    if not args.keep_outside:
        values["keep_outside"] = False
    return produce(values, args)


def _drag(text: str) -> tuple[float, ...]:
    numbers = _numbers(text, float)
    if len(numbers) != 4:
        raise argparse.ArgumentTypeError(f"{text!r} is not x,y,dx,dy in fractions: 0.5,0.5,0.2,0")
    return numbers


def _margins(text: str) -> tuple[int, ...]:
    numbers = _numbers(text, int)
    if len(numbers) != 4:
        raise argparse.ArgumentTypeError(f"{text!r} is not left,top,right,bottom in pixels: 16,0,16,0")
    return tuple(int(number) for number in numbers)


def _numbers(text: str, kind: type[float] | type[int]) -> tuple[float, ...]:
    """Numbers with commas between; none where one of them is no number."""
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        return ()
