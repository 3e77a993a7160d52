"""What a LoRA is apart from any file and any model: for every layer two thin matrices and an alpha."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor


class LowRank(NamedTuple):
    """The change of one linear layer: `alpha / rank * up @ down`.

    Attributes:
        down: (rank, inputs), "A".
        up: (outputs, rank), "B".
        alpha: Strength; the rank itself means a factor of 1.
    """

    down: Tensor
    up: Tensor
    alpha: float

    @property
    def rank(self) -> int:
        """Columns of `up` and rows of `down`."""
        return int(self.down.shape[0])

    @property
    def scale(self) -> float:
        """What the product is multiplied by."""
        return self.alpha / self.rank

    @property
    def delta(self) -> Tensor:
        """(outputs, inputs) in float64: what is added to the weight of the layer."""
        product: Tensor = self.up.double() @ self.down.double()
        return product * self.scale


@dataclass(frozen=True, slots=True)
class AdapterWeights:
    """A whole LoRA.

    Attributes:
        layers: By the path of the linear layer in the model, as diffusers names it.
        source: The file it is from, for messages.
        left_out: Weights of the file that are for a text encoder.
        hint: What model the names of the file are known from, or None.
    """

    layers: Mapping[str, LowRank]
    source: str = "the LoRA"
    left_out: int = 0
    hint: str | None = field(default=None, compare=False)

    @property
    def ranks(self) -> tuple[int, ...]:
        """Every rank that occurs, in rising order."""
        return tuple(sorted({layer.rank for layer in self.layers.values()}))

    @property
    def num_parameters(self) -> int:
        """Numbers in all matrices."""
        return sum(layer.down.numel() + layer.up.numel() for layer in self.layers.values())

    def to(self, dtype: torch.dtype) -> "AdapterWeights":
        """The same in another dtype."""
        layers = {
            path: LowRank(layer.down.to(dtype), layer.up.to(dtype), layer.alpha)
            for path, layer in self.layers.items()
        }
        return AdapterWeights(layers, self.source, self.left_out, self.hint)
