"""The DreamOmni network: residual convolutions at the latent size, a DiT at half of it, long skips in both.

DreamOmni section 3.1 and Figure 2(a). The trunk is conv -> residual block (skip A) -> residual block (skip
B) -> 2x down -> patchify -> DiT -> unpatchify -> 2x up -> residual block that takes B -> residual block
that takes A -> velocity. Input images are extra tokens, never extra channels. One device, one forward pass:
no sampling, no guidance, no loading beyond diffusers' mixins.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.loaders import PeftAdapterMixin
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from torch import Tensor, nn
from torch.nn import functional

from dreamomni.models.layers import DiTBlock, ResidualConvBlock, StreamFusion, TokenMerge, TokenSplit
from dreamomni.models.modulation import modulate
from dreamomni.models.packing import Grid, pack_latents, unpack_latents
from dreamomni.models.positions import Part, token_positions
from dreamomni.models.reference_memory import ReferenceMemory

Variant = Literal["v1", "v2", "v3"]
ReferenceAttention = Literal["joint", "isolated"]

TIME_FREQUENCIES = 256
TIME_SCALE = 1000.0
DOWNSAMPLING = 2
"""Latent cells per token on each axis."""


class DreamOmniTransformer2DModel(ModelMixin, ConfigMixin, PeftAdapterMixin):
    """The velocity network of DreamOmni.

    Args:
        in_channels: Latent channels (16 for the FLUX.1 autoencoder).
        conv_width: Channels of the residual convolutions at the latent size; twice as many at half of it.
        width: Width of the DiT.
        num_heads: Attention heads.
        num_stages: DiT stages, an even number: the first half keeps its outputs, the second half takes them
            in reverse order.
        blocks_per_stage: DiT blocks in a stage.
        ffn_ratio: Hidden width of a FeedForward over ``width``.
        text_width: Width of the VLM features (3584 for Qwen2-VL-7B).
        axes_dims_rope: Head channels for (index, row, column); they add up to ``width / num_heads``.
        rope_theta: Base of the rotary frequencies.
        qk_norm: RMSNorm on queries and keys. Not in the paper; it keeps bf16 training stable.
        variant: ``v3`` is the model (every DiT block at 2x). ``v1`` and ``v2`` put the middle half of the
            stages at 4x, ``v1`` without long skips (paper section 4, Figure 3).
        long_skips: Whether early and late stages are joined; None leaves it to the variant. Any variant can
            be built with and without them, for ablations.
        reference_attention: ``joint``: every token attends to every token. ``isolated``: text and input
            images attend only among themselves and see time zero, so that they do not depend on the noise.
        index_encoding: See :func:`dreamomni.models.packing.build_image_ids`.
        position_shift: See :func:`dreamomni.models.packing.build_image_ids`.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules = ["DiTBlock", "ResidualConvBlock"]
    _repeated_blocks = ["DiTBlock"]

    @register_to_config
    def __init__(
        self,
        in_channels: int = 16,
        conv_width: int = 320,
        width: int = 2048,
        num_heads: int = 16,
        num_stages: int = 12,
        blocks_per_stage: int = 2,
        ffn_ratio: int = 4,
        text_width: int = 3584,
        axes_dims_rope: tuple[int, int, int] = (16, 56, 56),
        rope_theta: float = 10000.0,
        qk_norm: bool = True,
        variant: Variant = "v3",
        long_skips: bool | None = None,
        reference_attention: ReferenceAttention = "joint",
        index_encoding: bool = True,
        position_shift: bool = True,
    ) -> None:
        super().__init__()
        if num_stages < 2 or num_stages % 2:
            raise ValueError(f"num_stages must be an even number from 2, not {num_stages}")
        if sum(axes_dims_rope) != width // num_heads or any(dim % 2 for dim in axes_dims_rope):
            raise ValueError(
                f"axes_dims_rope {axes_dims_rope} must be even and add up to the head size "
                f"{width // num_heads}"
            )
        if variant not in ("v1", "v2", "v3"):
            raise ValueError(f"variant must be v1, v2 or v3, not {variant!r}")
        if variant != "v3" and num_stages % 4:
            raise ValueError(
                f"variant {variant} needs num_stages divisible by 4 (half of them run at 4x), "
                f"not {num_stages}"
            )
        if reference_attention not in ("joint", "isolated"):
            raise ValueError(f"reference_attention must be joint or isolated, not {reference_attention!r}")
        half_width = 2 * conv_width
        groups = 32

        self.time_frequencies = Timesteps(TIME_FREQUENCIES, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(TIME_FREQUENCIES, width)
        self.text_norm = nn.RMSNorm(text_width, eps=1e-6)
        self.text_in = nn.Linear(text_width, width)

        self.conv_in = nn.Conv2d(in_channels, conv_width, 3, padding=1)
        self.down_a = ResidualConvBlock(conv_width, conv_width, width, groups)
        self.down_b = ResidualConvBlock(conv_width, conv_width, width, groups)
        self.downsample = nn.Conv2d(conv_width, half_width, 3, stride=DOWNSAMPLING, padding=1)
        self.patchify = nn.Linear(half_width, width)

        def stage() -> nn.ModuleList:
            return nn.ModuleList(
                DiTBlock(width, num_heads, ffn_ratio * width, qk_norm) for _ in range(blocks_per_stage)
            )

        self.stages = nn.ModuleList(stage() for _ in range(num_stages))
        num_fusions = num_stages // 2 if (variant != "v1" if long_skips is None else long_skips) else 0
        self.fusions = nn.ModuleList(StreamFusion(width) for _ in range(num_fusions))
        self.token_merge = TokenMerge(width) if variant != "v3" else None
        self.token_split = TokenSplit(width) if variant != "v3" else None

        self.norm_out = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulation_out = nn.Linear(width, 2 * width)
        self.unpatchify = nn.Linear(width, half_width)
        # Each cell of a token gets features of its own: repeated ones could not tell the cells apart.
        self.upsample = nn.Conv2d(half_width, DOWNSAMPLING**2 * conv_width, 3, padding=1)
        self.up_b = ResidualConvBlock(2 * conv_width, conv_width, width, groups)
        self.up_a = ResidualConvBlock(2 * conv_width, conv_width, width, groups)
        self.conv_norm_out = nn.GroupNorm(math.gcd(groups, conv_width), conv_width, eps=1e-6)
        self.conv_out = nn.Conv2d(conv_width, in_channels, 3, padding=1)
        self.gradient_checkpointing = False
        # Set while all modulation is in tables: the number of a time's row goes the way of its embedding.
        self.time_rows: Callable[[Tensor], Tensor] | None = None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start residual branches small, modulations neutral, long skips near the late stream, output 0."""
        num_branches = 2 * self.config.num_stages * self.config.blocks_per_stage
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=min(0.02 * (2048 / module.in_features) ** 0.5, 0.06))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, DiTBlock):
                nn.init.zeros_(module.modulation.weight)
                # Queries and keys share a constant, so that a token starts by looking at its own place,
                # in the noise and in the input images: copying need not be discovered.
                nn.init.ones_(module.attention.to_q.bias)
                nn.init.ones_(module.attention.to_k.bias)
                for linear in (
                    module.attention.to_out,
                    module.ffn_text.linear_out,
                    module.ffn_image.linear_out,
                ):
                    with torch.no_grad():
                        linear.weight.mul_(num_branches**-0.5)
            elif isinstance(module, ResidualConvBlock):
                nn.init.zeros_(module.modulation.weight)
                nn.init.zeros_(module.conv_out.weight)
                if module.conv_out.bias is not None:
                    nn.init.zeros_(module.conv_out.bias)
            elif isinstance(module, StreamFusion):
                for linear in (module.linear_text, module.linear_image):
                    with torch.no_grad():
                        linear.weight[:, linear.out_features :] += torch.eye(
                            linear.out_features, device=linear.weight.device, dtype=linear.weight.dtype
                        )
        nn.init.zeros_(self.modulation_out.weight)
        nn.init.zeros_(self.conv_out.weight)
        if self.conv_out.bias is not None:
            nn.init.zeros_(self.conv_out.bias)

    def forward(
        self,
        hidden_states: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        encoder_attention_mask: Tensor | None = None,
        image_latents: Sequence[Tensor] = (),
        return_dict: bool = True,
        memory: ReferenceMemory | None = None,
    ) -> Transformer2DModelOutput | tuple[Tensor]:
        """Predict the velocity (noise - data).

        Args:
            hidden_states: Noisy normalised latents (B, C, H, W); H and W multiples of 2 (of 4 for V1 and
                V2).
            timestep: sigma of every sample, (B,), 1 = noise and 0 = data.
            encoder_hidden_states: Penultimate-layer VLM features (B, T, text_width).
            encoder_attention_mask: Boolean (B, T), False at padding; None when nothing is padded.
            image_latents: Clean normalised latents of the input images in order, each (B, C, Hi, Wi).
            return_dict: As in diffusers.
            memory: Only where references are isolated: an empty one takes up what text and input images say
                to the noise, and calls with the same conditions then compute the noise alone.

        Returns:
            The velocity, of the shape of ``hidden_states``.

        Raises:
            ValueError: If a side does not divide into tokens.
        """
        multiple = DOWNSAMPLING if self.config.variant == "v3" else 2 * DOWNSAMPLING
        for latents in (hidden_states, *image_latents):
            if latents.shape[-2] % multiple or latents.shape[-1] % multiple:
                raise ValueError(
                    f"latents of {latents.shape[-2]}x{latents.shape[-1]} cells do not divide by {multiple}; "
                    "pad the image"
                )
        time_BD = self._embed_time(timestep, hidden_states.dtype)
        noise_BND, noise_grid, skip_a, skip_b = self._encode(hidden_states, time_BD)
        if memory is None:
            zero_BD = self._embed_time(torch.zeros_like(timestep), hidden_states.dtype)
            text_BTW = encoder_hidden_states.to(hidden_states.dtype)
            rest_BRD, grids = self._encode_rest(text_BTW, image_latents, zero_BD, noise_grid)
            num_text = encoder_hidden_states.shape[1]
            x_BLD = torch.cat([rest_BRD[:, :num_text], noise_BND, rest_BRD[:, num_text:]], dim=1)
            isolated = self.config.reference_attention == "isolated"
            time_BMD = torch.stack([time_BD, zero_BD], dim=1) if isolated else time_BD[:, None]
            x_BLD = self._transform(x_BLD, time_BMD, grids, num_text, encoder_attention_mask)
            noise_BND = x_BLD[:, num_text : num_text + noise_grid.num_tokens]
        else:
            if not memory.filled:
                zero_BD = self._embed_time(torch.zeros_like(timestep), hidden_states.dtype)
                told = (encoder_hidden_states, encoder_attention_mask, image_latents)
                self._remember(memory, zero_BD, *told, noise_grid, hidden_states.dtype)
            memory.check(encoder_hidden_states, image_latents)
            grids, num_text = [noise_grid, *memory.grids], encoder_hidden_states.shape[1]
            noise_BND = self._transform(
                noise_BND, time_BD[:, None], grids, num_text, encoder_attention_mask, "noise", memory
            )
        scale, shift = modulate(self.modulation_out, time_BD)[:, None].chunk(2, dim=-1)
        noise_BND = self.unpatchify(self.norm_out(noise_BND) * (1 + scale) + shift)
        features = self.upsample(unpack_latents(noise_BND, noise_grid, 1))
        features = functional.pixel_shuffle(features, DOWNSAMPLING)
        features = self.up_b(torch.cat([features, skip_b], dim=1), time_BD)
        features = self.up_a(torch.cat([features, skip_a], dim=1), time_BD)
        velocity = self.conv_out(functional.silu(self.conv_norm_out(features)))
        return Transformer2DModelOutput(sample=velocity) if return_dict else (velocity,)

    def _embed_time(self, sigma_B: Tensor, dtype: torch.dtype) -> Tensor:
        if self.time_rows is not None:
            return self.time_rows(sigma_B)
        frequencies = self.time_frequencies(sigma_B.float() * TIME_SCALE)
        embedded: Tensor = self.time_embedding(frequencies.to(dtype))
        return embedded

    def _encode(self, latents: Tensor, time_BD: Tensor) -> tuple[Tensor, Grid, Tensor, Tensor]:
        skip_a = self.down_a(self.conv_in(latents), time_BD)
        skip_b = self.down_b(skip_a, time_BD)
        half = self.downsample(skip_b)
        return self.patchify(pack_latents(half, 1)), Grid(*half.shape[-2:]), skip_a, skip_b

    def _encode_rest(
        self, text_BTW: Tensor, images: Sequence[Tensor], zero_BD: Tensor, noise_grid: Grid
    ) -> tuple[Tensor, list[Grid]]:
        """The tokens of text and input images, and the grids of noise and images."""
        tokens, grids = [self.text_in(self.text_norm(text_BTW))], [noise_grid]
        for latents in images:
            image_BID, grid, _, _ = self._encode(latents, zero_BD)
            tokens.append(image_BID)
            grids.append(grid)
        return torch.cat(tokens, dim=1), grids

    def _remember(
        self,
        memory: ReferenceMemory,
        zero_BD: Tensor,
        text_BTW: Tensor,
        text_mask: Tensor | None,
        images: Sequence[Tensor],
        noise_grid: Grid,
        dtype: torch.dtype,
    ) -> None:
        """Run text and input images alone: nothing else reaches them, where references are isolated."""
        if self.config.reference_attention != "isolated":
            raise ValueError("only isolated references can be remembered: joint ones see the noise")
        rest_BRD, grids = self._encode_rest(
            text_BTW.to(self.text_in.weight.dtype), images, zero_BD, noise_grid
        )
        memory.open(text_BTW, images, grids[1:])
        self._transform(rest_BRD, zero_BD[:, None], grids, text_BTW.shape[1], text_mask, "rest", memory)
        memory.close()

    def _transform(
        self,
        x_BLD: Tensor,
        time_BMD: Tensor,
        grids: list[Grid],
        num_text: int,
        text_mask: Tensor | None,
        part: Part = "all",
        memory: ReferenceMemory | None = None,
    ) -> Tensor:
        """Run the stages over the tokens of one part of the sequence."""
        config: Any = self.config
        first_coarse, first_fine = (
            (config.num_stages // 4, 3 * config.num_stages // 4) if self.token_merge is not None else (-1, -1)
        )
        own_text = 0 if part == "noise" else num_text
        fine_grids = grids
        early: list[Tensor] = []
        context = self._context(x_BLD, grids, num_text, text_mask, part)
        for number, blocks in enumerate(self.stages):
            if (
                number in (first_coarse, first_fine)
                and self.token_merge is not None
                and self.token_split is not None
            ):
                resample = self.token_merge if number == first_coarse else self.token_split
                own_grids = {"all": grids, "rest": grids[1:], "noise": grids[:1]}[part]
                text, image = x_BLD[:, :own_text], x_BLD[:, own_text:]
                x_BLD = torch.cat([text, resample(image, own_grids)], dim=1) if own_grids else text
                grids = (
                    [Grid(g.height // 2, g.width // 2) for g in fine_grids]
                    if number == first_coarse
                    else fine_grids
                )
                context = self._context(x_BLD, grids, num_text, text_mask, part)
            if self.fusions and number >= config.num_stages // 2:
                x_BLD = self.fusions[number - config.num_stages // 2](early.pop(), x_BLD, own_text)
            token_time, rotary, key_mask = context
            assert isinstance(blocks, nn.ModuleList)
            for block in blocks:
                arguments = (x_BLD, time_BMD, token_time, rotary, key_mask, own_text, grids[0].num_tokens)
                if torch.is_grad_enabled() and self.gradient_checkpointing and memory is None:
                    x_BLD = self._gradient_checkpointing_func(block, *arguments)
                else:
                    x_BLD = block(*arguments, memory)
            if self.fusions and number < config.num_stages // 2:
                early.append(x_BLD)
        return x_BLD

    def _context(
        self, x_BLD: Tensor, grids: list[Grid], num_text: int, text_mask: Tensor | None, part: Part
    ) -> tuple[Tensor | None, tuple[Tensor, Tensor], Tensor | None]:
        """What the blocks of one resolution share: each token's time, rotary tables, the key mask."""
        config: Any = self.config
        rotary = token_positions(
            num_text,
            tuple(grids),
            index_encoding=config.index_encoding,
            position_shift=config.position_shift,
            axes_dims=tuple(config.axes_dims_rope),
            theta=config.rope_theta,
            device=x_BLD.device,
            part=part,
        )
        token_time = None
        if part == "all" and config.reference_attention == "isolated":
            token_time = torch.ones(x_BLD.shape[1], dtype=torch.long, device=x_BLD.device)
            token_time[num_text : num_text + grids[0].num_tokens] = 0
        key_mask = None
        if text_mask is not None:
            num_keys = sum(grid.num_tokens for grid in (grids[1:] if part == "rest" else grids))
            image_mask = text_mask.new_ones(x_BLD.shape[0], num_keys, dtype=torch.bool)
            key_mask = torch.cat([text_mask.bool(), image_mask], dim=1)
        return token_time, rotary, key_mask
