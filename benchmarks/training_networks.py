"""The networks that `training.py` times: ours, and diffusers' SD3 and FLUX at as many parameters."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import FluxTransformer2DModel, SD3Transformer2DModel
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dreamomni.models.layers import DiTBlock, ResidualConvBlock
from dreamomni.models.transformer import DreamOmniTransformer2DModel

TOLERANCE = 0.02
"""Parameters of a peer may differ by so much."""
SMALL: dict[str, Any] = {
    "conv_width": 64,
    "width": 256,
    "num_heads": 4,
    "num_stages": 4,
    "blocks_per_stage": 2,
    "text_width": 256,
    "axes_dims_rope": (8, 28, 28),
}
"""Our network for the CPU, about 11 M parameters."""
POOLED_WIDTH = 256
"""Width of the pooled text that both peers want; ours has none."""


@dataclass(frozen=True)
class Work:
    """What every network is given: batch, text tokens, latent cells a side, width of the text."""

    batch: int
    text_tokens: int
    side: int
    text_width: int

    @property
    def image_tokens(self) -> int:
        """All three make one token of 2x2 latent cells."""
        return (self.side // 2) ** 2


def count(build: Callable[[], nn.Module]) -> int:
    """Parameters of a network, without memory."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build().parameters())


def sd3(heads: int, head_size: int, layers: int, work: Work) -> SD3Transformer2DModel:
    """SD3 as published but for its sizes; with the norm of queries and keys that 3.5 and we have."""
    return SD3Transformer2DModel(
        sample_size=work.side,
        pos_embed_max_size=work.side,
        num_layers=layers,
        attention_head_dim=head_size,
        num_attention_heads=heads,
        joint_attention_dim=work.text_width,
        caption_projection_dim=heads * head_size,
        pooled_projection_dim=POOLED_WIDTH,
        qk_norm="rms_norm",
    )


def flux(heads: int, head_size: int, layers: int, work: Work) -> FluxTransformer2DModel:
    """FLUX.1 as published but for its sizes: two single blocks for every double one."""
    part = head_size // 16
    return FluxTransformer2DModel(
        num_layers=layers,
        num_single_layers=2 * layers,
        attention_head_dim=head_size,
        num_attention_heads=heads,
        joint_attention_dim=work.text_width,
        pooled_projection_dim=POOLED_WIDTH,
        axes_dims_rope=(2 * part, 7 * part, 7 * part),
    )


def fit(
    build: Callable[[int, int, int, Work], nn.Module], target: int, width: int, work: Work
) -> tuple[dict[str, int], int]:
    """Sizes of a peer with as many parameters as ours, and its parameters: of the width nearest to ours.

    Raises:
        SystemExit: No size comes within the tolerance.
    """
    choices = [
        (heads, head_size)
        for head_size in (64, 128, 32)
        for heads in range(1, 2 * width // head_size + 1)
        if 2 * heads * head_size >= width
    ]
    for heads, head_size in sorted(choices, key=lambda choice: abs(choice[0] * choice[1] / width - 1)):
        # Parameters are a straight line in the number of layers.
        one, two = (count(lambda n=n, h=heads, s=head_size: build(h, s, n, work)) for n in (1, 2))
        layers = max(1, round(1 + (target - one) / (two - one)))
        total = one + (layers - 1) * (two - one)
        if abs(total / target - 1) <= TOLERANCE:
            return {"heads": heads, "head_size": head_size, "layers": layers}, total
    raise SystemExit(f"no size of {build.__name__} has {target:,} parameters within {TOLERANCE:.0%}")


def make_networks(
    preset: dict[str, Any], work: Work
) -> tuple[dict[str, Callable[[], nn.Module]], dict[str, Any]]:
    """Builders of the three networks, and their sizes."""

    def ours() -> nn.Module:
        return DreamOmniTransformer2DModel(**{**preset, "text_width": work.text_width})

    target, facts, builders = count(ours), {}, {"dreamomni": ours}
    facts["dreamomni"] = {"parameters": target, "width": preset["width"]}
    for name, build in (("sd3", sd3), ("flux", flux)):
        sizes, total = fit(build, target, preset["width"], work)
        builders[name] = lambda build=build, sizes=sizes: build(**sizes, work=work)
        facts[name] = {"parameters": total, "ratio": total / target, **sizes}
    return builders, facts


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """What is compiled, and what is checkpointed."""
    if isinstance(model, DreamOmniTransformer2DModel):
        return [part for part in model.modules() if isinstance(part, DiTBlock | ResidualConvBlock)]
    return [
        part
        for name in ("transformer_blocks", "single_transformer_blocks")
        for part in getattr(model, name, ())
    ]


def make_step(
    model: nn.Module, work: Work, *, bf16: bool, compiled: bool, optimizer: bool, checkpointing: bool = False
) -> Callable[[], None]:
    """One training step of a network: autocast over fp32 weights, mean square against noise."""
    device = next(model.parameters()).device
    model.train()
    for block in blocks_of(model):
        if compiled:
            block.compile()
        if checkpointing:
            inner = block.forward
            block.forward = lambda *a, inner=inner, **k: checkpoint(inner, *a, use_reentrant=False, **k)
    run = make_forward(model, work, device)
    target = torch.randn(work.batch, 16, work.side, work.side, device=device)
    if isinstance(model, FluxTransformer2DModel):
        target = target.reshape(work.batch, work.image_tokens, 64)
    # A rate of zero: the weights stay what they are, and so does the arithmetic.
    adam = torch.optim.AdamW(model.parameters(), lr=0.0, fused=True) if optimizer else None

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            out = run()
        (out.float() - target).square().mean().backward()
        if adam is not None:
            adam.step()
        model.zero_grad(set_to_none=adam is None)

    return step


def make_forward(model: nn.Module, work: Work, device: torch.device) -> Callable[[], Tensor]:
    """A forward pass over random inputs, with the calling convention of each network."""
    latents = torch.randn(work.batch, 16, work.side, work.side, device=device)
    text = torch.randn(work.batch, work.text_tokens, work.text_width, device=device)
    pooled = torch.randn(work.batch, POOLED_WIDTH, device=device)
    sigma = torch.rand(work.batch, device=device)
    if isinstance(model, DreamOmniTransformer2DModel):
        return lambda: model(latents, sigma, text).sample
    if isinstance(model, SD3Transformer2DModel):
        return lambda: model(latents, text, pooled, 1000 * sigma).sample
    packed = latents.reshape(work.batch, work.image_tokens, 64)
    side = work.side // 2
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    image_ids = torch.stack([torch.zeros_like(rows), rows, columns], -1).reshape(-1, 3).to(device).float()
    text_ids = torch.zeros(work.text_tokens, 3, device=device)
    return lambda: model(packed, text, pooled, sigma, img_ids=image_ids, txt_ids=text_ids).sample
