import pytest
from diffusers.pipelines.flux.pipeline_flux_kontext import PREFERRED_KONTEXT_RESOLUTIONS
from hypothesis import given
from hypothesis import strategies as st

from dreamomni.models.kontext.resolutions import (
    BASE_AREA,
    GRID_PX,
    KONTEXT_SIZES,
    fit_area,
    nearest_kontext_size,
    official_result_size,
    on_grid,
)
from dreamomni.tasks.geometry import Size

SIDES = st.integers(16, 6000)


def test_the_table_is_that_of_diffusers() -> None:
    assert [tuple(size) for size in KONTEXT_SIZES] == PREFERRED_KONTEXT_RESOLUTIONS


@given(SIDES, SIDES)
def test_the_nearest_is_the_one_that_diffusers_picks(width: int, height: int) -> None:
    _, *theirs = min((abs(width / height - w / h), w, h) for w, h in PREFERRED_KONTEXT_RESOLUTIONS)
    assert nearest_kontext_size(Size(width, height)) == tuple(theirs)


def test_the_second_rounding_changes_four_of_the_seventeen_sizes() -> None:
    changed = {
        size: official_result_size(size) for size in KONTEXT_SIZES if official_result_size(size) != size
    }
    assert changed == {
        (672, 1568): (656, 1552),
        (800, 1328): (784, 1312),
        (1328, 800): (1312, 784),
        (1568, 672): (1552, 656),
    }


@given(SIDES, SIDES)
def test_scaling_down_keeps_the_shape_and_never_enlarges(width: int, height: int) -> None:
    size = Size(width, height)
    fitted = fit_area(size)
    if size.num_pixels <= BASE_AREA:
        assert fitted == size
    elif min(fitted) > GRID_PX:
        assert fitted.num_pixels <= BASE_AREA
        assert fitted.width / fitted.height == pytest.approx(width / height, rel=2 / min(fitted))


@given(SIDES, SIDES)
def test_the_grid_holds_the_picture_with_less_than_a_token_to_spare(width: int, height: int) -> None:
    padded = on_grid(Size(width, height))
    assert padded.width % GRID_PX == padded.height % GRID_PX == 0
    assert 0 <= padded.width - width < GRID_PX
    assert 0 <= padded.height - height < GRID_PX
