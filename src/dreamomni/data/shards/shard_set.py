"""Shards as what training reads: any sample by its place, shapes from the tables beside the tars."""

from bisect import bisect_right
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import Any

from dreamomni.data.sample_set import SampleShape
from dreamomni.data.shards import sidecar
from dreamomni.data.shards.reader import ShardFolder
from dreamomni.errors import DataError
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.images import read_size
from dreamomni.tasks.sample import TrainingSample

_OWN_SIZES = "subject"
"""The task whose sources may have other sizes than the target."""


class ShardSet:
    """What `dreamomni data generate` made, as samples in the order of their index.

    Args:
        folder: The folder.
        num_samples: Only the first samples; None takes all.

    Raises:
        DataError: It holds no finished shard, or fewer samples than asked for.
    """

    def __init__(self, folder: str | Path, num_samples: int | None = None) -> None:
        self.shards = ShardFolder(folder)
        if not len(self.shards):
            raise DataError(
                f"{folder} has no finished shard yet: run the same command of `data generate` again"
            )
        if num_samples is not None and len(self.shards) < num_samples:
            raise DataError(f"{folder} has {len(self.shards):,} samples, not num_samples {num_samples:,}")
        self._length = len(self.shards) if num_samples is None else num_samples
        self._ends = list(accumulate(stats["num_samples"] for stats in self.shards.stats))
        self._shapes: dict[int, list[tuple[SampleShape, bool]]] = {}
        recipe = self.shards.dataset["recipe"]
        self._may_differ = bool(recipe.get("reference", {}).get("source_sizes"))

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> TrainingSample:
        """Read sample `index`.

        Raises:
            IndexError: There is no such sample.
            DataError: It or its table is damaged.
        """
        self._check(index)
        return self.shards[index]

    def shape(self, index: int) -> SampleShape:
        """Shape of sample `index`: from the table, or from the headers where sources have their own sizes."""
        self._check(index)
        shard = bisect_right(self._ends, index)
        if shard not in self._shapes:
            self._shapes[shard] = self._read_shapes(shard)
        shape, is_known = self._shapes[shard][index - (self._ends[shard - 1] if shard else 0)]
        return shape if is_known else shape._replace(images=self._measure(index, len(shape.images)))

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the samples: how they were made, which shards are finished, and how many count."""
        return {
            "type": "shards",
            "dataset": self.shards.dataset["identity"],
            "shards": [stats["shard"] for stats in self.shards.stats],
            "num_samples": self._length,
        }

    def _check(self, index: int) -> None:
        # Python's iteration protocol ends at IndexError, so this one is not ours to rename.
        if not 0 <= index < self._length:
            raise IndexError(f"sample {index} of {self._length} in {self.shards.folder}")

    def _read_shapes(self, shard: int) -> list[tuple[SampleShape, bool]]:
        """Shapes of a shard by index, and whether the sizes of the images are known to be the target's."""
        found: list[tuple[int, SampleShape, bool]] = []
        for name in self.shards.stats[shard]["files"]:
            if not name.endswith(".tar"):
                continue
            for facts in sidecar.read_shapes((self.shards.folder / name).with_suffix(".parquet")):
                target = Size(facts["width"], facts["height"])
                shape = SampleShape(facts["kind"], target, (target,) * facts["num_images"])
                found.append((facts["index"], shape, not self._may_differ or facts["task"] != _OWN_SIZES))
        return [(shape, is_known) for _, shape, is_known in sorted(found)]

    def _measure(self, index: int, num_images: int) -> tuple[Size, ...]:
        """Sizes of the input images, from their headers."""
        name, members = self.shards.members(index)
        files = {member.partition(".")[0]: content for member, content in members.items()}
        try:
            pictures = [files[f"image{number}"] for number in range(1, num_images + 1)]
        except KeyError as error:
            raise DataError(f"{name} has no picture {error}, but its table counts {num_images}") from None
        return tuple(read_size(BytesIO(content), name, min_side=1) for content in pictures)
