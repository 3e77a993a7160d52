"""Floating-point operations of the networks, by formulas over the shapes of their layers.

One multiplication and one addition are two operations. Only matrix products, convolutions and the two
products of attention count, as in `torch.utils.flop_counter`; norms, activations and rotations do not. The
backward pass is the arithmetic of the gradients alone: what a kernel computes again (flash attention,
activation checkpointing) is no work of the model, so utilisation (MFU) stays comparable between machines.
Everything is for one sample.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from dreamomni.models.transformer import DOWNSAMPLING, TIME_FREQUENCIES

LatentSize = tuple[int, int]
"""Height and width in latent cells."""


class Flop(NamedTuple):
    """Operations of one sample.

    Attributes:
        forward: One forward pass.
        backward: The gradients of all trained weights, without recomputation.
        recomputed: What activation checkpointing computes once more: the blocks but for their last product,
            which no gradient needs.
    """

    forward: float = 0
    backward: float = 0
    recomputed: float = 0

    def plus(self, other: "Flop", share: float = 1) -> "Flop":
        """The sum with a share of another, for means."""
        return Flop(*(own + share * its for own, its in zip(self, other, strict=True)))

    @property
    def training(self) -> float:
        """Forward and backward."""
        return self.forward + self.backward

    def executed(self, *, checkpointing: bool) -> float:
        """Training, and the second forward pass of the blocks where they are checkpointed."""
        return self.training + (self.recomputed if checkpointing else 0)


class _Tally:
    """Adds up layers; `trained` layers cost a gradient of the weight, and one of the input where asked.

    With `frozen` weights only gradients of inputs are left.
    """

    def __init__(self, trained: bool = True, *, frozen: bool = False) -> None:
        self.trained, self.frozen = trained, frozen
        self.forward = self.backward = 0

    def linear(
        self, rows: int, width_in: int, width_out: int, *, input_gradient: bool = True, rows_back: int = -1
    ) -> None:
        """A Linear over `rows` rows, of which `rows_back` (all, unless given) are reached by a gradient."""
        one = 2 * width_in * width_out
        self.forward += rows * one
        if self.trained:
            gradients = (0 if self.frozen else 1) + (1 if input_gradient else 0)
            self.backward += (rows if rows_back < 0 else rows_back) * one * gradients

    def conv(
        self, cells: int, channels_in: int, channels_out: int, side: int, *, input_gradient: bool = True
    ) -> None:
        """A square convolution with `cells` outputs."""
        self.linear(cells, channels_in * side * side, channels_out, input_gradient=input_gradient)

    def attention(self, pairs: int, width: int) -> None:
        """Scores and their product with the values, for `pairs` of query and key; twice that backward."""
        self.forward += 4 * pairs * width
        if self.trained:
            self.backward += 8 * pairs * width


def transformer_flop(
    config: Any,
    num_text_tokens: int,
    target: LatentSize,
    images: Sequence[LatentSize] = (),
    *,
    frozen: bool = False,
) -> Flop:
    """Operations of the DreamOmni network for one sample.

    Args:
        config: Of a `DreamOmniTransformer2DModel`.
        num_text_tokens: Padded length of the text features.
        target: Latent cells of the target.
        images: Latent cells of every input image.
        frozen: Its weights do not learn, but something in its blocks does: gradients go through from there.
    """
    tally = _Tally(trained=not frozen, frozen=frozen)
    width, conv_width, half_width = config.width, config.conv_width, 2 * config.conv_width
    isolated = config.reference_attention == "isolated"
    pictures = [target, *images]
    cells = [height * columns for height, columns in pictures]
    per_token = DOWNSAMPLING**2
    tokens = [count // per_token for count in cells]
    num_noise, num_images = tokens[0], sum(tokens)

    # The time of the sample, and time zero, which input images and isolated tokens see.
    times_back = 2 if images or isolated else 1
    tally.linear(2, TIME_FREQUENCIES, width, input_gradient=False, rows_back=times_back)
    tally.linear(2, width, width, rows_back=times_back)
    tally.linear(num_text_tokens, config.text_width, width)
    recomputed = 0
    for count in cells:
        tally.conv(count, config.in_channels, conv_width, 3, input_gradient=False)
        for _ in range(2):
            recomputed += _residual_block(tally, count, conv_width, conv_width, width)
        tally.conv(count // per_token, conv_width, half_width, 3)
        tally.linear(count // per_token, half_width, width)

    tally.trained = True
    has_coarse, half = config.variant != "v3", config.num_stages // 2
    for stage in range(config.num_stages):
        coarse = has_coarse and half // 2 <= stage < half + half // 2
        share = per_token if coarse else 1
        for _ in range(config.blocks_per_stage):
            recomputed += _dit_block(
                tally, config, num_text_tokens, num_noise // share, num_images // share, isolated
            )

    if (config.variant != "v1") if config.long_skips is None else config.long_skips:
        for stage in range(half, config.num_stages):
            coarse = has_coarse and stage < half + half // 2
            tally.linear(num_text_tokens, 2 * width, width)
            tally.linear(num_images // (per_token if coarse else 1), 2 * width, width)
    if has_coarse:
        tally.linear(num_images // per_token, per_token * width, width)
        tally.linear(num_images // per_token, width, per_token * width)

    tally.linear(1, width, 2 * width)
    tally.linear(num_noise, width, half_width)
    tally.conv(num_noise, half_width, per_token * conv_width, 3)
    for _ in range(2):
        recomputed += _residual_block(tally, cells[0], 2 * conv_width, conv_width, width)
    tally.conv(cells[0], conv_width, config.in_channels, 3)
    return Flop(tally.forward, tally.backward, recomputed)


def num_tokens(num_text_tokens: int, target: LatentSize, images: Sequence[LatentSize] = ()) -> int:
    """Length of the sequence of the DiT: text, noise and images."""
    return num_text_tokens + sum(height * width // DOWNSAMPLING**2 for height, width in (target, *images))


def _residual_block(tally: _Tally, cells: int, channels_in: int, channels_out: int, time_width: int) -> int:
    """Add a block, and return what its recomputation costs."""
    before = tally.forward
    tally.linear(1, time_width, 2 * channels_out)
    tally.conv(cells, channels_in, channels_out, 3)
    tally.conv(cells, channels_out, channels_out, 3)
    if channels_in != channels_out:
        tally.conv(cells, channels_in, channels_out, 1)
    return tally.forward - before - 2 * cells * channels_out * channels_out * 9


def _dit_block(
    tally: _Tally, config: Any, num_text: int, num_noise: int, num_images: int, isolated: bool
) -> int:
    """Add a block, and return what its recomputation costs."""
    before = tally.forward
    width, length = config.width, num_text + num_images
    tally.linear(2 if isolated else 1, width, 4 * width)
    tally.linear(length, width, 4 * width)  # queries, keys, values and the output
    others = length - num_noise
    tally.attention(num_noise * length + others**2 if isolated else length**2, width)
    tally.linear(length, width, config.ffn_ratio * width)
    tally.linear(length, config.ffn_ratio * width, width)
    return tally.forward - before - 2 * num_images * config.ffn_ratio * width * width


def text_encoder_flop(
    config: Any, num_tokens: int, patches: Sequence[int] = (), *, trained: bool = False, whole: bool = False
) -> Flop:
    """Operations of a Qwen2-VL up to the penultimate layer, for one prompt with its images.

    Args:
        config: A `Qwen2VLConfig`.
        num_tokens: Tokens of the prompt, those of its images included.
        patches: Patches of every image, before they are merged.
        trained: The language layers learn along.
        whole: Up to the head, and with a vision part that learns too where `trained` is set.
    """
    language, vision = config.text_config, config.vision_config
    width, inner = language.hidden_size, language.intermediate_size
    keys = language.num_key_value_heads * (width // language.num_attention_heads)
    tally = _Tally(trained)
    for _ in range(language.num_hidden_layers - (0 if whole else 1)):
        tally.linear(num_tokens, width, 2 * width + 2 * keys)
        tally.linear(num_tokens, width, 3 * inner)
        # Causal, but computed whole by all but the fastest kernels.
        tally.attention(num_tokens**2, width)
    recomputed = tally.forward if trained else 0
    if whole:
        tally.linear(num_tokens, width, language.vocab_size)
    seen = _Tally(trained=trained and whole)
    side, embed = vision.patch_size, vision.embed_dim
    merged = vision.spatial_merge_size**2
    for count in patches:
        seen.linear(count, vision.in_channels * vision.temporal_patch_size * side * side, embed)
        for _ in range(vision.depth):
            seen.linear(count, embed, (4 + 2 * int(vision.mlp_ratio)) * embed)
            seen.attention(count**2, embed)
        seen.linear(count // merged, merged * embed, merged * embed)
        seen.linear(count // merged, merged * embed, vision.hidden_size)
    return Flop(tally.forward + seen.forward, tally.backward + seen.backward, recomputed)
