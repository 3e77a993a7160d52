"""One sample as the DiT's training takes it, and the feed that draws or reads it when it is asked for.

`training.feature_cache` has the other feed, which knows what the frozen networks say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from dreamomni.data.collage.engine import RejectedSampleError
from dreamomni.data.collage.recipe import TASK_OF_KIND
from dreamomni.data.order import Key
from dreamomni.data.sample_set import SampleSet, SampleShape
from dreamomni.errors import DataError
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.sample import TrainingSample
from dreamomni.training.lora_config import Words
from dreamomni.training.words import words_of


class RowFeatures(NamedTuple):
    """Features of a row's prompt from the VLM.

    Attributes:
        full: (T, D) of the prompt with its images; the first `num_image_tokens` do not depend on the words.
        alone: (T', D) of the prompt without images.
        num_image_tokens: Tokens of the images in `full`.
    """

    full: Tensor
    alone: Tensor
    num_image_tokens: int


@dataclass(frozen=True, slots=True)
class Row:
    """One sample, from a feed.

    Attributes:
        key: Names the sample in messages.
        task: What a user would ask for to get it, or the kind where no such task is known.
        prompt: What the network reads: what the user says, or the standard words.
        kept: False for a sample that its recipe has no room for: blank pictures that no loss is taken on.
        pictures: Target, then the input images in order: uint8 (H, W, 3), or moments (2C, h, w).
        seen: Input images as the VLM reads them, uint8 (H, W, 3); empty when features are given.
        features: What the VLM says, or None.
    """

    key: str
    task: str
    prompt: str
    kept: bool
    pictures: tuple[Tensor, ...]
    seen: tuple[Tensor, ...] = ()
    features: RowFeatures | None = None


class Feed(Protocol):
    """A finite sequence of rows; item i is the same in every process and at every time."""

    def __len__(self) -> int:
        """Number of rows."""
        ...

    def keys(self, indices: np.ndarray) -> Sequence[Key]:
        """What decides which rows may share a batch: `key_of` their shapes."""
        ...

    def row(self, index: int) -> Row:
        """Row `index`.

        Raises:
            DataError: The sample is damaged, or not of the shape that its set announced.
        """
        ...


def key_of(shape: SampleShape) -> Key:
    """Width and height of every picture, target first; the kind does not matter."""
    return tuple(side for size in (shape.target, *shape.images) for side in size)


def sizes_of(key: Key) -> tuple[Size, ...]:
    """The sizes that `key_of` wrote down, target first."""
    return tuple(Size(*key[first : first + 2]) for first in range(0, len(key), 2))


class LiveFeed:
    """Samples of a set, drawn or read when a row is asked for; pictures are pixels.

    Args:
        samples: The set.
        length: Only the first rows; None takes all.
        words: Which words of a sample are its prompt.
    """

    def __init__(self, samples: SampleSet, length: int | None = None, words: Words = "user") -> None:
        self.samples, self.words = samples, words
        self._length = len(samples) if length is None else min(length, len(samples))

    def __len__(self) -> int:
        return self._length

    def keys(self, indices: np.ndarray) -> list[Key]:
        """What decides which rows may share a batch."""
        return [key_of(self.samples.shape(int(index))) for index in indices]

    def row(self, index: int) -> Row:
        """Row `index`; a sample that its recipe has no room for becomes a blank one that is not kept.

        Raises:
            DataError: The sample is damaged, not of the shape that its set announced, or lacks the words.
        """
        shape = self.samples.shape(index)
        try:
            sample = self.samples[index]
        except RejectedSampleError as error:
            blanks = tuple(_blank(size) for size in sizes_of(key_of(shape)))
            task = TASK_OF_KIND.get(error.kind, error.kind)
            return Row(f"rejected-{index}", task, "", False, blanks, blanks[1:])
        pictures = tuple(torch.from_numpy(_writable(image)) for image in (sample.target, *sample.images))
        _check_shape(sample, shape)
        task = sample.task or TASK_OF_KIND.get(sample.kind, sample.kind)
        return Row(sample.key, task, words_of(sample, self.words), True, pictures, pictures[1:])


def _check_shape(sample: TrainingSample, shape: SampleShape) -> None:
    expected = sizes_of(key_of(shape))
    found = tuple(Size(image.shape[1], image.shape[0]) for image in (sample.target, *sample.images))
    if found != expected:
        raise DataError(
            f"sample {sample.key} has pictures of {_words(found)}, but its set announced {_words(expected)}: "
            "was it changed while it was in use?"
        )


def _words(sizes: Sequence[Size]) -> str:
    return ", ".join(map(str, sizes))


def _blank(size: Size) -> Tensor:
    return torch.zeros(size.height, size.width, 3, dtype=torch.uint8)


def _writable(image: np.ndarray) -> np.ndarray:
    """Torch must not alias what numpy hands out read-only."""
    return np.ascontiguousarray(image) if image.flags.writeable else image.copy()
