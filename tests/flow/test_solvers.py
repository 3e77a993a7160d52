import math

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from hypothesis import given
from hypothesis import strategies as st

from dreamomni.flow.path import velocity_target
from dreamomni.flow.schedule import make_sigmas
from dreamomni.flow.solvers import sample_euler, sample_heun

SOLVERS = [sample_euler, sample_heun]


def curved(latents: torch.Tensor, sigma: float) -> torch.Tensor:
    return torch.sin(latents) + sigma * latents


@given(st.integers(1, 40), st.floats(0.2, 8))
def test_euler_equals_diffusers(steps: int, shift: float) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps))
    noise = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(steps))
    expected = noise
    for timestep in scheduler.timesteps:
        sigma = timestep.item() / scheduler.config.num_train_timesteps
        expected = scheduler.step(curved(expected, sigma), timestep, expected).prev_sample
    ours = sample_euler(curved, noise, make_sigmas(steps, shift))
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("solver", SOLVERS)
@given(st.integers(1, 30), st.floats(0.2, 8))
def test_a_straight_flow_arrives_in_any_number_of_steps(solver, steps: int, shift: float) -> None:
    x0, noise = torch.randn(2, 1, 2, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    arrived = solver(lambda latents, sigma: velocity_target(x0, noise), noise, make_sigmas(steps, shift))
    torch.testing.assert_close(arrived, x0)


def test_order_of_the_solvers() -> None:
    """dx/dsigma = x from sigma 1 to 0 gives x(1) / e; the error falls with the step, or with its square."""
    start = torch.ones(1, dtype=torch.float64)

    def error(solver, steps: int) -> float:
        arrived = solver(lambda latents, sigma: latents, start, make_sigmas(steps))
        return abs(arrived.item() - math.exp(-1))

    assert error(sample_euler, 64) / error(sample_euler, 128) == pytest.approx(2, abs=0.1)
    assert error(sample_heun, 64) / error(sample_heun, 128) == pytest.approx(4, abs=0.3)
    assert error(sample_heun, 64) < error(sample_euler, 128) / 10


@pytest.mark.parametrize(("solver", "calls"), [(sample_euler, 5), (sample_heun, 9)])
def test_every_step_is_seen_and_the_network_is_never_asked_at_zero(solver, calls: int) -> None:
    asked: list[float] = []
    seen: list[tuple[int, torch.Tensor]] = []

    def velocity(latents: torch.Tensor, sigma: float) -> torch.Tensor:
        asked.append(sigma)
        return curved(latents, sigma)

    noise = torch.randn(1, 2, 2, 2)
    kept = noise.clone()
    arrived = solver(velocity, noise, make_sigmas(5), lambda step, latents: seen.append((step, latents)))
    assert [step for step, _ in seen] == [0, 1, 2, 3, 4]
    assert torch.equal(seen[-1][1], arrived)
    assert torch.equal(noise, kept)
    assert len(asked) == calls
    assert min(asked) > 0


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("sigmas", [[], [1.0], [0.0, 1.0], [1.0, 0.5, 0.5, 0.0], [1.0, math.nan]])
def test_sigmas_that_do_not_fall_are_refused(solver, sigmas: list[float]) -> None:
    with pytest.raises(ValueError, match="sigmas must fall"):
        solver(curved, torch.zeros(1), sigmas)
