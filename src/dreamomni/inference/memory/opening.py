"""From a model's files and a memory mode to a plan, and from a loaded pipeline to one that keeps it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from transformers import Qwen2VLForConditionalGeneration

from dreamomni.inference.memory.facts import ModelFacts, dreamomni_facts, kontext_facts
from dreamomni.inference.memory.managed import attach, plan_for, reload_by_name, reload_whole
from dreamomni.inference.memory.plan import MemoryPlan, Quantisation, Workload
from dreamomni.inference.memory.residence import Reload
from dreamomni.models.components import load_component
from dreamomni.models.kontext.files import KontextFiles
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.images import load_image
from dreamomni.tasks.request import Request

logger = logging.getLogger(__name__)

_BATCH_PIXELS = 2**22
"""Neither pipeline puts more pixels, input images included, into one pass."""
_WORTH_TELLING = 10**9
"""Models below this many bytes are planned in silence, unless a mode was asked for."""


@dataclass(frozen=True, slots=True)
class MemoryOptions:
    """What a user may say about memory.

    Attributes:
        mode: "auto", "full", "sequential", "offload" or "quantized".
        quantisation: "int8", "fp8" or "nf4", for "quantized".
        device_bytes: What may be used of the device; None means what is free.
        workload: The largest request that is expected.
    """

    mode: str = "auto"
    quantisation: Quantisation = "int8"
    device_bytes: int | None = None
    workload: Workload | None = None


def plan_model(
    source: KontextFiles | Path, options: MemoryOptions, *, device: torch.device, dtype: torch.dtype
) -> MemoryPlan:
    """Plan a model before it is loaded, and tell the plan.

    Args:
        source: Where its files are: of Kontext, or the folder of a model of ours.
        options: What the user asked for.
        device: Where it runs.
        dtype: Of its weights.

    Raises:
        ModelError: The mode does not fit, the message names one that does; or a file is damaged.
    """
    facts = model_facts(source)
    told = options.mode != "auto" or sum(part.stored_bytes for part in facts.parts) >= _WORTH_TELLING
    return plan_for(
        facts,
        options.mode,
        device=device,
        dtype=dtype,
        device_bytes=options.device_bytes,
        workload=options.workload,
        quantisation=options.quantisation,
        level=logging.INFO if told else logging.DEBUG,
    )


def workload_of(request: Request) -> Workload:
    """The workload of one request, as the pipelines cut it into batches."""
    images = [load_image(image) for image in request.images]
    size = request.size or (Size(*images[0].size) if images else None)
    pixels = (size.num_pixels if size else 1024**2) * (1 + len(images))
    batch = max(1, min(request.num_images, _BATCH_PIXELS // pixels))
    return Workload(size, len(images), request.num_inference_steps or 30, batch)


def model_facts(source: KontextFiles | Path) -> ModelFacts:
    """The facts of either family.

    Raises:
        ModelError: A file is damaged.
    """
    return kontext_facts(source) if isinstance(source, KontextFiles) else dreamomni_facts(source)


def keep_plan(
    pipe: Any, plan: MemoryPlan, source: KontextFiles | Path, *, device: torch.device, dtype: torch.dtype
) -> None:
    """Put a plan to work on a pipeline that was loaded on the CPU from the same files."""
    attach(pipe, plan, device, _reloads(source, dtype))


def _reloads(source: KontextFiles | Path, dtype: torch.dtype) -> Mapping[str, Reload]:
    if isinstance(source, KontextFiles):
        from dreamomni.models.kontext.loading import load_part  # its networks are needed by Kontext alone

        found = {part: reload_by_name(source.weights(part), dtype) for part in ("transformer", "vae")}
        for part in ("text_encoder", "text_encoder_2"):
            found[part] = reload_whole(lambda part=part: load_part(source, part, dtype))  # type: ignore[misc]
        return found
    folder = source
    return {
        "transformer": reload_by_name(sorted((folder / "transformer").glob("*.safetensors")), dtype),
        "vae": reload_whole(lambda: load_component(AutoencoderKL, folder, "vae", dtype)),
        "text_encoder": reload_whole(
            lambda: load_component(Qwen2VLForConditionalGeneration, folder, "text_encoder", dtype)
        ),
    }
