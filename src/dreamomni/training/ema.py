"""Averaged weights: fp32 copies of the trained parameters, sharded where they are. No modules, no files."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dreamomni.training.parallel import local


class Ema:
    """Exponential moving average over named parameters.

    Args:
        parameters: the live parameters, by name.
        decay: weight of the old average once warmed up.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        self.decay = decay
        self.averages: dict[str, Tensor] = {
            name: parameter.detach().to(torch.float32, copy=True) for name, parameter in parameters.items()
        }
        self._live: list[Tensor] = [local(parameter.detach()) for parameter in parameters.values()]
        self._averages: list[Tensor] = [local(average) for average in self.averages.values()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the live weights after `step` (from 0); early steps move further."""
        decay = min(self.decay, (1 + step) / (10 + step))
        live = [parameter.float() for parameter in self._live]
        torch._foreach_lerp_(self._averages, live, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The live parameters hold the averages inside the block and their own values after it."""
        with torch.no_grad():
            kept = [parameter.clone() for parameter in self._live]
            torch._foreach_copy_(self._live, self._averages)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self._live, kept)
