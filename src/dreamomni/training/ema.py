"""Averaged weights: fp32 copies of the trained parameters. No modules, no files."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """Exponential moving average over named parameters.

    Args:
        parameters: the live parameters, by name.
        decay: weight of the old average once warmed up.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        self.decay = decay
        self._live: list[Tensor] = list(parameters.values())
        self.averages: dict[str, Tensor] = {
            name: parameter.detach().to(torch.float32, copy=True) for name, parameter in parameters.items()
        }

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the live weights after `step` (from 0); early steps move further."""
        decay = min(self.decay, (1 + step) / (10 + step))
        live = [parameter.detach().float() for parameter in self._live]
        torch._foreach_lerp_(list(self.averages.values()), live, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The live parameters hold the averages inside the block and their own values after it."""
        with torch.no_grad():
            kept = [parameter.detach().clone() for parameter in self._live]
            torch._foreach_copy_(self._live, list(self.averages.values()))
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self._live, kept)
