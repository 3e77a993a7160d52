"""The straight path between data and noise, and its velocity.

The papers (DreamOmni, equation 1) run time the other way: z_t = t z + (1 - t) eps with the target z - eps, so
t = 1 is data. With t = 1 - sigma both describe the same path, and v_paper = -velocity:

    z_sigma  = (1 - sigma) x0 + sigma noise
    velocity = d z_sigma / d sigma = noise - x0

This is the only place where the two conventions meet.
"""

from torch import Tensor


def interpolate(x0: Tensor, noise: Tensor, sigma: Tensor | float) -> Tensor:
    """Return the point at `sigma` on the way from data to noise.

    Args:
        x0: Data, (B, ...).
        noise: Same shape.
        sigma: One number, or (B,) numbers, in [0, 1].
    """
    sigma = _per_sample(sigma, x0)
    return (1 - sigma) * x0 + sigma * noise


def velocity_target(x0: Tensor, noise: Tensor) -> Tensor:
    """Return what the network learns to predict at every point between `x0` and `noise`: noise - x0."""
    return noise - x0


def x0_from_velocity(x: Tensor, velocity: Tensor, sigma: Tensor | float) -> Tensor:
    """Return the data end of the straight line through `x` at `sigma` along `velocity`.

    Args:
        x: A point, (B, ...).
        velocity: Same shape.
        sigma: One number, or (B,) numbers, in [0, 1].
    """
    return x - _per_sample(sigma, x) * velocity


def noise_from_velocity(x: Tensor, velocity: Tensor, sigma: Tensor | float) -> Tensor:
    """Return the noise end of the line whose data end `x0_from_velocity` gives; the same arguments."""
    return x + (1 - _per_sample(sigma, x)) * velocity


def _per_sample(sigma: Tensor | float, like: Tensor) -> Tensor | float:
    if isinstance(sigma, float | int) or sigma.ndim == 0:
        return sigma
    if sigma.shape != like.shape[:1]:
        raise ValueError(f"sigma of shape {tuple(sigma.shape)} does not fit a batch of {like.shape[0]}")
    return sigma.to(like.device).reshape(-1, *[1] * (like.ndim - 1))
