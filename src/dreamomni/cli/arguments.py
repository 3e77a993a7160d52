"""Arguments that several verbs share, and the way from them to written pictures."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamomni.cli.memory import add_memory_arguments, memory_options

if TYPE_CHECKING:
    from dreamomni.inference.opening import Pipeline
    from dreamomni.tasks.request import Request
    from dreamomni.tasks.result import ImageResult

logger = logging.getLogger(__name__)

MODEL_HELP = (
    "a packaged model, kontext (DreamOmni2's published weights, from the hub), a folder, or a hub id "
    "(default: %(default)s)"
)


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
    """Add --model, --base-model, --official, --device, --dtype, --threads and those about memory."""
    group = parser.add_argument_group("model")
    group.add_argument("--model", default="mini", metavar="MODEL", help=MODEL_HELP)
    group.add_argument(
        "--base-model",
        default=None,
        metavar="PATH",
        help="kontext: folder or hub id of FLUX.1-Kontext-dev (default: base/ in the model's folder, or the "
        "hub's)",
    )
    group.add_argument(
        "--official",
        action="store_true",
        help="kontext: round sizes and positions as the published DreamOmni2 release does: images are "
        "stretched to one of 17 sizes, and a result has about a megapixel",
    )
    group.add_argument(
        "--device", default=None, help="cpu, cuda, cuda:N or mps (default: the best one at hand)"
    )
    group.add_argument("--dtype", default=None, help="fp32 or bf16 (default: bf16 on CUDA, else fp32)")
    group.add_argument(
        "--threads", type=int, default=None, metavar="N", help="CPU threads (default: torch's choice)"
    )
    add_memory_arguments(parser)


def add_sampling_arguments(parser: argparse.ArgumentParser, *, images: bool = True) -> None:
    """Add what every request may set: --seed, --steps, --guidance, --size, -n and --quiet.

    Args:
        parser: Of the verb.
        images: Whether there may be input images; they add --image-guidance.
    """
    group = parser.add_argument_group("sampling (unset options take the model's own defaults)")
    group.add_argument(
        "--seed", type=int, default=0, metavar="N", help="the same seed gives the same picture"
    )
    group.add_argument("--steps", type=int, default=None, metavar="N", help="denoising steps")
    group.add_argument(
        "--guidance", type=float, default=None, metavar="X", help="how strictly to follow the words"
    )
    if images:
        group.add_argument(
            "--image-guidance",
            type=float,
            default=None,
            metavar="X",
            help="how strictly to keep to the input images",
        )
    group.add_argument(
        "--size", default=None, metavar="WxH", help="size of the result in pixels, such as 64x64"
    )
    group.add_argument("-n", "--num-images", type=int, default=1, metavar="N", help="pictures to make")
    group.add_argument("--quiet", action="store_true", help="no progress bar")


def add_reference_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what matters to requests with several images: --adapter and --no-rewrite."""
    group = parser.add_argument_group("references (models with LoRAs or a rewriter)")
    group.add_argument(
        "--adapter",
        choices=("auto", "edit", "generate", "none"),
        default="auto",
        help="which LoRA is on (auto: edit from two images on, generate with --subject, else none)",
    )
    group.add_argument(
        "--no-rewrite",
        action="store_true",
        help="read the words as they stand; else a model's VLM puts those about several images into the form "
        "it was trained on, and the result says what it made of them",
    )


def load_pipeline(args: argparse.Namespace, request: "Request | None" = None) -> "Pipeline":
    """Load the model that `--model` names onto the device that the arguments name.

    Args:
        args: Parsed arguments of `add_model_arguments`.
        request: What it will serve, for the plan of its memory.
    """
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    from dreamomni.inference.opening import open_pipeline
    from dreamomni.runtime import pick_device, pick_dtype, set_threads

    # Both libraries draw bars of their own while loading, which would break up ours.
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    set_threads(args.threads)
    device = pick_device(args.device)
    pipe = open_pipeline(
        args.model,
        device=device,
        dtype=pick_dtype(args.dtype, device),
        base_model=args.base_model,
        official=args.official,
        rewriter=not getattr(args, "no_rewrite", False),
        memory=memory_options(args, request),
        step_cache=getattr(args, "step_cache", None),
    )
    pipe.set_progress_bar_config(desc="denoising", leave=False, disable=getattr(args, "quiet", False))
    return pipe


def serve(
    request: "Request", args: argparse.Namespace, *beside: Path | None
) -> tuple["ImageResult", list[list[Path]]]:
    """Serve one request and write its pictures; what can fail early does so before the model is loaded.

    Args:
        request: What to serve.
        args: Parsed arguments with `output` and those of the model.
        *beside: PNG files that the verb writes itself, one for each picture; they are checked too.

    Returns:
        The result, and the paths of its pictures, followed by those of every file beside them.
    """
    from dreamomni.inference.opening import check_servable
    from dreamomni.inference.output import check_outputs, output_paths, save_result

    named = [Path(args.output), *(path for path in beside if path is not None)]
    paths = [output_paths(path, request.num_images) for path in named]
    check_outputs([path for some in paths for path in some])
    check_servable(request, args.model, base_model=args.base_model, official=args.official)
    result = load_pipeline(args, request).run(request)
    if result.provenance.revised_prompt is not None:
        logger.info("the words were rewritten to: %s", result.provenance.revised_prompt)
    for sentence in result.provenance.warnings:
        logger.warning(sentence)
    save_result(result, request, paths[0])
    return result, paths


def produce(values: dict[str, Any], args: argparse.Namespace) -> int:
    """Build a request out of its values and the common arguments, serve it, and say where pictures are."""
    _, paths = serve(build_request(values, args), args)
    for path in paths[0]:
        print(path)
    return 0


def build_request(values: dict[str, Any], args: argparse.Namespace) -> "Request":
    """Build a request: its images are loaded, so that a wrong one is known before a model is.

    Args:
        values: Values of its own fields, by name; None stands for the default.
        args: Parsed arguments of `add_sampling_arguments`.
    """
    from dreamomni.tasks.geometry import Size
    from dreamomni.tasks.images import load_images
    from dreamomni.tasks.request import parse_request

    given = {name: value for name, value in values.items() if value is not None}
    if given.get("images"):
        given["images"] = load_images(given["images"])
        given["image_guidance_scale"] = args.image_guidance
    return parse_request(
        {
            "size": Size.parse(args.size) if args.size else None,
            "seed": args.seed,
            "num_inference_steps": args.steps,
            "guidance_scale": args.guidance,
            "num_images": args.num_images,
            "adapter": getattr(args, "adapter", "auto"),
            "rewrite": not getattr(args, "no_rewrite", False),
            **given,
        }
    )


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add -o."""
    parser.add_argument(
        "-o", "--output", required=True, metavar="PNG", help="where to write; -n 2 gives -1 and -2"
    )
