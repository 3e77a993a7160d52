"""The model family as numbers: every named size of the network, and its parameter count without using memory.

The paper gives no widths; ``2.5b`` and ``0.85b`` are the sizes that fit its parameter counts best
(docs/architecture.md).
"""

from pathlib import Path
from typing import Any

import torch

from dreamomni.errors import ModelError
from dreamomni.models.components import load_component
from dreamomni.models.transformer import DreamOmniTransformer2DModel

TRANSFORMER_PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {
        "conv_width": 16,
        "width": 48,
        "num_heads": 3,
        "num_stages": 4,
        "blocks_per_stage": 1,
        "text_width": 64,
        "axes_dims_rope": (4, 6, 6),
        "rope_theta": 100.0,
    },
    "mini": {
        "conv_width": 48,
        "width": 128,
        "num_heads": 4,
        "num_stages": 4,
        "blocks_per_stage": 2,
        "text_width": 128,
        "axes_dims_rope": (8, 12, 12),
        "rope_theta": 100.0,
    },
    "0.85b": {
        "conv_width": 320,
        "width": 1280,
        "num_heads": 10,
        "num_stages": 10,
        "blocks_per_stage": 2,
        "text_width": 3584,
        "axes_dims_rope": (16, 56, 56),
    },
    "2.5b": {
        "conv_width": 320,
        "width": 2048,
        "num_heads": 16,
        "num_stages": 12,
        "blocks_per_stage": 2,
        "text_width": 3584,
        "axes_dims_rope": (16, 56, 56),
    },
}


def transformer_config(preset: str) -> dict[str, Any]:
    """The constructor arguments of a preset, as a fresh dict.

    Raises:
        ModelError: If there is no such preset.
    """
    if preset not in TRANSFORMER_PRESETS:
        raise ModelError(f"there is no preset {preset!r}; the presets are {', '.join(TRANSFORMER_PRESETS)}")
    return dict(TRANSFORMER_PRESETS[preset])


def build_transformer(preset: str, **changes: Any) -> DreamOmniTransformer2DModel:
    """A network of a preset with random weights, with single settings changed by keyword."""
    return DreamOmniTransformer2DModel(**{**transformer_config(preset), **changes})


def load_transformer(
    source: str | Path, subfolder: str | None = None, torch_dtype: torch.dtype | None = None
) -> DreamOmniTransformer2DModel:
    """Load a network from a folder or a hub id.

    Raises:
        ModelError: Nothing is there, or it is not a complete network.
    """
    model = load_component(DreamOmniTransformer2DModel, source, subfolder, torch_dtype)
    assert isinstance(model, DreamOmniTransformer2DModel)
    return model


def count_parameters(preset: str, **changes: Any) -> dict[str, int]:
    """Parameters of a preset in all and by part, counted on the meta device. See :func:`count_parts`."""
    with torch.device("meta"):
        model = build_transformer(preset, **changes)
    parts = count_parts(model)
    return {"total": sum(parts.values()), **parts}


def count_parts(model: DreamOmniTransformer2DModel) -> dict[str, int]:
    """Parameters of a network by part.

    Returns:
        ``{"dit_blocks", "long_skips", "convolutions", "text", "time"}``; ``time`` holds the time
        embedding and the final modulation.
    """
    parts = dict.fromkeys(("dit_blocks", "long_skips", "convolutions", "text", "time"), 0)
    rooms = {"stages": "dit_blocks", "fusions": "long_skips", "text_norm": "text", "text_in": "text"}
    rooms |= {
        "time_embedding": "time",
        "modulation_out": "time",
        "token_merge": "dit_blocks",
        "token_split": "dit_blocks",
    }
    for name, parameter in model.named_parameters():
        parts[rooms.get(name.split(".", maxsplit=1)[0], "convolutions")] += parameter.numel()
    return parts
