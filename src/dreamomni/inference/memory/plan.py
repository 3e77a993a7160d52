"""The plan of a request's memory: bytes of every part, the peak of every stage, and the mode that fits.

Weights are counted exactly. Activations are estimates: multiples of one tensor of a stage, as counted on the
real networks without gradients (docs/memory.md). The plan is made before anything is loaded and is compared
with the real peak afterwards.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch

from dreamomni.errors import ModelError
from dreamomni.inference.memory.facts import ModelFacts, Part
from dreamomni.tasks.geometry import Size

Mode = Literal["full", "sequential", "offload", "quantized"]
MODES: tuple[Mode, ...] = get_args(Mode)
Quantisation = Literal["int8", "fp8", "nf4"]
QUANTISATIONS: tuple[Quantisation, ...] = get_args(Quantisation)
WEIGHT_BYTES: dict[Quantisation, float] = {"int8": 1.0, "fp8": 1.0, "nf4": 0.5625}
"""Bytes of a quantised weight with its scales."""

TEXT_PARTS = ("rewriter", "text_encoder", "text_encoder_2")
QUANTISED_PARTS = ("rewriter", "text_encoder", "text_encoder_2", "transformer")
LIVE_TENSORS = {"kontext": 18, "joint": 17, "isolated": 20, "vae encoder": 5, "vae decoder": 6}
"""Tensors of (tokens, width), for an autoencoder of (pixels, first width), that live at the peak."""
_CONVOLUTION_WORKSPACE = 1
_TEXT_WORK = {"rewriter": 0.9e9, "text_encoder": 0.3e9, "text_encoder_2": 0.1e9}
_RESERVE_SHARE, _RESERVE_LEAST = 0.02, 2**20
"""What a device cannot give away: fragments, libraries' workspaces."""


@dataclass(frozen=True, slots=True)
class Workload:
    """The request a plan is made for.

    Attributes:
        size: Of the result, and of every input image; None is the size that the model makes unasked.
        images: Input images.
        steps: Denoising steps.
        batch: Pictures at once.
    """

    size: Size | None = None
    images: int = 1
    steps: int = 30
    batch: int = 1


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a request, in bytes on the device."""

    name: str
    weights: int
    work: int

    @property
    def total(self) -> int:
        """Weights that are there, and what is computed with them."""
        return self.weights + self.work


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What will be where.

    Attributes:
        model: Its name.
        mode: How parts share the device.
        quantisation: Of the weights, in mode "quantized".
        parts: Bytes of each part's weights as they will be kept.
        stages: In the order of a request.
        modulation: Bytes of modulation layers that wait beside the device.
        device: Its name.
        device_bytes: What it can give; None where that is not known.
    """

    model: str
    mode: Mode
    quantisation: Quantisation | None
    parts: tuple[tuple[str, int], ...]
    stages: tuple[Stage, ...]
    modulation: int
    device: str
    device_bytes: int | None

    @property
    def peak(self) -> int:
        """Bytes of the largest stage, and a reserve."""
        largest = max(stage.total for stage in self.stages)
        return largest + max(_RESERVE_LEAST, int(_RESERVE_SHARE * largest))

    @property
    def fits(self) -> bool:
        """Whether the device can hold it."""
        return self.device_bytes is None or self.peak <= self.device_bytes

    def lines(self) -> list[str]:
        """The plan for people, one line for each part and stage."""
        small = " (" + self.quantisation + ")" if self.quantisation else ""
        rows = [f"memory plan of {self.model}: {self.mode}{small} on {self.device}"]
        rows += [f"  weights  {name:<18} {gigabytes(size):>9}" for name, size in self.parts]
        if self.modulation:
            rows.append(f"  modulation, worked out before the steps: {gigabytes(self.modulation)} stay away")
        rows += [
            f"  stage    {stage.name:<18} {gigabytes(stage.total):>9}  "
            f"(weights {gigabytes(stage.weights)}, work {gigabytes(stage.work)})"
            for stage in self.stages
        ]
        room = "" if self.device_bytes is None else f" of {gigabytes(self.device_bytes)}"
        return [*rows, f"  peak     {gigabytes(self.peak)}{room}: {'fits' if self.fits else 'does not fit'}"]


def plan_memory(
    facts: ModelFacts,
    mode: Mode,
    *,
    dtype: torch.dtype,
    device: str = "cpu",
    device_bytes: int | None = None,
    workload: Workload | None = None,
    quantisation: Quantisation = "int8",
) -> MemoryPlan:
    """Work out the plan of one mode.

    Args:
        facts: From `facts`.
        mode: See `docs/memory.md`.
        dtype: Of weights and activations.
        device: Its name, for the reader.
        device_bytes: What it can give.
        workload: The largest request that is expected.
        quantisation: For mode "quantized".
    """
    workload = workload or Workload()
    size = workload.size or Size(facts.geometry.side, facts.geometry.side)
    item = dtype.itemsize
    quantised = quantisation if mode == "quantized" else None
    weights = {part.name: _weight_bytes(part, item, quantised) for part in facts.parts}
    main = facts.part("transformer")
    assert main is not None, "every model has a transformer"
    adapters = sum(size for name, size in weights.items() if name.endswith(" adapter"))
    precomputed = mode != "full"
    away = main.modulation * item if precomputed else 0
    # Where the device is the host itself, what waits beside it is still there, unless it waits in its files.
    everything = mode == "full" or (torch.device(device).type == "cpu" and mode != "sequential")
    stages: list[Stage] = []
    for name in (*TEXT_PARTS, "vae encoder", "transformer", "vae decoder"):
        part = facts.part(name.split()[0])
        if part is None or (name == "vae encoder" and not workload.images):
            continue
        if everything:
            held = sum(weights.values())
        elif mode == "offload" and part.name != "vae":
            # The block that runs, the one that comes, and what is in no block.
            held = (2 * part.largest_block + part.loose) * item
        else:
            held = weights[part.name] - (away if name == "transformer" else 0)
        if name == "transformer" and not everything:
            held += adapters + main.largest_modulation * item  # one such layer comes at a time
        work = _work(name, facts, workload, size.num_pixels, item)
        if name == "transformer" and precomputed:
            # A row of the tables has a number for each row of the layers, for each step and for time zero.
            work += main.modulation / facts.geometry.width * (workload.steps + 1) * item * workload.batch
        stages.append(Stage(name, int(held), int(work)))
    return MemoryPlan(
        facts.name, mode, quantised, tuple(weights.items()), tuple(stages), away, device, device_bytes
    )


def choose_plan(
    facts: ModelFacts,
    mode: str,
    *,
    dtype: torch.dtype,
    device: str,
    device_bytes: int | None,
    workload: Workload | None = None,
    quantisation: Quantisation = "int8",
) -> MemoryPlan:
    """The plan of a mode, or for "auto" that of the first exact mode that fits: full, sequential, offload.

    Raises:
        ModelError: The mode is unknown, or needs more than the device has; the message names one that fits.
    """
    if mode not in ("auto", *MODES):
        raise ModelError(f"memory mode {mode!r} is unknown: say auto, {', '.join(MODES)}")
    plans = {
        each: plan_memory(
            facts,
            each,
            dtype=dtype,
            device=device,
            device_bytes=device_bytes,
            workload=workload,
            quantisation=quantisation,
        )
        for each in MODES
    }
    if mode == "auto":
        for each in ("full", "sequential", "offload"):
            if plans[each].fits:
                return plans[each]
        raise ModelError(_too_small(plans["offload"], plans))
    chosen = plans[mode]  # type: ignore[index]
    if not chosen.fits:
        raise ModelError(_too_small(chosen, plans))
    return chosen


def gigabytes(number: float) -> str:
    """Bytes as people say them; a GB is 10^9 bytes."""
    if number < 1e6:
        return f"{number / 1e3:.1f} kB"
    return f"{number / 1e6:.1f} MB" if number < 1e9 else f"{number / 1e9:.2f} GB"


def parse_bytes(text: str) -> int:
    """Read "24GB", "24GiB", "800MB" or plain bytes.

    Raises:
        ModelError: It is no such amount.
    """
    units = {"": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
    number = text.strip().rstrip("KMGTiBkmgtb ").strip()
    unit = text.strip()[len(number) :].strip().lower()
    try:
        size = float(number) * units[unit]
    except (ValueError, KeyError):
        size = float("nan")
    if not 0 < size < 1e15:
        raise ModelError(f"{text!r} is no amount of memory: say 24GB, 24GiB or 800MB")
    return int(size)


def _too_small(chosen: MemoryPlan, plans: dict[Mode, MemoryPlan]) -> str:
    need = (
        f"memory mode {chosen.mode} of model {chosen.model!r} needs {gigabytes(chosen.peak)}, but "
        f"{chosen.device} has {gigabytes(chosen.device_bytes or 0)} to give"
    )
    fitting = [plan for plan in plans.values() if plan.fits]
    if fitting:
        best = fitting[0]
        change = " (it changes the picture a little)" if best.mode == "quantized" else ""
        return f"{need}: --memory {best.mode} needs {gigabytes(best.peak)} and fits{change}"
    least = min(plans.values(), key=lambda plan: plan.peak)
    return (
        f"{need}, and no other mode fits either (the least is {least.mode}, {gigabytes(least.peak)}): use a "
        "smaller size, fewer images or a larger device"
    )


def _weight_bytes(part: Part, item: int, quantised: Quantisation | None) -> int:
    if quantised is None or part.name not in QUANTISED_PARTS:
        return part.numbers * item
    return int(part.quantisable * WEIGHT_BYTES[quantised]) + (part.numbers - part.quantisable) * item


def _work(name: str, facts: ModelFacts, workload: Workload, pixels: int, item: int) -> float:
    """Bytes that a stage computes with, beside its weights."""
    geometry = facts.geometry
    if name.startswith("vae"):
        live = LIVE_TENSORS[name] + _CONVOLUTION_WORKSPACE
        return live * geometry.base_width * pixels * item * workload.batch
    if name != "transformer":
        part = facts.part(name)
        assert part is not None
        # Small models have small activations: never more than a fifth of the weights.
        return min(_TEXT_WORK[name] * item / 2, part.numbers * item / 5) * workload.batch
    per_image = pixels / geometry.pixels_per_token**2
    rest = geometry.text_tokens + per_image * workload.images
    attention = "isolated" if geometry.isolated else "joint"
    live = LIVE_TENSORS["kontext" if geometry.kind == "kontext" else attention]
    kept = 2 * geometry.depth * rest if geometry.isolated else 0
    batch = workload.batch * geometry.guidance_batch
    return (live * (per_image + rest) + kept) * geometry.width * item * batch
