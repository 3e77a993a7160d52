"""Uniform draws that mean the same on every machine and in every library version."""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from typing import TypeVar

from dreamomni.seeding import derive_seed

T = TypeVar("T")

_WORDS = struct.Struct("<16Q")
_STEP = 2.0**-53
"""53 bits of a word fill a double exactly."""


class Draws:
    """A named stream of random decisions.

    A sample needs a dozen short streams. Expanding their seeds with a hash costs a tenth of starting as many
    numpy generators, and does not depend on how a numpy version turns words into decisions.
    """

    __slots__ = ("_block", "_buffer", "_seed")

    def __init__(self, root: int, *path: str | int) -> None:
        self._seed = derive_seed(root, *path)
        self._block = 0
        self._buffer: list[int] = []

    # Each decision takes its word off the buffer by itself: calling `unit` would cost as much again.

    def unit(self) -> float:
        """Draw a float in [0, 1)."""
        return ((self._buffer or self._more()).pop() >> 11) * _STEP

    def uniform(self, low: float, high: float) -> float:
        """Draw a float between `low` and `high`."""
        return low + (high - low) * (((self._buffer or self._more()).pop() >> 11) * _STEP)

    def integer(self, low: int, high: int) -> int:
        """Draw an integer, both ends included."""
        return low + int(((self._buffer or self._more()).pop() >> 11) * _STEP * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """Draw True with this probability."""
        return ((self._buffer or self._more()).pop() >> 11) * _STEP < probability

    def pick(self, options: Sequence[T]) -> T:
        """Draw one of the options, all equally likely."""
        return options[int(((self._buffer or self._more()).pop() >> 11) * _STEP * len(options))]

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

    def _more(self) -> list[int]:
        """The next words of the stream."""
        message = b"%d:%d" % (self._seed, self._block)
        self._buffer = list(_WORDS.unpack(hashlib.shake_128(message).digest(_WORDS.size)))
        self._block += 1
        return self._buffer
