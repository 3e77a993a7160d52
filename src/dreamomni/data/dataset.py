"""Collages as torch data sets, drawn when asked for: no disk, and about the cost of decoding stored ones.

`CollageDataset` is for samplers (item i is sample i), `CollageSet` for those that must know shapes before
pixels, `CollageStream` for training without end. None keeps anything on a disk, and all give the same samples
for any number of workers.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from dreamomni.config import recipe_hash
from dreamomni.data.collage.engine import CollageEngine, RejectedSampleError
from dreamomni.data.sample_set import SampleShape
from dreamomni.errors import DataError
from dreamomni.tasks.sample import TrainingSample

log = logging.getLogger(__name__)

_STAND_INS = 8


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


class CollageSet(CollageDataset):
    """The first samples of an engine and a seed as a `SampleSet`: shapes are told without drawing.

    A sample that the recipe has no room for raises `RejectedSampleError` when it is read, at every time and
    in every process alike; it has a shape like any other.

    Args:
        engine: Where samples come from.
        seed: Seed of the data set.
        length: How many samples it has.
    """

    def __init__(self, engine: CollageEngine, seed: int, length: int) -> None:
        super().__init__(engine, seed, length)

    def shape(self, index: int) -> SampleShape:
        """Shape of sample `index`."""
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of a data set of {len(self)}")
        return self.engine.shape(self.seed, index)

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the content: recipe, assets, split, seed, and the number of samples."""
        return {
            "type": "collage",
            "recipe": recipe_hash(self.engine.recipe),
            "assets": self.engine.asset_digest,
            "split": self.engine.split,
            "seed": self.seed,
            "num_samples": len(self),
        }


class CollageStream(IterableDataset[TrainingSample]):
    """The samples from an index on, shared out among the workers of a loader and the processes of a run.

    Indices are handed out in blocks: with `block` equal to the batch size of the loader, batches hold the
    same consecutive indices in the same order for any number of workers. To resume, start at the first index
    that was not used. A sample that the recipe has no room for is left out and counted, never replaced.

    Args:
        engine: Where samples come from.
        seed: Seed of the data set.
        start: First index.
        stop: One past the last index, or None for no end.
        block: Consecutive indices that one worker takes at a time.
        rank: Number of this process, from 0.
        num_ranks: Processes of the run; process r takes the blocks that leave r when divided by it.

    Attributes:
        rejected: Samples left out so far by this process (not by the workers of a loader), by kind.

    Raises:
        DataError: A number is out of range.
    """

    def __init__(
        self,
        engine: CollageEngine,
        seed: int,
        *,
        start: int = 0,
        stop: int | None = None,
        block: int = 1,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        if start < 0 or (stop is not None and stop < start):
            raise DataError(f"a stream cannot run from sample {start} to {stop}")
        if block < 1 or not 0 <= rank < num_ranks:
            raise DataError(f"a stream cannot hand out blocks of {block} to process {rank} of {num_ranks}")
        self.engine = engine
        self.seed = seed
        self.start, self.stop, self.block = start, stop, block
        self.rank, self.num_ranks = rank, num_ranks
        self.rejected: Counter[str] = Counter()

    def __iter__(self) -> Iterator[TrainingSample]:
        worker = get_worker_info()
        if worker is not None:
            cv2.setNumThreads(
                0
            )  # workers are processes already, and a pool of threads does not survive a fork
        for index in self._indices(worker.id if worker else 0, worker.num_workers if worker else 1):
            try:
                yield self.engine.sample(self.seed, index)
            except RejectedSampleError as error:
                self.rejected[error.kind] += 1
                log.info("left out: %s", error)

    def _indices(self, worker: int, num_workers: int) -> Iterator[int]:
        first = self.start + (worker * self.num_ranks + self.rank) * self.block
        while self.stop is None or first < self.stop:
            end = first + self.block
            yield from range(first, end if self.stop is None else min(end, self.stop))
            first += self.block * self.num_ranks * num_workers


def sample_or_next(engine: CollageEngine, seed: int, index: int, kind: str | None = None) -> TrainingSample:
    """Draw a sample, or in the place of one that the recipe has no room for another that no data set has.

    The other is a pure function of (seed, index) too: its index lies beyond those that are asked for. For
    tasks that take any picture; what was left out is logged.

    Args:
        engine: Where samples come from.
        seed: Seed of the data set.
        index: Number of the sample, below 2**32.
        kind: A kind to force, or None.

    Raises:
        RejectedSampleError: Several in a row were impossible.
    """
    for attempt in range(_STAND_INS):
        try:
            return engine.sample(seed, index + attempt * 2**32, kind)
        except RejectedSampleError as error:
            log.info("left out: %s", error)
    return engine.sample(seed, index + _STAND_INS * 2**32, kind)


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
