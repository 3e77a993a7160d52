"""What a LoRA of FLUX.1-Kontext costs: shapes of the base, operations and memory, without its weights."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from dreamomni.errors import ConfigError
from dreamomni.models.kontext.files import BASE_FOLDER, BASE_HUB_NAME
from dreamomni.models.kontext.text import MAX_CLIP_TOKENS, MAX_T5_TOKENS
from dreamomni.models.packing import NUM_ID_AXES
from dreamomni.training.estimate.activations import Precision, Saved, saved_bytes
from dreamomni.training.estimate.sources import PUBLISHED

PUBLISHED_KONTEXT: Mapping[str, Mapping[str, Any]] = {
    "transformer": {
        "patch_size": 1,
        "in_channels": 64,
        "num_layers": 19,
        "num_single_layers": 38,
        "attention_head_dim": 128,
        "num_attention_heads": 24,
        "joint_attention_dim": 4096,
        "pooled_projection_dim": 768,
        "guidance_embeds": True,
        "axes_dims_rope": (16, 56, 56),
    },
    "vae": PUBLISHED["black-forest-labs/FLUX.1-schnell/vae"],
    "text_encoder": {
        "vocab_size": 49408,
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "max_position_embeddings": 77,
    },
    "text_encoder_2": {
        "vocab_size": 32128,
        "d_model": 4096,
        "d_kv": 64,
        "d_ff": 10240,
        "num_layers": 24,
        "num_heads": 64,
        "feed_forward_proj": "gated-gelu",
    },
}
"""Published configs of FLUX.1-Kontext-dev."""


class Base(NamedTuple):
    """The networks of the base on the meta device, and what was assumed about them."""

    transformer: FluxTransformer2DModel
    vae: AutoencoderKL
    clip: CLIPTextModel
    t5: T5EncoderModel
    assumptions: list[str]

    @property
    def frozen(self) -> tuple[nn.Module, ...]:
        """What runs beside the network."""
        return self.vae, self.clip, self.t5

    @property
    def reading_flop(self) -> int:
        """Operations of reading one prompt."""
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            self.clip(torch.zeros(1, MAX_CLIP_TOKENS, dtype=torch.long, device="meta"))
            self.t5(torch.zeros(1, MAX_T5_TOKENS, dtype=torch.long, device="meta"))
        return counter.get_total_flops()


def read_base(source: str) -> Base:
    """The networks of a folder by its configs; of a hub id, or where there is no folder, the published ones.

    Raises:
        ConfigError: A config is there and cannot be used.
    """
    assumptions: list[str] = []
    folder = Path(source).expanduser()
    if (folder / BASE_FOLDER).is_dir():
        folder = folder / BASE_FOLDER
    if source != BASE_HUB_NAME and not folder.is_dir():
        assumptions.append(f"{source} is not there: taken to be like {BASE_HUB_NAME}")

    def config(part: str) -> dict[str, Any]:
        path = folder / part / "config.json"
        if not path.is_file():
            return dict(PUBLISHED_KONTEXT[part])
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read: {error}") from None

    with torch.device("meta"):
        transformer = FluxTransformer2DModel.from_config(config("transformer"))
        vae = AutoencoderKL.from_config(config("vae"))
        clip = CLIPTextModel(CLIPTextConfig(**config("text_encoder")))
        t5 = T5EncoderModel(T5Config(**config("text_encoder_2")))
    for network in (transformer, vae, clip, t5):
        network.requires_grad_(False)
    return Base(transformer, vae, clip, t5, assumptions)


def flux_saved(
    transformer: FluxTransformer2DModel, num_noise: int, num_images: int, batch: int, precision: Precision
) -> Saved:
    """Bytes that a step keeps, for a batch of one shape.

    Args:
        transformer: On the meta device, with its LoRA.
        num_noise: Tokens of the target.
        num_images: Tokens of all input images.
        batch: Samples.
        precision: Of the arithmetic.
    """
    config, dtype = transformer.config, transformer.dtype
    length = num_noise + num_images

    def empty(*shape: int) -> torch.Tensor:
        return torch.empty(*shape, device="meta", dtype=dtype)

    def forward() -> torch.Tensor:
        sigma = empty(batch)
        velocity = transformer(
            hidden_states=empty(batch, length, config.in_channels),
            timestep=sigma,
            guidance=sigma if config.guidance_embeds else None,
            pooled_projections=empty(batch, config.pooled_projection_dim),
            encoder_hidden_states=empty(batch, MAX_T5_TOKENS, config.joint_attention_dim),
            txt_ids=torch.empty(MAX_T5_TOKENS, NUM_ID_AXES, device="meta"),
            img_ids=torch.empty(length, NUM_ID_AXES, device="meta"),
            return_dict=False,
        )[0]
        return velocity[:, :num_noise].float().square().mean()

    transformer.train()
    blocks = [*transformer.transformer_blocks, *transformer.single_transformer_blocks]
    return saved_bytes(forward, [transformer], blocks, precision)
