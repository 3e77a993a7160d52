"""Uniform draws that mean the same in every numpy version."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from dreamomni.seeding import generator

T = TypeVar("T")

_BLOCK = 16


class Draws:
    """A named stream of random decisions.

    numpy promises the raw words of a bit generator across versions, but not what `Generator` methods make of them,
    so the words are mapped to decisions here.
    """

    def __init__(self, root: int, *path: str | int) -> None:
        self._bits = generator(root, *path).bit_generator
        self._buffer: list[float] = []

    def unit(self) -> float:
        """Draw a float in [0, 1)."""
        if not self._buffer:
            raw = np.asarray(self._bits.random_raw(_BLOCK))
            # 53 bits fill a double exactly; reversed, because a list pops cheaply at its end.
            self._buffer = ((raw >> np.uint64(11)) * 2.0**-53)[::-1].tolist()
        return self._buffer.pop()

    def uniform(self, low: float, high: float) -> float:
        """Draw a float between `low` and `high`."""
        return low + (high - low) * self.unit()

    def integer(self, low: int, high: int) -> int:
        """Draw an integer, both ends included."""
        return low + int(self.unit() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """Draw True with this probability."""
        return self.unit() < probability

    def pick(self, options: Sequence[T]) -> T:
        """Draw one of the options, all equally likely."""
        return options[int(self.unit() * len(options))]

    def weighted(self, weights: Mapping[T, float]) -> T:
        """Draw a key with probability proportional to its weight (keys in the mapping's own order)."""
        threshold = self.unit() * sum(weights.values())
        for key, weight in weights.items():
            threshold -= weight
            if threshold < 0 < weight:
                return key
        return max(weights, key=lambda key: weights[key])  # rounding left the threshold at the very end

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """Return the items in a drawn order (Fisher-Yates)."""
        order = list(items)
        for last in range(len(order) - 1, 0, -1):
            other = self.integer(0, last)
            order[last], order[other] = order[other], order[last]
        return order
