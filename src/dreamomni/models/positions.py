"""Rotary tables of a token sequence, worked out once for each shape and kept."""

from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from dreamomni.models.layers import rotary_tables
from dreamomni.models.packing import Grid, build_ids

Part = Literal["all", "noise", "rest"]
"""Of the sequence ``[text | noise | images]``: everything, the noise, or text and images."""

_KEPT_SHAPES = 12


def token_positions(
    num_text_tokens: int,
    grids: tuple[Grid, ...],
    *,
    index_encoding: bool,
    position_shift: bool,
    axes_dims: tuple[int, ...],
    theta: float,
    device: torch.device,
    part: Part = "all",
) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the tokens of one part of the sequence. Do not write into them: they are shared.

    Args:
        num_text_tokens: T.
        grids: Token grids of the noise and of every input image.
        index_encoding: See :func:`dreamomni.models.packing.build_image_ids`.
        position_shift: See :func:`dreamomni.models.packing.build_image_ids`.
        axes_dims: Channels of a head for (index, row, column).
        theta: Base of the frequencies.
        device: Where the tables are needed.
        part: Whose tables.

    Returns:
        Two float32 tables (tokens of the part, head size / 2).
    """
    key = (num_text_tokens, grids, index_encoding, position_shift, axes_dims, theta, device, part)
    # A compiler traces the arithmetic itself: what it makes while tracing must not be kept.
    return _tables(*key) if torch.compiler.is_compiling() else _kept_tables(*key)


def _tables(
    num_text_tokens: int,
    grids: tuple[Grid, ...],
    index_encoding: bool,
    position_shift: bool,
    axes_dims: tuple[int, ...],
    theta: float,
    device: torch.device,
    part: Part,
) -> tuple[Tensor, Tensor]:
    ids = build_ids(
        num_text_tokens, grids[0], grids[1:], index_encoding=index_encoding, position_shift=position_shift
    )
    stop = num_text_tokens + grids[0].num_tokens
    if part == "noise":
        ids = ids[num_text_tokens:stop]
    elif part == "rest":
        ids = torch.cat([ids[:num_text_tokens], ids[stop:]])
    return rotary_tables(ids.to(device), axes_dims, theta)


@lru_cache(maxsize=_KEPT_SHAPES)
def _kept_tables(
    num_text_tokens: int,
    grids: tuple[Grid, ...],
    index_encoding: bool,
    position_shift: bool,
    axes_dims: tuple[int, ...],
    theta: float,
    device: torch.device,
    part: Part,
) -> tuple[Tensor, Tensor]:
    # Tables made in inference mode could not be used in training later.
    with torch.inference_mode(False):
        return _tables(num_text_tokens, grids, index_encoding, position_shift, axes_dims, theta, device, part)
