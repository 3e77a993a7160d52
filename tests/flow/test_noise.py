import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dreamomni.errors import ConfigError
from dreamomni.flow.noise import draw_noise

SHAPE = (4, 3, 5)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=5), st.integers(0, 2**64 - 1), st.data())
def test_noise_of_an_image_does_not_depend_on_its_batch(
    others: list[int], seed: int, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(others)))
    seeds = [*others[:place], seed, *others[place:]]
    assert torch.equal(draw_noise(SHAPE, seeds)[place], draw_noise(SHAPE, [seed])[0])


def test_noise_is_normal_float32_on_the_cpu() -> None:
    noise = draw_noise((16, 32, 32), [0, 1])
    assert noise.shape == (2, 16, 32, 32)
    assert (noise.dtype, noise.device.type) == (torch.float32, "cpu")
    assert abs(noise.mean().item()) < 0.02
    assert abs(noise.std().item() - 1) < 0.02
    assert not torch.equal(noise[0], noise[1])


def test_drawing_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    draw_noise(SHAPE, [3])
    assert torch.equal(torch.get_rng_state(), state)


def test_known_values_do_not_change() -> None:
    assert draw_noise((1, 1, 3), [0]).flatten().tolist() == pytest.approx(
        [1.5410, -0.2934, -2.1788], abs=1e-4
    )


def test_no_seeds_give_no_images_and_negative_ones_are_refused() -> None:
    assert draw_noise(SHAPE, []).shape == (0, *SHAPE)
    with pytest.raises(ConfigError, match="negative"):
        draw_noise(SHAPE, [-1])
