"""Arguments that several verbs share, and the way from them to written pictures."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dreamomni.inference.pipeline import DreamOmniPipeline
    from dreamomni.tasks.request import Request

MODEL_HELP = "a packaged model, a folder, or a hub id (default: %(default)s)"


def positive_int(text: str) -> int:
    """Read a whole number from 1, for argparse."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def add_overrides(parser: argparse.ArgumentParser, example: str) -> None:
    """Add --set, which changes values of a recipe.

    Args:
        parser: Of the verb.
        example: An assignment that suits its recipes.
    """
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"change one value of the recipe, such as {example}; may be repeated",
    )


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --model, --device, --dtype and --threads."""
    group = parser.add_argument_group("model")
    group.add_argument("--model", default="mini", metavar="MODEL", help=MODEL_HELP)
    group.add_argument(
        "--device", default=None, help="cpu, cuda, cuda:N or mps (default: the best one at hand)"
    )
    group.add_argument("--dtype", default=None, help="fp32 or bf16 (default: bf16 on CUDA, else fp32)")
    group.add_argument(
        "--threads", type=int, default=None, metavar="N", help="CPU threads (default: torch's choice)"
    )


def add_sampling_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every request may set: --seed, --steps, --guidance, --size, -n and --quiet."""
    group = parser.add_argument_group("sampling (unset options take the model's own defaults)")
    group.add_argument(
        "--seed", type=int, default=0, metavar="N", help="the same seed gives the same picture"
    )
    group.add_argument("--steps", type=int, default=None, metavar="N", help="denoising steps")
    group.add_argument(
        "--guidance", type=float, default=None, metavar="X", help="how strictly to follow the words"
    )
    group.add_argument(
        "--size", default=None, metavar="WxH", help="size of the result in pixels, such as 64x64"
    )
    group.add_argument("-n", "--num-images", type=int, default=1, metavar="N", help="pictures to make")
    group.add_argument("--quiet", action="store_true", help="no progress bar")


def load_pipeline(args: argparse.Namespace) -> "DreamOmniPipeline":
    """Load the model that `--model` names onto the device that the arguments name."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    from dreamomni.inference.pipeline import DreamOmniPipeline
    from dreamomni.runtime import pick_device, pick_dtype, set_threads

    # Both libraries draw bars of their own while loading, which would break up ours.
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    set_threads(args.threads)
    device = pick_device(args.device)
    pipe = DreamOmniPipeline.from_pretrained(args.model, torch_dtype=pick_dtype(args.dtype, device)).to(
        device
    )
    pipe.set_progress_bar_config(desc="denoising", leave=False, disable=getattr(args, "quiet", False))
    return pipe


def produce(request: "Request", args: argparse.Namespace) -> int:
    """Serve one request and write its pictures; what can fail early does so before the model is loaded."""
    from dreamomni.inference.output import check_outputs, output_paths, save_result

    paths = output_paths(Path(args.output), request.num_images)
    check_outputs(paths)
    pipe = load_pipeline(args)
    save_result(pipe.run(request), request, paths)
    for path in paths:
        print(path)
    return 0
