"""Samples by number, wherever they are: what training reads. Shapes are told without decoding pixels."""

from typing import Any, NamedTuple, Protocol

from dreamomni.tasks.geometry import Size
from dreamomni.tasks.sample import TrainingSample


class SampleShape(NamedTuple):
    """What decides which samples may share a batch.

    Attributes:
        kind: Kind of the sample, such as "replace"; names the line in the log.
        target: Size of the target.
        images: Size of every input image, image 1 first.
    """

    kind: str
    target: Size
    images: tuple[Size, ...]


class SampleSet(Protocol):
    """A finite sequence of samples; item i is the same in every process and at every time."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def __getitem__(self, index: int) -> TrainingSample:
        """Sample `index`.

        Raises:
            DataError: It is damaged or cannot be read; the message names the file and the row.
        """
        ...

    def shape(self, index: int) -> SampleShape:
        """Shape of sample `index`; much cheaper than the sample."""
        ...

    @property
    def identity(self) -> dict[str, Any]:
        """JSON values that decide the content: two sets of one identity hold the same samples."""
        ...
