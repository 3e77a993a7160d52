"""What each kind of task trains, on the meta device: modules, blocks, and the bytes that a step keeps."""

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLTextModel

from dreamomni.models.layers import DiTBlock, ResidualConvBlock
from dreamomni.models.transformer import DreamOmniTransformer2DModel
from dreamomni.models.vlm import build_mini_vlm
from dreamomni.training.config import VlmTaskConfig
from dreamomni.training.estimate.activations import Precision, Saved, saved_bytes
from dreamomni.training.estimate.flops import Flop, LatentSize

PIXELS_PER_CELL = 8
"""Of FLUX.1's autoencoder and ours."""


class Shape(NamedTuple):
    """What the DiT reads for one sample: text tokens, latent cells of the target and of every image."""

    text_tokens: int
    target: LatentSize
    images: tuple[LatentSize, ...] = ()


def blocks_of(transformer: DreamOmniTransformer2DModel) -> list[nn.Module]:
    """What is checkpointed and sharded block by block."""
    return [part for part in transformer.modules() if isinstance(part, DiTBlock | ResidualConvBlock)]


def language_model(config: Qwen2VLConfig) -> Qwen2VLTextModel:
    """The layers of a VLM that learn along with the DiT: all but the last, without the final norm."""
    text = copy.deepcopy(config.text_config)
    text.num_hidden_layers -= 1
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[: text.num_hidden_layers]
    with torch.device("meta"):
        model = Qwen2VLTextModel(text)
    model.norm.requires_grad_(False)
    return model


def whole_text_encoder(config: Qwen2VLConfig) -> Qwen2VLForConditionalGeneration:
    """A VLM with its vision and its head."""
    with torch.device("meta"):
        return Qwen2VLForConditionalGeneration(config)


def new_text_encoder(task: VlmTaskConfig) -> Qwen2VLConfig:
    """Config of the VLM that a recipe builds, with as many tokens as it may have."""
    config: Qwen2VLConfig = build_mini_vlm(["a"], vocab_size=task.vocab_size, **task.model).model.config
    config.text_config.vocab_size = task.vocab_size
    return config


def dit_saved(
    transformer: DreamOmniTransformer2DModel, shape: Shape, batch: int, precision: Precision
) -> Saved:
    """Bytes that a step of the DiT keeps, for a batch of one shape."""

    def latents(size: LatentSize) -> Tensor:
        return torch.empty(
            batch, transformer.config.in_channels, *size, device="meta", dtype=transformer.dtype
        )

    def forward() -> Tensor:
        features = torch.empty(batch, shape.text_tokens, transformer.config.text_width, device="meta")
        mask = torch.empty(batch, shape.text_tokens, dtype=torch.bool, device="meta")
        images = [latents(size) for size in shape.images]
        sigma = torch.empty(batch, device="meta")
        return _mean_square(transformer(latents(shape.target), sigma, features, mask, images).sample)

    transformer.train()
    return saved_bytes(forward, [transformer], blocks_of(transformer), precision)


def language_saved(model: Qwen2VLTextModel, num_tokens: int, batch: int, precision: Precision) -> Saved:
    """Bytes that a trained language model keeps."""

    def forward() -> Tensor:
        embeddings = torch.empty(
            batch, num_tokens, model.config.hidden_size, device="meta", requires_grad=True
        )
        places = torch.zeros(3, batch, num_tokens, dtype=torch.long, device="meta")
        out = model(inputs_embeds=embeddings, position_ids=places, use_cache=False)
        return _mean_square(out.last_hidden_state)

    model.train()
    return saved_bytes(forward, [model], list(model.layers), precision)


def autoencoder_cost(
    model: AutoencoderKL, width: int, height: int, batch: int, precision: Precision
) -> tuple[Flop, Saved]:
    """Operations of one image and bytes of a batch, through the encoder and back."""
    pixels = torch.empty(1, 3, height, width, device="meta")

    def forward(pixels: Tensor) -> Tensor:
        moments = model.encode(pixels).latent_dist.parameters
        return _mean_square(model.decode(moments.chunk(2, dim=1)[0]).sample)

    model.train()
    with FlopCounterMode(display=False) as counter:
        loss = forward(pixels)
        once = counter.get_total_flops()
        loss.backward()
    saved = saved_bytes(lambda: forward(pixels.expand(batch, -1, -1, -1)), [model], (), precision)
    return Flop(once, counter.get_total_flops() - once), saved


def add_saved(parts: Sequence[Saved]) -> Saved:
    """What several networks keep together."""
    return Saved(*(sum(values) for values in zip(*parts, strict=True)))


def _mean_square(value: Tensor) -> Any:
    return value.float().square().mean()
