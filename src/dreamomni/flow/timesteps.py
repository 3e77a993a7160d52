"""At which sigmas the network is trained: three distributions, chosen in a recipe by `type`."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from dreamomni.config import StrictConfig
from dreamomni.errors import ConfigError
from dreamomni.flow.schedule import shift_for_tokens, shift_sigma


class Uniform(StrictConfig):
    """Every sigma in [0, 1) alike."""

    type: Literal["uniform"] = "uniform"


class LogitNormal(StrictConfig):
    """Most in the middle: sigma = sigmoid(N(mean, std)). Stable Diffusion 3, section 3.1."""

    type: Literal["logit_normal"] = "logit_normal"
    mean: float = 0.0
    """Above 0 trains more near the noise."""
    std: float = Field(1.0, gt=0)


class Shifted(StrictConfig):
    """Another distribution, moved towards the noise by `flow.schedule.shift_sigma`."""

    type: Literal["shifted"] = "shifted"
    base: Annotated[Uniform | LogitNormal, Field(discriminator="type")] = LogitNormal()
    shift: float | None = Field(None, gt=0)
    """None takes the shift that belongs to the number of tokens (`flow.schedule.shift_for_tokens`)."""


Timesteps = Annotated[Uniform | LogitNormal | Shifted, Field(discriminator="type")]
"""Any of them, for a field of a recipe."""


def draw_sigmas(
    config: Uniform | LogitNormal | Shifted,
    n: int,
    generator: torch.Generator | None = None,
    num_tokens: int | None = None,
) -> Tensor:
    """Return (n,) float32 sigmas in [0, 1], on the generator's device.

    Args:
        config: The distribution.
        n: How many.
        generator: Where the numbers come from; None means torch's global one.
        num_tokens: Noise tokens of the images, for a shift that follows the resolution.

    Raises:
        ConfigError: The shift follows the number of tokens, and that was not given.
    """
    device = generator.device if generator is not None else torch.device("cpu")
    match config:
        case Uniform():
            return torch.rand(n, generator=generator, device=device)
        case LogitNormal():
            normal = torch.randn(n, generator=generator, device=device)
            return torch.sigmoid(config.mean + config.std * normal)
        case Shifted():
            if config.shift is None and num_tokens is None:
                raise ConfigError(
                    "timesteps of type shifted need a shift here, for the number of tokens is not known"
                )
            shift = config.shift if config.shift is not None else shift_for_tokens(num_tokens or 0)
            return shift_sigma(draw_sigmas(config.base, n, generator), shift)
