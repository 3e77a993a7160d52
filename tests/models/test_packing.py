"""Token order and ids: round trips, the formulas, and equality with FLUX.1-Kontext."""

import pytest
import torch
from diffusers import FluxKontextPipeline
from hypothesis import given
from hypothesis import strategies as st

from dreamomni.models.packing import Grid, build_ids, build_image_ids, pack_latents, unpack_latents

sides = st.integers(1, 5)


@given(rows=sides, columns=sides, channels=st.integers(1, 3), patch=st.sampled_from([1, 2]))
def test_unpacking_undoes_packing_on_any_grid(rows: int, columns: int, channels: int, patch: int) -> None:
    latents = torch.randn(2, channels, rows * patch, columns * patch)
    tokens = pack_latents(latents, patch)
    assert tokens.shape == (2, rows * columns, channels * patch * patch)
    assert torch.equal(unpack_latents(tokens, Grid(rows, columns), patch), latents)


def test_packing_equals_that_of_flux() -> None:
    latents = torch.randn(2, 16, 6, 10)
    assert torch.equal(pack_latents(latents, 2), FluxKontextPipeline._pack_latents(latents, 2, 16, 6, 10))


def test_an_odd_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="5x4 cells"):
        pack_latents(torch.zeros(1, 1, 5, 4), 2)
    with pytest.raises(ValueError, match="7 tokens"):
        unpack_latents(torch.zeros(1, 7, 4), Grid(2, 4), 2)


def test_ids_with_one_image_equal_those_of_flux_kontext() -> None:
    noise, image = Grid(4, 6), Grid(5, 3)
    kontext_noise = FluxKontextPipeline._prepare_latent_image_ids(1, 4, 6, "cpu", torch.float32)
    kontext_image = FluxKontextPipeline._prepare_latent_image_ids(1, 5, 3, "cpu", torch.float32)
    kontext_image[..., 0] = 1
    assert torch.equal(build_image_ids(noise, [image]), torch.cat([kontext_noise, kontext_image]))


@given(grids=st.lists(st.builds(Grid, sides, sides), min_size=1, max_size=5), text=st.integers(0, 4))
def test_ids_follow_the_formula_and_never_collide(grids: list[Grid], text: int) -> None:
    noise = Grid(3, 4)
    ids = build_ids(text, noise, grids)
    assert ids.dtype == torch.float32
    assert torch.equal(ids[:text], torch.zeros(text, 3))
    expected = [(0, y, x) for y in range(3) for x in range(4)]
    shift = 0
    for number, grid in enumerate(grids, 1):
        expected += [(number, y, x + shift) for y in range(grid.height) for x in range(grid.width)]
        shift += grid.width
    rows = [tuple(int(v) for v in row) for row in ids[text:].tolist()]
    assert rows == expected
    assert len(set(rows)) == len(rows)


def test_switches_of_the_ablation_and_of_the_published_release() -> None:
    noise, images = Grid(1, 1), [Grid(1, 2), Grid(1, 2)]
    assert build_image_ids(noise, images, index_encoding=False)[3:, 0].tolist() == [1, 1]
    assert build_image_ids(noise, images, position_shift=False)[3:, 2].tolist() == [0, 1]
    wide = build_image_ids(Grid(1, 1), [Grid(1, 256), Grid(1, 64)], official_rounding=True)[-64:, 2]
    assert len(set(wide.tolist())) == 33  # what bfloat16 leaves of 64 columns behind 256 others
