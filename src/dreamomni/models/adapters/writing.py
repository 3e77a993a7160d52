"""`AdapterWeights` -> a file that diffusers, kohya's scripts or ComfyUI read.

| format | keys | fused layers | alpha |
|---|---|---|---|
| diffusers | `transformer.PATH.lora_A.weight`, `lora_B` | split | in the header, where it is not the rank |
| kohya | `lora_unet_PATH_WITH_UNDERSCORES.lora_down.weight`, `lora_up` | as in the original | a tensor |
| comfyui | `diffusion_model.PATH.lora_A.weight`, `lora_B` | as in the original | a tensor |

Only FLUX.1 has an original code with other names. Layers of DreamOmni keep theirs in all three.
"""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors.torch import save_file
from torch import Tensor

from dreamomni.errors import ModelError
from dreamomni.models.adapters.fusing import to_original
from dreamomni.models.adapters.names import family_of
from dreamomni.models.adapters.reading import METADATA_KEY
from dreamomni.models.adapters.weights import AdapterWeights, LowRank
from dreamomni.storage import atomic_path

Format = Literal["diffusers", "kohya", "comfyui"]
FORMATS: tuple[Format, ...] = get_args(Format)


def write_adapter(
    path: str | Path,
    weights: AdapterWeights,
    *,
    to: Format = "diffusers",
    about: Mapping[str, str] | None = None,
) -> None:
    """Write a LoRA, a whole file or none.

    Args:
        path: Of the safetensors file.
        weights: The LoRA; dtypes stay.
        to: Whose keys it has.
        about: Further entries of the header.

    Raises:
        ModelError: The layers have no names in that format.
        OutputError: The file cannot be written.
    """
    tensors, metadata = to_tensors(weights, to)
    with atomic_path(path) as part:
        save_file(tensors, part, metadata={"format": "pt", **(about or {}), **metadata})


def to_tensors(weights: AdapterWeights, to: Format) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file by their keys, and what its header says.

    Raises:
        ModelError: The layers have no names in that format.
    """
    if to == "diffusers":
        named = {f"transformer.{path}": layer for path, layer in weights.layers.items()}
        return _halves(named, "lora_A", "lora_B"), _header(weights.layers)
    family = family_of(weights.layers)
    if family is None:
        raise ModelError(
            f"{weights.source} has layers of no known network, such as {next(iter(weights.layers))}, which "
            f"have no names in the format {to}"
        )
    layers = to_original(weights.layers) if family == "flux" else weights.layers
    if to == "kohya":
        named = {f"lora_unet_{path.replace('.', '_')}": layer for path, layer in layers.items()}
        tensors = _halves(named, "lora_down", "lora_up")
    else:
        named = {f"diffusion_model.{path}": layer for path, layer in layers.items()}
        tensors = _halves(named, "lora_A", "lora_B")
    tensors |= {f"{stem}.alpha": torch.tensor(layer.alpha) for stem, layer in named.items()}
    return tensors, {}


def _halves(layers: Mapping[str, LowRank], down: str, up: str) -> dict[str, Tensor]:
    # Copies: layers that were split share a half, and safetensors refuses shared memory.
    return {
        f"{stem}.{half}.weight": value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for stem, layer in layers.items()
        for half, value in ((down, layer.down), (up, layer.up))
    }


def _header(layers: Mapping[str, LowRank]) -> dict[str, str]:
    """Settings in diffusers' words; none where every alpha is the rank and all ranks are one, its default."""
    if (
        all(layer.alpha == layer.rank for layer in layers.values())
        and len({v.rank for v in layers.values()}) < 2
    ):
        return {}
    settings = {f"transformer.{key}": value for key, value in peft_settings(layers).items()}
    return {METADATA_KEY: json.dumps(settings, indent=2, sort_keys=True)}


def peft_settings(layers: Mapping[str, LowRank]) -> dict[str, Any]:
    """Arguments of PEFT's `LoraConfig`: the commonest rank and alpha, and patterns for the others.

    Patterns are tied to the start of a path: one for `proj_out` would fit every `...proj_out` too.
    """
    rank = Counter(layer.rank for layer in layers.values()).most_common(1)[0][0]
    alpha = Counter(layer.alpha for layer in layers.values()).most_common(1)[0][0]
    return {
        "r": rank,
        "lora_alpha": _plain(alpha),
        "rank_pattern": {f"^{path}": layer.rank for path, layer in layers.items() if layer.rank != rank},
        "alpha_pattern": {
            f"^{path}": _plain(layer.alpha) for path, layer in layers.items() if layer.alpha != alpha
        },
        "target_modules": sorted(layers),
    }


def _plain(number: float) -> float:
    return int(number) if number == int(number) else number
