"""Shards back to samples: one after another at the speed of the disk, or any one by its place."""

import heapq
import io
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

from dreamomni.data.shards import sidecar, tar
from dreamomni.data.shards.generate import Summary, summarise
from dreamomni.data.shards.job import DATASET_NAME, read_dataset
from dreamomni.data.shards.members import decode_sample
from dreamomni.data.shards.writer import read_stats
from dreamomni.errors import DataError
from dreamomni.storage import sha256_file
from dreamomni.tasks.sample import TrainingSample


def is_shard_folder(folder: str | Path) -> bool:
    """Whether `dreamomni data generate` made the folder."""
    return (Path(folder) / DATASET_NAME).is_file()


def read_tar(path: str | Path) -> Iterator[TrainingSample]:
    """Yield the samples of one tar from first to last; needs nothing but the tar.

    Raises:
        DataError: The file is missing or damaged, or a sample in it is.
    """
    for name, members in _read_members(Path(path)):
        yield decode_sample(members, name)


class ShardFolder:
    """What `dreamomni data generate` made, as a sequence of samples in the order of their index.

    Shards that are not finished do not exist; samples that were rejected leave gaps in the indices, not in
    the positions.

    Args:
        folder: The folder.

    Raises:
        DataError: It holds no data set.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.dataset = read_dataset(self.folder)
        """Its record: identity, recipe, licences, attribution, assets."""
        found = (self._stats(shard) for shard in range(self.dataset["num_shards"]))
        self.stats: tuple[dict[str, Any], ...] = tuple(stats for stats in found if stats is not None)
        """The stats of every finished shard, in order."""

    @property
    def summary(self) -> Summary:
        """What the finished shards hold in all."""
        return summarise(self.stats)

    @property
    def is_complete(self) -> bool:
        """Whether every shard is finished."""
        return len(self.stats) == self.dataset["num_shards"]

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, position: int) -> TrainingSample:
        """Read the sample at a position, by its place in the tar.

        Raises:
            IndexError: There is no such position.
            DataError: The sample or its table is damaged, or pyarrow is missing.
        """
        name, members = self.members(position)
        return decode_sample(members, name)

    def members(self, position: int) -> tuple[str, dict[str, bytes]]:
        """Name and members of the sample at a position, as they are in the tar.

        Raises:
            IndexError: There is no such position.
            DataError: The tar or its table is damaged, or pyarrow is missing.
        """
        if not 0 <= position < len(self):
            raise IndexError(f"sample {position} of {len(self)} in {self.folder}")
        shard = bisect_right(self._ends, position)
        first = self._ends[shard - 1] if shard else 0
        path, offset, size = self._places(shard)[position - first]
        with _open(path) as file:
            file.seek(offset)
            content = file.read(size)
        for found in _group(tar.iterate_members(io.BytesIO(content), str(path)), path):
            return found
        raise DataError(f"{path} has no sample at byte {offset}, where its table says one is")

    def __iter__(self) -> Iterator[TrainingSample]:
        return self.samples()

    def samples(self, shards: Iterable[int] | None = None) -> Iterator[TrainingSample]:
        """Yield samples in the order of their index, reading every tar from front to back.

        Args:
            shards: Numbers of the shards to read, all by default; a worker of many takes its part of them.

        Raises:
            DataError: A shard is not finished, or a file is missing or damaged.
        """
        finished = {stats["shard"]: stats for stats in self.stats}
        for shard in sorted(finished) if shards is None else shards:
            if shard not in finished:
                raise DataError(f"shard {shard} of {self.folder} is not finished: run the same command again")
            tars = [self.folder / name for name in finished[shard]["files"] if name.endswith(".tar")]
            yield from heapq.merge(*(read_tar(path) for path in tars), key=lambda sample: sample.index)

    def verify(self) -> None:
        """Compare every file with the sha256 in its stats.

        Raises:
            DataError: One differs; the message names it.
        """
        for stats in self.stats:
            for name, file in stats["files"].items():
                if sha256_file(self.folder / name) != file["sha256"]:
                    raise DataError(f"{self.folder / name} is damaged: its sha256 is not that of its stats")

    def _stats(self, shard: int) -> dict[str, Any] | None:
        return read_stats(self.folder, shard, self.dataset["identity"])

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(stats["num_samples"] for stats in self.stats))

    def _places(self, position: int) -> list[tuple[Path, int, int]]:
        """Tar, offset and size of every sample of the shard at a position, by index."""
        if position not in self._tables:
            files = self.stats[position]["files"]
            found = [
                (index, self.folder / name, offset, size)
                for name in files
                if name.endswith(".tar")
                for index, offset, size in sidecar.read_places((self.folder / name).with_suffix(".parquet"))
            ]
            self._tables[position] = [place[1:] for place in sorted(found)]
        return self._tables[position]

    @cached_property
    def _tables(self) -> dict[int, list[tuple[Path, int, int]]]:
        return {}


def _open(path: Path) -> Any:
    try:
        return path.open("rb")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None


def _read_members(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    with _open(path) as file:
        yield from _group(tar.iterate_members(file, str(path)), path)


def _group(members: Iterable[tuple[str, bytes]], path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Gather members that follow each other under one key; names are `<tar>:<key>`, for messages."""
    current, found = "", dict[str, bytes]()
    for name, content in members:
        key, _, member = name.partition(".")
        if key != current and found:
            yield f"{path}:{current}", found
            found = {}
        current = key
        found[member] = content
    if found:
        yield f"{path}:{current}", found
