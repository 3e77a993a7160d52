import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dreamomni.flow.path import interpolate, noise_from_velocity, velocity_target, x0_from_velocity

SIGMAS = st.floats(0, 1, width=32)
SEEDS = st.integers(0, 2**32)


def pair(seed: int, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x0, noise = torch.randn(2, batch, 3, 4, 5, generator=generator, dtype=torch.float64)
    return x0, noise


@given(SEEDS, SIGMAS)
def test_path_is_the_papers_with_time_reversed(seed: int, sigma: float) -> None:
    z, eps = pair(seed)
    t = 1 - sigma
    z_t, target = t * z + (1 - t) * eps, z - eps
    torch.testing.assert_close(interpolate(z, eps, sigma), z_t)
    assert torch.equal(-velocity_target(z, eps), target)
    # One step of the paper's time forward is one step of sigma backward.
    torch.testing.assert_close(z_t + 0.1 * target, z_t + (-0.1) * velocity_target(z, eps))


@given(SEEDS, SIGMAS)
def test_both_ends_come_back_from_any_point(seed: int, sigma: float) -> None:
    x0, noise = pair(seed)
    x, velocity = interpolate(x0, noise, sigma), velocity_target(x0, noise)
    torch.testing.assert_close(x0_from_velocity(x, velocity, sigma), x0)
    torch.testing.assert_close(noise_from_velocity(x, velocity, sigma), noise)


@given(SEEDS, SIGMAS, SIGMAS)
def test_velocity_is_the_slope_of_the_path(seed: int, sigma: float, other: float) -> None:
    x0, noise = pair(seed)
    moved = interpolate(x0, noise, sigma) + (other - sigma) * velocity_target(x0, noise)
    torch.testing.assert_close(moved, interpolate(x0, noise, other))


def test_ends_are_exact() -> None:
    x0, noise = pair(0)
    assert torch.equal(interpolate(x0, noise, 0.0), x0)
    assert torch.equal(interpolate(x0, noise, 1.0), noise)


@given(SEEDS, st.lists(SIGMAS, min_size=3, max_size=3))
def test_a_sigma_for_each_sample(seed: int, sigmas: list[float]) -> None:
    x0, noise = pair(seed, 3)
    together = interpolate(x0, noise, torch.tensor(sigmas, dtype=torch.float64))
    for index, sigma in enumerate(sigmas):
        torch.testing.assert_close(together[index], interpolate(x0, noise, sigma)[index])


def test_wrong_number_of_sigmas() -> None:
    x0, noise = pair(0, 2)
    with pytest.raises(ValueError, match="batch of 2"):
        interpolate(x0, noise, torch.rand(3))
