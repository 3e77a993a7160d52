"""FLUX.1-Kontext in every memory mode, and diffusers' own pipeline: seconds per step and peak memory.

    python benchmarks/kontext.py --gpu      # FLUX-sized random weights in bf16, 1024 px, one CUDA device
    python benchmarks/kontext.py            # the same at tiny size on the CPU: does it run?

Weights are random, which changes neither time nor memory. Every mode gets networks of its own. The first step
is left out of the seconds. On CUDA the peak is the allocator's, beside what the plan said; on the CPU it is
the weights that were there at once. The floor is that of 790 TFLOP/s, which an H200 reaches in bf16, on the
operations of a step (linear layers and attention), with nothing else. diffusers' pipeline takes one image.
"""

import argparse
import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from PIL import Image
from rich.console import Console
from torch import nn
from transformers import CLIPTextModel, T5EncoderModel

from dreamomni.inference.kontext.pipeline import KontextPipeline
from dreamomni.inference.memory.facts import Geometry, ModelFacts, count_part
from dreamomni.inference.memory.managed import attach
from dreamomni.inference.memory.opening import keep_plan
from dreamomni.inference.memory.plan import Workload, plan_memory
from dreamomni.tasks.geometry import Size

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from tiny_kontext import write_tiny_base

FLOPS_PER_SECOND = 790e12
REFERENCES = (1, 2, 4)
Networks = dict[str, Any]


def main() -> None:
    """Measure, and print a row for each mode and number of references."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu", action="store_true", help="FLUX-sized, on CUDA")
    parser.add_argument("--modes", nargs="+", default=["full", "sequential", "offload", "quantized"])
    parser.add_argument("--references", type=int, nargs="+", default=list(REFERENCES))
    parser.add_argument("--quantise", default="int8", choices=("int8", "fp8", "nf4"))
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    device = torch.device("cuda" if args.gpu else "cpu")
    side, steps = (1024, args.steps or 6) if args.gpu else (32, args.steps or 3)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write_tiny_base(Path(folder))
        pipe = KontextPipeline.from_pretrained(folder)

        def make() -> KontextPipeline:
            if args.gpu:
                fresh = KontextPipeline(**flux_sized(pipe.components))
            else:
                fresh = KontextPipeline.from_pretrained(folder)
            fresh.set_progress_bar_config(disable=True)
            return fresh

        if 1 in args.references:
            rows.append(run_diffusers(make, device, side, steps))
        for mode in args.modes:
            rows += run_mode(make, mode, args, device, side, steps)
    if args.json:
        Console(soft_wrap=True).print_json(json.dumps(rows))
        return
    write = Console(soft_wrap=True).print
    where = torch.cuda.get_device_name() if args.gpu else "CPU"
    write(f"{side} px, {steps} steps, {where}, torch {torch.__version__}")
    write("| mode | references | s/step | floor | peak, GB | planned, GB |")
    write("|---|---|---|---|---|---|")
    for row in rows:
        write(
            f"| {row['mode']} | {row['references']} | {row['seconds']:.4f} | {row['floor']:.4f} | "
            f"{row['peak'] / 1e9:.4f} | {row['planned'] / 1e9:.4f} |"
        )


def flux_sized(tiny: Networks) -> Networks:
    """The networks of FLUX.1-Kontext with random bf16 weights on the CPU, with the tiny tokenizers."""
    clip, t5 = tiny["text_encoder"].config, tiny["text_encoder_2"].config
    clip.update(
        {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    )
    t5.update({"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64})
    vae = dict(tiny["vae"].config) | {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2}
    with torch.device("meta"):
        networks = {
            "transformer": FluxTransformer2DModel(guidance_embeds=True),
            "vae": AutoencoderKL.from_config(vae | {"norm_num_groups": 32}),
        }
    for network in networks.values():
        for inner in network.modules():
            for name, weight in list(inner._parameters.items()):
                if weight is not None:
                    drawn = torch.randn(weight.shape, device="cuda", dtype=torch.bfloat16).mul_(0.02).cpu()
                    inner._parameters[name] = nn.Parameter(drawn, requires_grad=False)
    # Both have buffers that are worked out when they are built.
    networks["text_encoder"] = CLIPTextModel(clip).to(torch.bfloat16)
    torch.set_default_dtype(torch.bfloat16)
    try:
        networks["text_encoder_2"] = T5EncoderModel(t5)
    finally:
        torch.set_default_dtype(torch.float32)
    return {**tiny, **{name: network.eval() for name, network in networks.items()}}


def pictures(count: int, side: int) -> list[Image.Image]:
    """Input images of one size."""
    draw = np.random.default_rng(0)
    return [Image.fromarray(draw.integers(0, 256, (side, side, 3), dtype=np.uint8)) for _ in range(count)]


def run_mode(
    make: Callable[[], KontextPipeline],
    mode: Any,
    args: argparse.Namespace,
    device: torch.device,
    side: int,
    steps: int,
) -> list[dict[str, Any]]:
    """All numbers of references in one mode."""
    pipe = make()
    facts = facts_of(pipe)
    work = Workload(Size(side, side), max(args.references), steps)
    options = {"dtype": pipe.transformer.dtype, "device": str(device), "quantisation": args.quantise}
    plan = plan_memory(facts, mode, workload=work, **options)
    if pipe.files is None:
        attach(pipe, plan, device)
    else:
        keep_plan(pipe, plan, pipe.files, device=device, dtype=pipe.transformer.dtype)
    rows = []
    for count in args.references:
        clock = Clock(device)
        pipe(
            "a picture",
            pictures(count, side),
            num_inference_steps=steps,
            output_type="latent",
            height=side,
            width=side,
            callback_on_step_end=clock,
        )
        planned = plan_memory(facts, mode, workload=Workload(Size(side, side), count, steps), **options)
        rows.append(
            {
                "mode": f"{mode} {args.quantise}" if mode == "quantized" else mode,
                "references": count,
                "seconds": clock.seconds,
                "floor": floor(facts.geometry, side, count),
                "peak": pipe.memory.last_peak,
                "planned": planned.peak if device.type == "cuda" else pipe.memory.last_planned,
            }
        )
    del pipe
    empty(device)
    return rows


def run_diffusers(
    make: Callable[[], KontextPipeline], device: torch.device, side: int, steps: int
) -> dict[str, Any]:
    """The FluxKontextPipeline of diffusers with everything on the device."""
    from diffusers import FluxKontextPipeline

    ours = make()
    pipe = FluxKontextPipeline(**ours.components).to(device)
    pipe.set_progress_bar_config(disable=True)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    clock = Clock(device)

    def told(_: Any, step: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
        clock()
        return values

    pipe(
        image=pictures(1, side)[0],
        prompt="a picture",
        num_inference_steps=steps,
        height=side,
        width=side,
        output_type="latent",
        max_area=side * side,
        _auto_resize=False,
        callback_on_step_end=told,
    )
    weights = sum(
        w.numel() * w.element_size()
        for part in pipe.components.values()
        if isinstance(part, nn.Module)
        for w in part.parameters()
    )
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else weights
    row = {"mode": "diffusers", "references": 1, "seconds": clock.seconds, "peak": peak, "planned": 0}
    row["floor"] = floor(facts_of(ours).geometry, side, 1)
    del pipe, ours
    empty(device)
    return row


def facts_of(pipe: KontextPipeline) -> ModelFacts:
    """The facts of networks that are in memory."""
    names = ("text_encoder", "text_encoder_2", "transformer", "vae")
    kinds = {torch.bfloat16: "BF16", torch.float32: "F32"}
    parts = [
        count_part(
            name, {key: (kinds[w.dtype], list(w.shape)) for key, w in getattr(pipe, name).named_parameters()}
        )
        for name in names
    ]
    config, vae = pipe.transformer.config, pipe.vae.config
    width = config.num_attention_heads * config.attention_head_dim
    depth = config.num_layers + config.num_single_layers
    pixels = 2 ** len(vae.block_out_channels)
    return ModelFacts(
        "kontext", tuple(parts), Geometry("kontext", width, pixels, 512, vae.block_out_channels[0], depth)
    )


def floor(geometry: Geometry, side: int, references: int) -> float:
    """Seconds of a step if nothing but its products took time."""
    tokens = geometry.text_tokens + (1 + references) * (side / geometry.pixels_per_token) ** 2
    linear = 2 * geometry.depth * 12 * geometry.width**2 * tokens
    attention = 4 * geometry.depth * tokens**2 * geometry.width
    return (linear + attention) / FLOPS_PER_SECOND


class Clock:
    """Seconds of a step, the first left out."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.times: list[float] = []

    def __call__(self, *_: Any) -> None:
        """A step has ended."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.times.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        """The mean."""
        return (self.times[-1] - self.times[0]) / (len(self.times) - 1)


def empty(device: torch.device) -> None:
    """Give the memory of the last networks back."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
