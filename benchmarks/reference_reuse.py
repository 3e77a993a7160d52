"""What isolated references save: FLOP and seconds of a step, with their keys and values kept and without.

    python benchmarks/reference_reuse.py --preset 2.5b --size 1024
    python benchmarks/reference_reuse.py --preset mini --size 256 --seconds --steps 6

FLOP are counted on the meta device, operation by operation, for one sample without guidance. Seconds are of
random weights on `--device`, the mean of all steps of a request; with kept keys the first step, which fills
them, is among them.
"""

import argparse
import json
import time

import torch
from rich.console import Console
from torch.utils.flop_counter import FlopCounterMode

from dreamomni.models.presets import build_transformer
from dreamomni.models.reference_memory import ReferenceMemory

REFERENCES = (1, 2, 4, 5)


def main() -> None:
    """Measure, and print a row for each number of references."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="2.5b")
    parser.add_argument("--size", type=int, default=1024, help="side of all images, in pixels")
    parser.add_argument("--text", type=int, default=512, help="text tokens")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--seconds", action="store_true", help="run it as well")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = [measure(args, count) for count in REFERENCES]
    write = Console(soft_wrap=True).print
    if args.json:
        Console(soft_wrap=True).print_json(json.dumps(rows))
        return
    write(f"{args.preset} at {args.size} px, {args.text} text tokens, {args.steps} steps")
    write("| references | plain, GFLOP | kept, GFLOP | filling | request | bytes | s/step plain | kept |")
    write("|---|---|---|---|---|---|---|---|")
    for row in rows:
        whole = row["plain"] * args.steps / (row["kept"] * args.steps + row["fill"])
        seconds = [f"{row[name]:.3f}" if name in row else "-" for name in ("plain_seconds", "kept_seconds")]
        flops = " | ".join(f"{row[name] / 1e9:.1f}" for name in ("plain", "kept", "fill"))
        write(
            f"| {row['references']} | {flops} | {whole:.2f}x less | {row['bytes'] / 1e6:.1f} MB | "
            f"{' | '.join(seconds)} |"
        )


def measure(args: argparse.Namespace, references: int) -> dict[str, float]:
    """FLOP of a plain step, of one with kept keys, and of filling them; seconds if they are asked for."""
    with torch.device("meta"):
        network = build_transformer(args.preset, reference_attention="isolated").to(torch.bfloat16)
    memory = ReferenceMemory()
    told = inputs(args, references, "meta", network)
    plain, first, kept = (flop(network, told, own) for own in (None, memory, memory))
    row = {
        "references": references,
        "plain": plain,
        "kept": kept,
        "fill": first - kept,
        "bytes": memory.num_bytes,
    }
    if args.seconds:
        torch.manual_seed(0)
        real = build_transformer(args.preset, reference_attention="isolated").to(args.device).eval()
        told = inputs(args, references, args.device, real)
        row["plain_seconds"] = seconds(real, told, args.steps, None)
        row["kept_seconds"] = seconds(real, told, args.steps, ReferenceMemory())
    return row


def inputs(
    args: argparse.Namespace, references: int, device: str, network: torch.nn.Module
) -> dict[str, object]:
    """What the network is told."""
    cells = args.size // 8
    generator = torch.Generator().manual_seed(0)

    def randn(*shape: int) -> torch.Tensor:
        return (
            torch.empty(shape, device=device, dtype=torch.bfloat16)
            if device == "meta"
            else torch.randn(shape, generator=generator).to(device)
        )

    return {
        "hidden_states": randn(1, 16, cells, cells),
        "timestep": torch.full((1,), 0.5, device=device),
        "encoder_hidden_states": randn(1, args.text, network.config.text_width),
        "image_latents": [randn(1, 16, cells, cells) for _ in range(references)],
    }


@torch.no_grad()
def flop(network: torch.nn.Module, told: dict[str, object], memory: ReferenceMemory | None) -> int:
    """Floating-point operations of one call."""
    with FlopCounterMode(display=False) as counter:
        network(**told, memory=memory)
    return counter.get_total_flops()


@torch.no_grad()
def seconds(
    network: torch.nn.Module, told: dict[str, object], steps: int, memory: ReferenceMemory | None
) -> float:
    """Seconds of a step, over a whole request."""
    network(**told)
    start = time.perf_counter()
    for _ in range(steps):
        network(**told, memory=memory)
    if told["hidden_states"].is_cuda:
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / steps


if __name__ == "__main__":
    main()
