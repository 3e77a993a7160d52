"""The sigmas that sampling visits, and the shift that gives larger images more time near the noise."""

import math
from typing import TypeVar

from torch import Tensor

from dreamomni.errors import RequestError

Sigma = TypeVar("Sigma", float, Tensor)


def shift_sigma(sigma: Sigma, shift: float) -> Sigma:
    """Return sigma moved towards the noise: shift * sigma / (1 + (shift - 1) * sigma).

    Keeps 0 and 1; a shift below 1 moves towards the data. Stable Diffusion 3, section 5.3.2: with `shift` =
    sqrt(m / n), m pixels at the shifted sigma are as uncertain as n pixels at `sigma`.
    """
    return shift * sigma / (1 + (shift - 1) * sigma)


def shift_for_tokens(
    num_tokens: int,
    *,
    base_tokens: int = 256,
    max_tokens: int = 4096,
    base_shift: float = 0.5,
    max_shift: float = 1.15,
) -> float:
    """Return the shift for an image of `num_tokens` tokens: exp of a straight line, as in FLUX.1.

    Args:
        num_tokens: Noise tokens of the image.
        base_tokens: Tokens at which the log of the shift is `base_shift`.
        max_tokens: Tokens at which it is `max_shift`.
        base_shift: See `base_tokens`.
        max_shift: See `max_tokens`.
    """
    slope = (max_shift - base_shift) / (max_tokens - base_tokens)
    return math.exp(base_shift + slope * (num_tokens - base_tokens))


def make_sigmas(num_inference_steps: int, shift: float = 1.0) -> list[float]:
    """Return `num_inference_steps` + 1 sigmas from 1 down to 0, evenly spaced before the shift.

    Raises:
        RequestError: There is no step, or the shift is not positive.
    """
    if num_inference_steps < 1:
        raise RequestError(f"{num_inference_steps} inference steps make no image: say 1 or more")
    if not 0 < shift < math.inf:
        raise RequestError(
            f"a schedule shift of {shift} has no meaning: it must be positive; 1 changes nothing"
        )
    between = [1 - step / num_inference_steps for step in range(1, num_inference_steps)]
    return [1.0, *(shift_sigma(sigma, shift) for sigma in between), 0.0]
