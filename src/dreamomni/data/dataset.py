"""Collages as a torch data set, drawn when asked for: decoding stored ones would cost more than drawing."""

import numpy as np
import torch
from torch.utils.data import Dataset

from dreamomni.data.collage.engine import CollageEngine
from dreamomni.errors import DataError
from dreamomni.tasks.sample import TrainingSample


class CollageDataset(Dataset[TrainingSample]):
    """A map-style data set whose item i is sample i of an engine; any number of workers gives the same items.

    Args:
        engine: Where samples come from.
        seed: Seed of the data set.
        length: How many samples it has.
        kind: A kind to force on every sample, or None for the recipe's mixture.

    Raises:
        DataError: The length is negative.
    """

    def __init__(self, engine: CollageEngine, seed: int, length: int, kind: str | None = None) -> None:
        if length < 0:
            raise DataError(f"a data set cannot have {length} samples")
        self.engine = engine
        self.seed = seed
        self.kind = kind
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> TrainingSample:
        # Python's iteration protocol ends at IndexError, so this one is not ours to rename.
        if not 0 <= index < self._length:
            raise IndexError(f"sample {index} of a data set of {self._length}")
        return self.engine.sample(self.seed, index, self.kind)


def to_pixels(image: np.ndarray) -> torch.Tensor:
    """Turn uint8 pixels into what the autoencoder reads.

    Args:
        image: (H, W, 3) uint8, sRGB.

    Returns:
        (3, H, W) float32 between -1 and 1.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise DataError(f"pixels must be uint8 of shape (H, W, 3), got {image.dtype} of shape {image.shape}")
    # A copy, because numpy may hand out a read-only view that torch must not alias.
    return torch.from_numpy(image.copy()).permute(2, 0, 1).to(torch.float32).div_(127.5).sub_(1.0)
