"""Operations of networks of which a LoRA learns: the base costs gradients of inputs and none of weights.

What comes before the first block has no gradient at all. Only matrix products and attention count, as in
`flops`.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from peft.tuners.lora import LoraLayer
from torch import nn

from dreamomni.models.adapters import add_adapter
from dreamomni.models.adapters.attach import linear_layers
from dreamomni.training.estimate.flops import Flop, LatentSize, num_tokens, transformer_flop
from dreamomni.training.lora_config import LoraConfig

Network = TypeVar("Network", bound=nn.Module)
RowsOf = Callable[[str], int]
"""Rows that a linear layer computes for one sample, by its path."""


def dreamomni_flop(
    transformer: Any, num_text_tokens: int, target: LatentSize, images: Sequence[LatentSize] = ()
) -> Flop:
    """Operations of the DreamOmni network for one sample, with the LoRA that is on it, if there is one.

    Args:
        transformer: A `DreamOmniTransformer2DModel`.
        num_text_tokens: Padded length of the text features.
        target: Latent cells of the target.
        images: Latent cells of every input image.
    """
    layers = lora_layers(transformer)
    if not layers:
        return transformer_flop(transformer.config, num_text_tokens, target, images)
    base = transformer_flop(transformer.config, num_text_tokens, target, images, frozen=True)
    total = num_tokens(num_text_tokens, target, images)

    def rows_of(path: str) -> int:
        if "modulation" in path or path.startswith("time_embedding"):
            return 1
        if ".attention." in path:
            return total
        return num_text_tokens if "text" in path else total - num_text_tokens

    return base.plus(lora_flop(layers, rows_of))


class FluxCost:
    """Operations of FLUX.1's network for one sample; with a LoRA on it, that alone learns.

    Layers are looked at once, since a call comes with every step.

    Args:
        transformer: A `FluxTransformer2DModel`.
    """

    def __init__(self, transformer: Any) -> None:
        config, adapters = transformer.config, lora_layers(transformer)
        width = config.num_attention_heads * config.attention_head_dim
        self._attention = 4 * width * (config.num_layers + config.num_single_layers)
        self._rows = {kind: Flop() for kind in ("one", "text", "pictures", "all")}
        for path, (inputs, outputs) in linear_layers(transformer).items():
            kind = _flux_rows(path)
            one = 2 * inputs * outputs
            inside = "blocks" in path
            backward = 2 * one
            if adapters:
                backward = one if (inside and kind != "one") or path == "proj_out" else 0
            self._rows[kind] = self._rows[kind].plus(Flop(one, backward, one if inside else 0))
        for path, sizes in adapters.items():
            kind = _flux_rows(path)
            self._rows[kind] = self._rows[kind].plus(lora_flop({path: sizes}, lambda path: 1))

    def __call__(self, num_text: int, num_noise: int, num_images: int) -> Flop:
        """Operations of a sample.

        Args:
            num_text: Text tokens.
            num_noise: Tokens of the target.
            num_images: Tokens of all input images.
        """
        pictures = num_noise + num_images
        total = num_text + pictures
        attention = self._attention * total * total
        found = Flop(attention, 2 * attention, attention)
        for kind, rows in (("one", 1), ("text", num_text), ("pictures", pictures), ("all", total)):
            found = found.plus(self._rows[kind], rows)
        return found


def _flux_rows(path: str) -> str:
    """Which rows a linear layer of FLUX.1 computes."""
    block, _, name = path.partition(".") if "blocks" in path else ("", "", path)
    if "norm" in name or name.startswith("time_text_embed"):
        return "one"
    if block == "single_transformer_blocks":
        return "all"
    of_text = any(part in name for part in ("add_", "ff_context", "context_embedder"))
    return "text" if of_text else "pictures"


def with_lora(transformer: Network, lora: LoraConfig, dtype: torch.dtype) -> tuple[Network, int]:
    """A copy of a network on the meta device with a new LoRA on it, and how many weights that has.

    Raises:
        ConfigError: A target fits no layer.
    """
    network = copy.deepcopy(transformer)  # networks of presets are shared
    for weight in network.parameters():
        weight.data = weight.data.to(dtype)
    add_adapter(network, lora.name, rank=lora.rank, alpha=lora.alpha, targets=lora.targets)
    return network, sum(weight.numel() for weight in network.parameters() if weight.requires_grad)


def lora_layers(transformer: nn.Module) -> dict[str, tuple[int, int, int]]:
    """(inputs, outputs, rank) of every layer with a LoRA that is on."""
    return {
        path: (module.in_features, module.out_features, module.r[name])
        for path, module in transformer.named_modules()
        if isinstance(module, LoraLayer) and not module.disable_adapters
        for name in module.active_adapters
        if name in module.r
    }


def lora_flop(layers: dict[str, tuple[int, int, int]], rows_of: RowsOf) -> Flop:
    """Operations of the thin matrices alone: forward, and gradients of both weights and inputs."""
    forward = sum(
        2 * rows_of(path) * rank * (inputs + outputs) for path, (inputs, outputs, rank) in layers.items()
    )
    return Flop(forward, 2 * forward, forward)
