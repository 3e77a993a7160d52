"""Arguments about memory, and `dreamomni models plan`: what a model needs in each mode; nothing is loaded."""

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dreamomni.inference.memory.opening import MemoryOptions
    from dreamomni.tasks.request import Request

MODES = ("auto", "full", "sequential", "offload", "quantized")
QUANTISATIONS = ("int8", "fp8", "nf4")


def add_memory_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --memory, --quantise, --device-memory and --step-cache."""
    group = parser.add_argument_group("memory (docs/memory.md)")
    group.add_argument(
        "--memory",
        choices=MODES,
        default="auto",
        help="full: all parts on the device; sequential: one at a time; offload: block by block (slow); "
        "quantized: one at a time with small weights, which changes pictures a little; auto: the first of "
        "full, sequential and offload that fits (default)",
    )
    _add_limits(group)
    group.add_argument(
        "--step-cache",
        type=float,
        nargs="?",
        const=0.08,
        default=None,
        metavar="X",
        help="kontext: skip steps in which the first block changes by less than X (0.08 unless said); an "
        "approximation",
    )


def memory_options(args: argparse.Namespace, request: "Request | None" = None) -> "MemoryOptions":
    """The options that the arguments give, for one request where it is known."""
    from dreamomni.inference.memory.opening import MemoryOptions, workload_of
    from dreamomni.inference.memory.plan import parse_bytes

    limit = getattr(args, "device_memory", None)
    return MemoryOptions(
        mode=getattr(args, "memory", "auto"),
        quantisation=getattr(args, "quantise", "int8"),
        device_bytes=None if limit is None else parse_bytes(limit),
        workload=None if request is None else workload_of(request),
    )


def add_plan(verbs: Any) -> None:
    """Add the verb `plan` below `models`."""
    parser = verbs.add_parser(
        "plan",
        help="Show what a model needs in each memory mode.",
        description="Read the headers of a model's files and show, for each memory mode, the bytes of every "
        "part, of every stage, and the peak. Nothing is loaded.",
        epilog="example: dreamomni models plan kontext --device-memory 24GB --images 4 --size 1024x1024",
    )
    parser.add_argument("model", metavar="MODEL", help="a packaged model, a folder, kontext, or a hub id")
    parser.add_argument(
        "--base-model", default=None, metavar="PATH", help="kontext: folder or hub id of the base"
    )
    parser.add_argument("--images", type=int, default=1, metavar="N", help="input images (default: 1)")
    parser.add_argument("--size", default=None, metavar="WxH", help="of the result and of each input image")
    parser.add_argument("--steps", type=int, default=30, metavar="N", help="denoising steps (default: 30)")
    parser.add_argument("--device", default=None, help="cpu, cuda, cuda:N (default: the best one at hand)")
    parser.add_argument("--dtype", default=None, help="fp32 or bf16 (default: bf16 on CUDA, else fp32)")
    _add_limits(parser)
    parser.set_defaults(run=run_plan)


def _add_limits(group: Any) -> None:
    group.add_argument(
        "--quantise", choices=QUANTISATIONS, default="int8", help="of mode quantized (default: int8)"
    )
    group.add_argument(
        "--device-memory",
        default=None,
        metavar="SIZE",
        help="plan for this much, such as 24GB (default: what the device has free)",
    )


def run_plan(args: argparse.Namespace) -> int:
    """Print the plan of every mode."""
    import torch

    from dreamomni.errors import RequestError
    from dreamomni.inference.loading import resolve_model
    from dreamomni.inference.memory.measure import device_room
    from dreamomni.inference.memory.opening import model_facts
    from dreamomni.inference.memory.plan import MODES as PLANS
    from dreamomni.inference.memory.plan import Workload, parse_bytes, plan_memory
    from dreamomni.models.kontext.files import find_kontext, is_kontext
    from dreamomni.runtime import pick_device, pick_dtype
    from dreamomni.tasks.geometry import Size

    if args.images < 0 or args.steps < 1:
        raise RequestError(
            f"{args.images} images and {args.steps} steps cannot be planned: say 0 or more, and 1 or more"
        )
    room = None if args.device_memory is None else parse_bytes(args.device_memory)
    # A size in bytes speaks of a card; without one the plan is for this machine.
    device = torch.device("cuda") if room is not None and args.device is None else pick_device(args.device)
    room = device_room(device) if room is None else room
    kontext = is_kontext(args.model)
    facts = model_facts(find_kontext(args.model, args.base_model) if kontext else resolve_model(args.model))
    size = None if args.size is None else Size.parse(args.size)
    for mode in PLANS:
        plan = plan_memory(
            facts,
            mode,
            dtype=pick_dtype(args.dtype, device),
            device=str(device),
            device_bytes=room,
            workload=Workload(size, args.images, args.steps),
            quantisation=args.quantise,
        )
        print("\n".join(plan.lines()))
    return 0
