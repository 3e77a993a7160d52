"""Keys and values of text and input images, kept from one step to the next.

Where references are isolated, text and input images attend only among themselves and see time zero, so what
they say to the noise is the same in every step: computed once, it is exact. The noise then runs alone, and a
step costs little more than one without references. Another request needs another memory.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamomni.models.packing import Grid


class ReferenceMemory:
    """What one batch of conditions says in every block. Filled by the network at its first call.

    Attributes:
        grids: Token grids of the input images.
    """

    def __init__(self) -> None:
        self.grids: tuple[Grid, ...] = ()
        self._blocks: list[tuple[Tensor, Tensor]] = []
        self._sources: tuple[Tensor, ...] = ()
        self._next = 0
        self._recording = False

    @property
    def filled(self) -> bool:
        """Whether it can be used."""
        return bool(self._blocks) and not self._recording

    @property
    def num_bytes(self) -> int:
        """Bytes of all keys and values."""
        return sum(part.numel() * part.element_size() for block in self._blocks for part in block)

    def open(self, text: Tensor, images: Sequence[Tensor], grids: Sequence[Grid]) -> None:
        """Start to take up the blocks' keys and values, of these conditions."""
        self._sources, self.grids = (text, *images), tuple(grids)
        self._blocks, self._recording, self._next = [], True, 0

    def close(self) -> None:
        """End taking up."""
        self._recording = False

    def check(self, text: Tensor, images: Sequence[Tensor]) -> None:
        """Refuse conditions other than those it was filled with.

        Raises:
            ValueError: They are other tensors.
        """
        given = (text, *images)
        if len(given) != len(self._sources) or any(
            one is not kept for one, kept in zip(given, self._sources, strict=True)
        ):
            raise ValueError(
                "this memory holds the keys of other conditions: take a new one for each request"
            )
        self._next = 0

    def exchange(self, key_BHNK: Tensor, value_BHNK: Tensor) -> tuple[Tensor, Tensor]:
        """In the blocks' order: keep the keys and values of text and images, or add them to the noise's.

        Returns:
            Keys and values in the order ``[text | noise | images]``.
        """
        if self._recording:
            self._blocks.append((key_BHNK, value_BHNK))
            return key_BHNK, value_BHNK
        kept_key, kept_value = self._blocks[self._next]
        self._next += 1
        num_text = self._sources[0].shape[1]
        return (
            torch.cat([kept_key[:, :, :num_text], key_BHNK, kept_key[:, :, num_text:]], dim=2),
            torch.cat([kept_value[:, :, :num_text], value_BHNK, kept_value[:, :, num_text:]], dim=2),
        )
