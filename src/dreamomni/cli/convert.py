"""`dreamomni models convert-lora`: a LoRA file in the keys of another program."""

import argparse
from typing import Any


def add_convert(actions: Any) -> None:
    """Add the action to `dreamomni models`."""
    parser = actions.add_parser(
        "convert-lora",
        help="Write a LoRA file in the format of another program.",
        description="Read a LoRA of FLUX.1 or of ours in any known format (diffusers, PEFT, kohya, ComfyUI) "
        "and write it in another. What it adds to the weights stays the same.",
        epilog="example: dreamomni models convert-lora edit_lora edit-comfy.safetensors --to comfyui",
    )
    parser.add_argument("source", metavar="IN", help="a safetensors file, or a folder with one")
    parser.add_argument(
        "target", metavar="OUT", help="file to write (.safetensors), or a folder for the usual name"
    )
    parser.add_argument("--to", required=True, choices=("diffusers", "kohya", "comfyui"), help="the format")
    parser.add_argument(
        "--model", default=None, metavar="DIR", help="model folder that it must fit; only its config is read"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Convert, and say what it was."""
    from dreamomni.models.adapters.converting import convert_adapter

    weights, path = convert_adapter(args.source, args.target, args.to, args.model)
    ranks = weights.ranks
    rank = f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {ranks[0]} to {ranks[-1]}"
    print(path)
    print(
        f"{len(weights.layers)} layers, {rank}, {weights.num_parameters:,} weights, "
        f"{weights.hint or 'a network of no known name'}"
    )
    return 0
