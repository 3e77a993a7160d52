"""Tiny networks of both families, and LoRAs of any ranks for them."""

from collections.abc import Mapping, Sequence

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor, nn

from dreamomni.models.adapters.attach import find_targets, linear_layers
from dreamomni.models.adapters.weights import AdapterWeights, LowRank
from dreamomni.models.presets import build_transformer

FLUX = {
    "patch_size": 1,
    "in_channels": 64,
    "num_layers": 2,
    "num_single_layers": 2,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": 24,
    "pooled_projection_dim": 20,
    "guidance_embeds": True,
    "axes_dims_rope": (4, 6, 6),
}


def tiny_flux(**changes: object) -> FluxTransformer2DModel:
    """FLUX.1's network of width 32, with random weights."""
    torch.manual_seed(0)
    return FluxTransformer2DModel(**{**FLUX, **changes}).eval()


def flux_output(network: nn.Module, seed: int = 0) -> Tensor:
    """What the network says of some noise."""
    g = torch.Generator().manual_seed(seed)
    ids = torch.zeros(6, 3)
    ids[:, 1] = torch.arange(6)
    with torch.no_grad():
        return network(
            hidden_states=torch.randn(2, 6, 64, generator=g),
            encoder_hidden_states=torch.randn(2, 3, 24, generator=g),
            pooled_projections=torch.randn(2, 20, generator=g),
            timestep=torch.tensor([0.3, 0.8]),
            guidance=torch.tensor([3.5, 3.5]),
            img_ids=ids,
            txt_ids=torch.zeros(3, 3),
        ).sample


def tiny_dreamomni() -> nn.Module:
    """Our network of width 48, moved away from its zero output."""
    torch.manual_seed(0)
    network = build_transformer("tiny", text_width=24).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


def dreamomni_output(network: nn.Module, seed: int = 0) -> Tensor:
    """What the network says of some noise."""
    g = torch.Generator().manual_seed(seed)
    channels = network.config.in_channels
    with torch.no_grad():
        return network(
            torch.randn(2, channels, 4, 4, generator=g),
            torch.tensor([0.3, 0.8]),
            torch.randn(2, 3, 24, generator=g),
            None,
            [torch.randn(2, channels, 4, 4, generator=g)],
        ).sample


def random_lora(
    network: nn.Module,
    *,
    seed: int = 1,
    ranks: Sequence[int] = (4,),
    alpha: float | None = None,
    targets: Sequence[str] = (),
    dtype: torch.dtype = torch.float32,
) -> AdapterWeights:
    """A LoRA that changes the output; the ranks take turns."""
    g = torch.Generator().manual_seed(seed)
    sizes = linear_layers(network)
    layers: Mapping[str, LowRank] = {
        path: LowRank(
            torch.randn(rank, sizes[path][0], generator=g).to(dtype),
            torch.randn(sizes[path][1], rank, generator=g).to(dtype) * 0.1,
            float(rank) if alpha is None else alpha,
        )
        for number, path in enumerate(find_targets(network, targets))
        for rank in (ranks[number % len(ranks)],)
    }
    return AdapterWeights(layers)
