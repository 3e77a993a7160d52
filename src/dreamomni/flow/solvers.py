"""From noise to data: follow a velocity down a list of sigmas. Deterministic; the noise is the caller's."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor

Velocity = Callable[[Tensor, float], Tensor]
"""Latents and sigma to a velocity of the same shape."""
OnStep = Callable[[int, Tensor], None]
"""Called after every step with its number, from 0, and the latents it reached."""


def sample_euler(
    velocity: Velocity, latents: Tensor, sigmas: Sequence[float], on_step: OnStep | None = None
) -> Tensor:
    """Follow the velocity in straight steps: x + (sigma_next - sigma) * velocity(x, sigma).

    Args:
        velocity: Called once a step.
        latents: Where to start, at sigmas[0].
        sigmas: Falling; from `flow.schedule.make_sigmas`.
        on_step: Sees every step.

    Returns:
        The latents at sigmas[-1].
    """
    _check_falling(sigmas)
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        latents = latents + (sigma_next - sigma) * velocity(latents, sigma)
        if on_step is not None:
            on_step(step, latents)
    return latents


def sample_heun(
    velocity: Velocity, latents: Tensor, sigmas: Sequence[float], on_step: OnStep | None = None
) -> Tensor:
    """Follow the mean of the velocities at both ends of each step: second order, two calls a step.

    A last step to sigma 0 is a straight one, for no network is trained at 0; arguments as in `sample_euler`.
    """
    _check_falling(sigmas)
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        slope = velocity(latents, sigma)
        if sigma_next > 0:
            guess = latents + (sigma_next - sigma) * slope
            slope = (slope + velocity(guess, sigma_next)) / 2
        latents = latents + (sigma_next - sigma) * slope
        if on_step is not None:
            on_step(step, latents)
    return latents


def _check_falling(sigmas: Sequence[float]) -> None:
    if len(sigmas) < 2 or not all(after < before for before, after in pairwise(sigmas)):
        raise ValueError(f"sigmas must fall, over two or more values, not {list(sigmas)[:8]}")
