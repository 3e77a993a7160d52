"""Building blocks of the DreamOmni network: rotary positions, the joint block, the residual conv block.

Blocks take plain numbers and tensors. They know nothing of presets, of loading or of the order of tokens
beyond "text first".
"""

# B batch, T text tokens, I image tokens (noise and input images), L = T + I, D width, H heads, K head size

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from dreamomni.models.modulation import modulate
from dreamomni.models.packing import Grid, pack_latents, unpack_latents
from dreamomni.models.reference_memory import ReferenceMemory


def rotary_tables(ids_L3: Tensor, axes_dims: tuple[int, ...], theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary embedding over (index, row, column).

    Args:
        ids_L3: Coordinates of shape (L, number of axes), float32.
        axes_dims: Channels of a head given to each axis; even numbers that add up to the head size.
        theta: Base of the frequencies.

    Returns:
        Two float32 tables of shape (L, head size / 2). Channel k of a head is paired with channel k + head
        size / 2.
    """
    angles = []
    for axis, dim in enumerate(axes_dims):
        exponents = torch.arange(0, dim, 2, dtype=torch.float32, device=ids_L3.device) / dim
        angles.append(ids_L3[:, axis, None].float() * theta**-exponents)
    angles_LK = torch.cat(angles, dim=-1)
    return angles_LK.cos(), angles_LK.sin()


def rotate(x_BHLK: Tensor, cos_LK: Tensor, sin_LK: Tensor) -> Tensor:
    """Apply the rotary tables to queries or keys of shape (B, H, L, K)."""
    first, second = x_BHLK.chunk(2, dim=-1)
    cos, sin = cos_LK.to(x_BHLK.dtype), sin_LK.to(x_BHLK.dtype)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class FeedForward(nn.Module):
    """Linear, GELU, Linear."""

    def __init__(self, width: int, hidden_width: int) -> None:
        super().__init__()
        self.linear_in = nn.Linear(width, hidden_width)
        self.linear_out = nn.Linear(hidden_width, width)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.linear_in(x)
        out: Tensor = self.linear_out(functional.gelu(hidden, approximate="tanh"))
        return out


class JointAttention(nn.Module):
    """Self-attention over text and image tokens with shared projections (paper section 3.1, Figure 2a)."""

    def __init__(self, width: int, num_heads: int, qk_norm: bool) -> None:
        super().__init__()
        if width % num_heads:
            raise ValueError(f"width {width} is not a multiple of num_heads {num_heads}")
        head_size = width // num_heads
        self.num_heads = num_heads
        self.to_q = nn.Linear(width, width)
        self.to_k = nn.Linear(width, width)
        self.to_v = nn.Linear(width, width)
        self.to_out = nn.Linear(width, width)
        self.norm_q = nn.RMSNorm(head_size, eps=1e-6) if qk_norm else nn.Identity()
        self.norm_k = nn.RMSNorm(head_size, eps=1e-6) if qk_norm else nn.Identity()

    def _heads(self, x_BLD: Tensor) -> Tensor:
        return x_BLD.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def forward(
        self,
        x_BLD: Tensor,
        rotary: tuple[Tensor, Tensor],
        key_mask: Tensor | None,
        num_text_tokens: int,
        num_noise_tokens: int,
        isolated: bool,
        memory: ReferenceMemory | None = None,
    ) -> Tensor:
        """Attend.

        Args:
            x_BLD: Tokens ``[text | noise | images]``.
            rotary: Tables of :func:`rotary_tables` for the L tokens.
            key_mask: Boolean (B, L), False where a token is padding, or None.
            num_text_tokens: T.
            num_noise_tokens: How many image tokens are noise.
            isolated: Text and input images attend only among themselves; noise attends to everything.
            memory: Keeps the keys and values of text and images, or adds the kept ones to those of the noise.
        """
        query = rotate(self.norm_q(self._heads(self.to_q(x_BLD))), *rotary)
        key = rotate(self.norm_k(self._heads(self.to_k(x_BLD))), *rotary)
        value = self._heads(self.to_v(x_BLD))
        query, key = query.to(value.dtype), key.to(value.dtype)
        if memory is not None:
            key, value = memory.exchange(key, value)
        mask = None if key_mask is None else key_mask[:, None, None, :]
        if not isolated:
            out = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        else:
            start, stop = num_text_tokens, num_text_tokens + num_noise_tokens

            def without_noise(x: Tensor) -> Tensor:
                return torch.cat([x[:, :, :start], x[:, :, stop:]], dim=2)

            noise_out = functional.scaled_dot_product_attention(
                query[:, :, start:stop], key, value, attn_mask=mask
            )
            if mask is not None:
                mask = torch.cat([mask[..., :start], mask[..., stop:]], dim=-1)
            rest_out = functional.scaled_dot_product_attention(
                without_noise(query), without_noise(key), without_noise(value), attn_mask=mask
            )
            out = torch.cat([rest_out[:, :, :start], noise_out, rest_out[:, :, start:]], dim=2)
        projected: Tensor = self.to_out(out.transpose(1, 2).flatten(2))
        return projected


class DiTBlock(nn.Module):
    """Joint attention, then one FeedForward per stream, each behind a LayerNorm scaled and shifted by time.

    Paper section 3.1 and Figure 2(a). There is no gate, as drawn.
    """

    def __init__(self, width: int, num_heads: int, ffn_width: int, qk_norm: bool) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.norm_ffn = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulation = nn.Linear(width, 4 * width)
        self.attention = JointAttention(width, num_heads, qk_norm)
        self.ffn_text = FeedForward(width, ffn_width)
        self.ffn_image = FeedForward(width, ffn_width)

    def forward(
        self,
        x_BLD: Tensor,
        time_BMD: Tensor,
        token_time: Tensor | None,
        rotary: tuple[Tensor, Tensor],
        key_mask: Tensor | None,
        num_text_tokens: int,
        num_noise_tokens: int,
        memory: ReferenceMemory | None = None,
    ) -> Tensor:
        """Run the block.

        Args:
            x_BLD: Tokens ``[text | noise | images]``.
            time_BMD: M time embeddings of each sample: one when every token sees the same time, two (its own
                time and zero) when
                references are isolated.
            token_time: (L,) index into M for every token, or None when M is 1.
            rotary: Tables for the L tokens.
            key_mask: Boolean (B, L) or None.
            num_text_tokens: T.
            num_noise_tokens: How many image tokens are noise.
            memory: See :class:`JointAttention`.
        """
        modulation = modulate(self.modulation, time_BMD)
        if token_time is not None:
            modulation = modulation[:, token_time]
        scale_attention, shift_attention, scale_ffn, shift_ffn = modulation.chunk(4, dim=-1)
        hidden = self.norm_attention(x_BLD) * (1 + scale_attention) + shift_attention
        isolated = token_time is not None
        x_BLD = x_BLD + self.attention(
            hidden, rotary, key_mask, num_text_tokens, num_noise_tokens, isolated, memory
        )
        hidden = self.norm_ffn(x_BLD) * (1 + scale_ffn) + shift_ffn
        text, image = hidden[:, :num_text_tokens], hidden[:, num_text_tokens:]
        return x_BLD + torch.cat([self.ffn_text(text), self.ffn_image(image)], dim=1)


class ResidualConvBlock(nn.Module):
    """Two convs behind GroupNorm and SiLU, and a shortcut; time scales and shifts the second norm."""

    def __init__(self, in_channels: int, out_channels: int, time_width: int, num_groups: int) -> None:
        super().__init__()
        self.norm_in = nn.GroupNorm(math.gcd(num_groups, in_channels), in_channels, eps=1e-6)
        self.conv_in = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.modulation = nn.Linear(time_width, 2 * out_channels)
        self.norm_out = nn.GroupNorm(math.gcd(num_groups, out_channels), out_channels, eps=1e-6)
        self.conv_out = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = (
            nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()
        )

    def forward(self, x_BCHW: Tensor, time_BD: Tensor) -> Tensor:
        hidden = self.conv_in(functional.silu(self.norm_in(x_BCHW)))
        scale, shift = modulate(self.modulation, time_BD)[:, :, None, None].chunk(2, dim=1)
        hidden = self.norm_out(hidden) * (1 + scale) + shift
        out: Tensor = self.shortcut(x_BCHW) + self.conv_out(functional.silu(hidden))
        return out


class TokenMerge(nn.Module):
    """Four neighbouring image tokens become one: from the 2x to the 4x latent, in V1 and V2."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(4 * width, width)

    def forward(self, tokens_BID: Tensor, grids: Sequence[Grid]) -> Tensor:
        parts = tokens_BID.split([grid.num_tokens for grid in grids], dim=1)
        merged = [
            pack_latents(unpack_latents(part, grid, 1), 2) for part, grid in zip(parts, grids, strict=True)
        ]
        out: Tensor = self.linear(torch.cat(merged, dim=1))
        return out


class TokenSplit(nn.Module):
    """One image token becomes four: back from the 4x to the 2x latent."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 4 * width)

    def forward(self, tokens_BID: Tensor, grids: Sequence[Grid]) -> Tensor:
        parts = self.linear(tokens_BID).split([grid.num_tokens for grid in grids], dim=1)
        split = [
            pack_latents(unpack_latents(part, grid, 2), 1) for part, grid in zip(parts, grids, strict=True)
        ]
        return torch.cat(split, dim=1)


class StreamFusion(nn.Module):
    """A long skip: early and late features side by side through a Linear, a different one for each stream."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear_text = nn.Linear(2 * width, width)
        self.linear_image = nn.Linear(2 * width, width)

    def forward(self, early_BLD: Tensor, late_BLD: Tensor, num_text_tokens: int) -> Tensor:
        both = torch.cat([early_BLD, late_BLD], dim=-1)
        text, image = both[:, :num_text_tokens], both[:, num_text_tokens:]
        return torch.cat([self.linear_text(text), self.linear_image(image)], dim=1)
