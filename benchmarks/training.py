"""How fast our network trains, beside diffusers' SD3 and FLUX networks of as many parameters and tokens.

Run: python benchmarks/training.py                  CPU, small networks: ratios, minutes
     python benchmarks/training.py --gpu            one GPU: images/s and MFU of 2.5b at 256, 512 and 1024 px
     python benchmarks/training.py --gpu --peers    the three networks at 2.5B there, forward and backward

Networks take turns in blocks within one process, and a ratio is taken within a round, so that load on the
machine hits all alike. On a CPU the clock is the CPU time of the process; on a GPU it is the wall clock
between synchronisations. Every step trains on random numbers: speed does not depend on them.
"""

import argparse
import gc
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from training_networks import SMALL, Work, blocks_of, make_forward, make_networks, make_step

from dreamomni.models.presets import TRANSFORMER_PRESETS
from dreamomni.models.transformer import DreamOmniTransformer2DModel
from dreamomni.runtime import native_bf16
from dreamomni.training.estimate.activations import saved_bytes
from dreamomni.training.estimate.flops import transformer_flop
from dreamomni.training.utilisation import mfu, peak_tflops

PIXELS_PER_CELL = 8
STEP_KINDS = ("forward+backward", "with optimizer")


@dataclass
class Candidate:
    """A network in one mode; `step` runs one training step."""

    name: str
    step: Callable[[], None]
    seconds: list[float] = field(default_factory=list)

    def block(self, steps: int, clock: Callable[[], float]) -> None:
        """Time a block of steps."""
        start = clock()
        for _ in range(steps):
            self.step()
        self.seconds.append((clock() - start) / steps)


def clock_of(device: torch.device) -> Callable[[], float]:
    """CPU time of this process, or the wall clock after what the GPU was asked for is done."""
    if device.type == "cpu":
        return time.process_time

    def synchronised() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return synchronised


def compare(
    builders: dict[str, Callable[[], nn.Module]],
    work: Work,
    device: torch.device,
    *,
    precision: str,
    compiled: bool,
    kind: str,
    rounds: int,
    steps: int,
) -> dict[str, Any]:
    """Time all networks in one mode, in turns; samples a second, and ratios of ours to each peer by round."""
    candidates = []
    for name, build in builders.items():
        torch.manual_seed(0)
        with device:
            model = build()
        step = make_step(
            model, work, bf16=precision == "bf16", compiled=compiled, optimizer=kind == STEP_KINDS[1]
        )
        step()  # compiles, and fills the state of the optimizer
        step()
        candidates.append(Candidate(name, step))
    clock = clock_of(device)
    for turn in range(rounds):
        # Nobody is always first.
        for candidate in candidates[turn % len(candidates) :] + candidates[: turn % len(candidates)]:
            candidate.block(steps, clock)
    rates = {c.name: [work.batch / seconds for seconds in c.seconds] for c in candidates}
    ours = rates["dreamomni"]
    ratios = {
        name: [mine / theirs for mine, theirs in zip(ours, other, strict=True)]
        for name, other in rates.items()
        if name != "dreamomni"
    }
    mode = "compiled" if compiled else "eager"
    return {"precision": precision, "mode": mode, "step": kind, "rates": rates, "ratios": ratios}


def run_comparison(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """The three networks side by side in every mode asked for."""
    preset = SMALL if args.preset is None else TRANSFORMER_PRESETS[args.preset]
    text_width = 256 if args.preset is None else preset["text_width"]
    work = Work(args.batch, args.text_tokens, args.sizes[0] // PIXELS_PER_CELL, text_width)
    builders, facts = make_networks(preset, work)
    results = []
    for precision in args.precisions:
        if precision == "bf16" and not native_bf16(device):
            sys.stderr.write("bf16 is emulated here: its numbers say nothing about a device that has it\n")
        for mode in args.modes:
            for kind in args.steps_of:
                results.append(
                    compare(
                        builders,
                        work,
                        device,
                        precision=precision,
                        compiled=mode == "compiled",
                        kind=kind,
                        rounds=args.rounds,
                        steps=args.steps,
                    )
                )
                sys.stderr.write(json.dumps(results[-1]) + "\n")  # a run that is stopped has told something
                sys.stderr.flush()
                torch.compiler.reset()
                gc.collect()
    return {
        "work": work.__dict__ | {"image_tokens": work.image_tokens},
        "networks": facts,
        "results": results,
    }


def run_throughput(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Images a second and MFU of one preset at several sizes, with the optimizer, at the largest batch."""
    preset = TRANSFORMER_PRESETS[args.preset or "2.5b"]
    peak = peak_tflops(device, args.peak)
    if peak is None:
        raise SystemExit("the peak of this device is not known: say --peak TFLOPS")
    room = args.memory_gb * 1e9 if args.memory_gb else torch.cuda.get_device_properties(device).total_memory
    rows = []
    for precision in args.precisions:
        for mode in args.modes:
            for size in args.sizes:
                side = size // PIXELS_PER_CELL
                for checkpointing in (
                    (False, True) if args.checkpointing == "both" else (args.checkpointing == "on",)
                ):
                    batch = args.batch or largest_batch(
                        preset, side, args.text_tokens, precision, checkpointing, room
                    )
                    if batch == 0:
                        rows.append({"size": size, "mode": mode, "checkpointing": checkpointing, "batch": 0})
                        continue
                    work = Work(batch, args.text_tokens, side, preset["text_width"])
                    rows.append(
                        throughput(preset, work, device, precision, mode, checkpointing, args, peak)
                        | {"size": size}
                    )
                    sys.stderr.write(json.dumps(rows[-1]) + "\n")
    return {
        "preset": args.preset or "2.5b",
        "peak_tflops": peak,
        "text_tokens": args.text_tokens,
        "rows": rows,
    }


def throughput(
    preset: dict[str, Any],
    work: Work,
    device: torch.device,
    precision: str,
    mode: str,
    checkpointing: bool,
    args: argparse.Namespace,
    peak: float,
) -> dict[str, Any]:
    """One row: speed of full training steps at one size."""
    with device:
        model = DreamOmniTransformer2DModel(**preset)
    flop = transformer_flop(model.config, work.text_tokens, (work.side, work.side))
    step = make_step(
        model,
        work,
        bf16=precision == "bf16",
        compiled=mode == "compiled",
        optimizer=True,
        checkpointing=checkpointing,
    )
    step()
    step()
    candidate, clock = Candidate("dreamomni", step), clock_of(device)
    for _ in range(args.rounds):
        candidate.block(args.steps, clock)
    rates = sorted(work.batch / seconds for seconds in candidate.seconds)
    rate = statistics.median(rates)
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    del model, step, candidate
    gc.collect()
    torch.compiler.reset()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    return {
        "precision": precision,
        "mode": mode,
        "checkpointing": checkpointing,
        "batch": work.batch,
        "images_per_second": rate,
        "lowest": rates[0],
        "highest": rates[-1],
        "tflop_per_image": flop.training / 1e12,
        "mfu": mfu(flop.training / 1e12, rate, peak),
        "memory_gb": memory / 1e9,
    }


def largest_batch(
    preset: dict[str, Any], side: int, text_tokens: int, precision: str, checkpointing: bool, room: float
) -> int:
    """The largest power of two whose step fits into 85 % of the memory, by the estimate; 0 if none does."""
    with torch.device("meta"):
        model = DreamOmniTransformer2DModel(**preset).train()
    fixed = 16 * sum(parameter.numel() for parameter in model.parameters())  # weights, gradients, two moments
    work = Work(1, text_tokens, side, preset["text_width"])
    run = make_forward(model, work, torch.device("meta"))
    kept = saved_bytes(
        lambda: run().square().mean(),
        [model],
        blocks_of(model),
        "cuda-bf16" if precision == "bf16" else "fp32",
    )
    each = kept.checkpointed if checkpointing else kept.activations
    fits = (0.85 * room - fixed - kept.weight_copies) / each
    return 0 if fits < 1 else min(256, 2 ** int(fits).bit_length() // 2)


def show_comparison(found: dict[str, Any], console: Console) -> None:
    """Print rates and ratios."""
    work = found["work"]
    console.print(
        f"batch {work['batch']}, {work['text_tokens']} text and {work['image_tokens']} image tokens; "
        "parameters: "
        + ", ".join(f"{name} {facts['parameters']:,}" for name, facts in found["networks"].items()),
        highlight=False,
    )
    table = Table(
        title="samples/s, median (slowest to fastest block); ratio ours to theirs, median (lowest to highest)"
    )
    for heading in ("precision", "mode", "step", "dreamomni", "sd3", "flux", "to sd3", "to flux"):
        table.add_column(heading)
    for row in found["results"]:
        table.add_row(
            row["precision"],
            row["mode"],
            row["step"],
            *(spread(row["rates"][name]) for name in ("dreamomni", "sd3", "flux")),
            *(spread(row["ratios"][name]) for name in ("sd3", "flux")),
        )
    console.print(table)


def show_throughput(found: dict[str, Any], console: Console) -> None:
    """Print images a second and MFU."""
    table = Table(title=f"{found['preset']}: training steps; MFU against {found['peak_tflops']:g} TFLOP/s")
    for heading in (
        "size",
        "precision",
        "mode",
        "checkpointing",
        "batch",
        "images/s",
        "TFLOP/image",
        "MFU",
        "GB",
    ):
        table.add_column(heading)
    for row in found["rows"]:
        if not row["batch"]:
            table.add_row(
                str(row["size"]), "", row["mode"], str(row["checkpointing"]), "does not fit", "", "", "", ""
            )
            continue
        table.add_row(
            str(row["size"]),
            row["precision"],
            row["mode"],
            str(row["checkpointing"]),
            str(row["batch"]),
            f"{row['images_per_second']:.2f} ({row['lowest']:.2f} to {row['highest']:.2f})",
            f"{row['tflop_per_image']:.3g}",
            f"{row['mfu']:.1%}",
            f"{row['memory_gb']:.1f}",
        )
    console.print(table)


def spread(values: Sequence[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def machine(device: torch.device) -> dict[str, Any]:
    """What the numbers were measured on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    versions = {}
    for package in ("torch", "diffusers", "dreamomni"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    load = [round(value, 2) for value in os.getloadavg()]
    return {"device": name, "threads": torch.get_num_threads(), "load": load, **versions}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; what is not said depends on the device."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gpu", action="store_true", help="images/s and MFU of a preset, with the optimizer")
    parser.add_argument(
        "--peers", action="store_true", help="with --gpu: the three networks, forward and backward"
    )
    parser.add_argument("--device", default=None, help="default: cpu, or cuda with --gpu")
    parser.add_argument(
        "--preset", default=None, choices=tuple(TRANSFORMER_PRESETS), help="sizes of our network"
    )
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=None, metavar="PX", help="sides of the pictures"
    )
    parser.add_argument(
        "--batch", type=int, default=None, help="default: 4, or the largest that fits with --gpu"
    )
    parser.add_argument("--text-tokens", type=int, default=None, help="default: 32, or 128 with --gpu")
    parser.add_argument("--precisions", nargs="+", default=None, choices=("fp32", "bf16"))
    parser.add_argument("--modes", nargs="+", default=("eager", "compiled"), choices=("eager", "compiled"))
    parser.add_argument("--steps-of", nargs="+", default=STEP_KINDS, choices=STEP_KINDS)
    parser.add_argument("--checkpointing", default="both", choices=("on", "off", "both"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=None, help="in a block; default: 2, or 10 with --gpu")
    parser.add_argument(
        "--peak", type=float, default=None, help="TFLOP/s of the device (default: by its name)"
    )
    parser.add_argument("--memory-gb", type=float, default=None, help="default: that of the GPU")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--json", type=Path, default=None, metavar="FILE")
    args = parser.parse_args(arguments)
    args.device = args.device or ("cuda" if args.gpu else "cpu")
    args.sizes = args.sizes or ([256] if args.peers else [256, 512, 1024] if args.gpu else [128])
    args.text_tokens = args.text_tokens or (128 if args.gpu else 32)
    args.precisions = args.precisions or (["bf16"] if args.gpu else ["fp32", "bf16"])
    args.steps = args.steps or (10 if args.gpu else 2)
    if args.peers:
        args.preset = args.preset or "2.5b"
        args.steps_of = STEP_KINDS[:1]  # the states of three optimizers do not fit beside each other
        args.batch = args.batch or 8
    elif not args.gpu:
        args.batch = args.batch or 4
    return args


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    args = parse(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    console = Console(width=None if sys.stdout.isatty() else 200)
    facts = machine(device)
    console.print(facts, highlight=False)
    if args.gpu and not args.peers:
        found = run_throughput(args, device)
        show_throughput(found, console)
    else:
        found = run_comparison(args, device)
        show_comparison(found, console)
    if args.json is not None:
        args.json.write_text(json.dumps({"machine": facts, **found}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
