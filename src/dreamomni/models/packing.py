"""Latents <-> tokens, and the coordinates of every token. Nothing else knows the token order.

The order is ``[text | noise | image 1 | image 2 | ...]``. The ids are (index, row, column): text is (0, 0,
0), the noise grid is (0, y, x), and image i (from 1) is (i, y, x + sum of the widths of the images before
it). The index encoding and the position shift are those of DreamOmni2 (section 3.2); with one image the ids
equal those of FLUX.1-Kontext. Training and inference call the same function. No modules here, no weights.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

NUM_ID_AXES = 3
"""index, row, column."""


class Grid(NamedTuple):
    """A token grid: how many rows and columns of tokens an image has."""

    height: int
    width: int

    @property
    def num_tokens(self) -> int:
        """Rows times columns."""
        return self.height * self.width


def pack_latents(latents_BCHW: Tensor, patch_size: int = 2) -> Tensor:
    """Turn latents into packed tokens, row by row.

    Args:
        latents_BCHW: Latents of shape (B, C, H, W), H and W multiples of ``patch_size``.
        patch_size: Side of a patch in latent cells; 2 is FLUX.1's packing.

    Returns:
        Tokens of shape (B, H/p * W/p, C * p * p), channels of a token ordered (C, row in patch, column in
        patch).

    Raises:
        ValueError: If a side is not a multiple of the patch size.
    """
    batch, channels, height, width = latents_BCHW.shape
    if height % patch_size or width % patch_size:
        raise ValueError(f"latents of {height}x{width} cells cannot be cut into patches of {patch_size}")
    rows, columns = height // patch_size, width // patch_size
    blocks = latents_BCHW.reshape(batch, channels, rows, patch_size, columns, patch_size)
    return blocks.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns, channels * patch_size * patch_size)


def unpack_latents(tokens_BLC: Tensor, grid: Grid, patch_size: int = 2) -> Tensor:
    """Invert :func:`pack_latents`.

    Args:
        tokens_BLC: Tokens of shape (B, L, C * p * p) with ``L == grid.num_tokens``.
        grid: Rows and columns of tokens.
        patch_size: Side of a patch in latent cells.

    Returns:
        Latents of shape (B, C, grid.height * p, grid.width * p).

    Raises:
        ValueError: If the number of tokens is not that of the grid.
    """
    batch, num_tokens, width = tokens_BLC.shape
    if num_tokens != grid.num_tokens:
        raise ValueError(f"{num_tokens} tokens do not fill a grid of {grid.height}x{grid.width}")
    channels = width // (patch_size * patch_size)
    blocks = tokens_BLC.reshape(batch, grid.height, grid.width, channels, patch_size, patch_size)
    return blocks.permute(0, 3, 1, 4, 2, 5).reshape(
        batch, channels, grid.height * patch_size, grid.width * patch_size
    )


def _grid_ids(index: float, grid: Grid, column_offset: int) -> Tensor:
    rows = torch.arange(grid.height, dtype=torch.float32)[:, None].expand(grid.height, grid.width)
    columns = (
        torch.arange(grid.width, dtype=torch.float32)[None, :].expand(grid.height, grid.width) + column_offset
    )
    return torch.stack([torch.full_like(rows, index), rows, columns], dim=-1).reshape(-1, NUM_ID_AXES)


def build_image_ids(
    noise_grid: Grid,
    image_grids: Sequence[Grid] = (),
    *,
    index_encoding: bool = True,
    position_shift: bool = True,
    official_rounding: bool = False,
) -> Tensor:
    """Ids of the noise tokens followed by those of every input image.

    Args:
        noise_grid: Token grid of the picture being made.
        image_grids: Token grids of the input images, image 1 (the one to edit) first.
        index_encoding: Off for the ablation in which every image has index 1 (DreamOmni2, Table 4).
        position_shift: Off for the ablation in which every image starts at column 0.
        official_rounding: Round as the published DreamOmni2 release does, which keeps its ids in bfloat16:
            columns beyond 256 then share coordinates.

    Returns:
        float32 ids of shape (noise tokens + image tokens, 3).
    """
    parts = [_grid_ids(0.0, noise_grid, 0)]
    column_offset = 0
    for number, grid in enumerate(image_grids, start=1):
        parts.append(_grid_ids(float(number if index_encoding else 1), grid, column_offset))
        column_offset += grid.width if position_shift else 0
    ids = torch.cat(parts)
    return ids.to(torch.bfloat16).to(torch.float32) if official_rounding else ids


def build_ids(
    num_text_tokens: int,
    noise_grid: Grid,
    image_grids: Sequence[Grid] = (),
    *,
    index_encoding: bool = True,
    position_shift: bool = True,
    official_rounding: bool = False,
) -> Tensor:
    """Ids of the whole sequence ``[text | noise | image 1 | ...]``, float32 of shape (L, 3).

    See :func:`build_image_ids` for the arguments; text tokens all stand at (0, 0, 0).
    """
    image_ids = build_image_ids(
        noise_grid,
        image_grids,
        index_encoding=index_encoding,
        position_shift=position_shift,
        official_rounding=official_rounding,
    )
    return torch.cat([torch.zeros(num_text_tokens, NUM_ID_AXES), image_ids])
