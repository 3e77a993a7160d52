"""The file format of a feature cache: shards of rows as safetensors, and the feed that reads them.

A shard holds the rows of a range of samples. Pictures of one size lie in one table, so that sizes may differ
from row to row; features of all rows lie end to end. Files are mapped, not read: a row costs the pages it
touches, which all processes share.

| tensor | shape | what |
|---|---|---|
| `words`, `word_ends` | uint8, (n,) | JSON of each row: key, task, prompt, kept |
| `shape_ids`, `lengths` | (n,), (n,) | number of its shape (metadata `shapes`), words in its prompt |
| `places` | (n, pictures) | where each picture lies in the table of its size |
| `moments.WxH` | (m, 2C, h, w) | of all pictures of a size |
| `pixels.WxH` | (m, H, W, 3) | of all input images of a size, where the VLM reads them later |
| `full`, `full_ends`, `alone`, `alone_ends`, `image_tokens` | (tokens, D), (n,) | as in `RowFeatures` |
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from dreamomni import storage
from dreamomni.data.order import Key
from dreamomni.errors import CheckpointError, OutputError
from dreamomni.training.rows import Row, RowFeatures, sizes_of

Moments = Callable[[Tensor], Tensor]
"""uint8 (N, H, W, 3) -> (N, 2C, h, w)."""


def write_shard(
    path: Path,
    rows: Sequence[Row],
    keys: Sequence[Key],
    *,
    moments: Moments | None,
    features: Sequence[RowFeatures] | None,
) -> None:
    """Write one shard, whole or not at all.

    Args:
        path: Of the file.
        rows: With pixels as pictures.
        keys: Their shapes.
        moments: Encodes the pictures of one size, or None to leave moments out.
        features: Of every row, or None to keep the input images as the VLM will read them.

    Raises:
        OutputError: The file cannot be written.
    """
    shapes = sorted(set(keys))
    words = [json.dumps([row.key, row.task, row.prompt, row.kept]).encode() for row in rows]
    tensors: dict[str, Tensor] = {
        "words": torch.frombuffer(bytearray(b"".join(words)), dtype=torch.uint8),
        "word_ends": _ends([len(word) for word in words]),
        "shape_ids": torch.tensor([shapes.index(key) for key in keys], dtype=torch.int32),
        "lengths": torch.tensor([len(row.prompt.split()) for row in rows], dtype=torch.int32),
    }
    if moments is not None:
        tables, places = _tables([row.pictures for row in rows], keys, first=0)
        tensors["places"] = places
        tensors |= {f"moments.{size}": moments(table).cpu() for size, table in tables.items()}
    if features is None:
        tables, tensors["seen_places"] = _tables([row.seen for row in rows], keys, first=1)
        tensors |= {f"pixels.{size}": table for size, table in tables.items()}
    else:
        width = features[0].full.shape[-1]
        # Without images both are the same, and are kept once.
        alone = [row.alone if row.num_image_tokens else row.alone[:0] for row in features]
        tensors |= {
            "full": torch.cat([row.full for row in features]).cpu(),
            "full_ends": _ends([len(row.full) for row in features]),
            "alone": torch.cat([*alone, features[0].full.new_empty(0, width)]).cpu(),
            "alone_ends": _ends([len(row) for row in alone]),
            "image_tokens": torch.tensor([row.num_image_tokens for row in features], dtype=torch.int32),
        }
    try:
        with storage.atomic_path(path) as part:
            save_file(
                {name: tensor.contiguous() for name, tensor in tensors.items()},
                part,
                metadata={"shapes": json.dumps(shapes)},
            )
    except SafetensorError as error:
        raise OutputError(f"cannot write {path}: {' '.join(str(error).split()).lower()}") from error


def _tables(
    pictures: Sequence[Sequence[Tensor]], keys: Sequence[Key], *, first: int
) -> tuple[dict[str, Tensor], Tensor]:
    """Pictures by size, and for every row where each of its pictures went."""
    most = max((len(own) for own in pictures), default=0)
    places = torch.full((len(pictures), most), -1, dtype=torch.int32)
    by_size: dict[str, list[Tensor]] = {}
    for number, (own, key) in enumerate(zip(pictures, keys, strict=True)):
        for position, (picture, size) in enumerate(zip(own, sizes_of(key)[first:], strict=True)):
            table = by_size.setdefault(str(size), [])
            places[number, position] = len(table)
            table.append(picture)
    return {size: torch.stack(table) for size, table in by_size.items()}, places


def _ends(lengths: Sequence[int]) -> Tensor:
    return torch.tensor(lengths, dtype=torch.int64).cumsum(0)


class ShardFeed:
    """Rows from shards.

    Args:
        files: The shards in order.
        shard_size: Rows in each but the last.
        source: Where pixels come from when the shards hold no moments.

    Raises:
        CheckpointError: A file is missing or damaged.
    """

    def __init__(self, files: Sequence[Path], shard_size: int, source: Callable[[int], Row] | None) -> None:
        self._files, self._shard_size, self._source = list(files), shard_size, source
        self._open: dict[int, Mapping[str, Tensor]] = {}
        self._shapes: list[Key] = []
        numbers: dict[Key, int] = {}
        ids, lengths = [], []
        for path in files:
            shapes, shape_ids, own = _read_index(path)
            for key in shapes:
                if key not in numbers:
                    numbers[key] = len(self._shapes)
                    self._shapes.append(key)
            ids.append(np.array([numbers[key] for key in shapes], dtype=np.int32)[shape_ids])
            lengths.append(own)
        self._ids, self._lengths = np.concatenate(ids), np.concatenate(lengths)

    def __len__(self) -> int:
        return len(self._ids)

    def keys(self, indices: np.ndarray) -> list[Key]:
        """What decides which rows may share a batch."""
        return [self._shapes[number] for number in self._ids[indices]]

    def lengths(self, indices: np.ndarray) -> np.ndarray:
        """Words in the prompts of rows."""
        return self._lengths[indices]

    def row(self, index: int) -> Row:
        """Row `index`, as views of the mapped file.

        Raises:
            CheckpointError: Its file is gone.
        """
        shard, at = divmod(index, self._shard_size)
        tensors = self._tensors(shard)
        key, task, prompt, kept = json.loads(
            _span(tensors["words"], tensors["word_ends"], at).numpy().tobytes()
        )
        sizes = sizes_of(self._shapes[self._ids[index]])
        if "places" in tensors:
            places = tensors["places"][at].tolist()
            pictures = tuple(
                tensors[f"moments.{size}"][place] for size, place in zip(sizes, places, strict=False)
            )
        else:
            assert self._source is not None, "shards without moments need the samples themselves"
            pictures = self._source(index).pictures
        seen: tuple[Tensor, ...] = ()
        features = None
        if "full" in tensors:
            full, image_tokens = (
                _span(tensors["full"], tensors["full_ends"], at),
                int(tensors["image_tokens"][at]),
            )
            alone = _span(tensors["alone"], tensors["alone_ends"], at) if image_tokens else full
            features = RowFeatures(full, alone, image_tokens)
        else:
            places = tensors["seen_places"][at].tolist()
            seen = tuple(
                tensors[f"pixels.{size}"][place] for size, place in zip(sizes[1:], places, strict=False)
            )
        return Row(key, task, prompt, kept, pictures, seen, features)

    def _tensors(self, shard: int) -> Mapping[str, Tensor]:
        if shard not in self._open:
            path = self._files[shard]
            try:
                self._open[shard] = load_file(path)
            except (OSError, SafetensorError) as error:
                raise CheckpointError(
                    f"{path} cannot be read: {' '.join(str(error).split()).lower()}"
                ) from error
        return self._open[shard]


def _span(values: Tensor, ends: Tensor, at: int) -> Tensor:
    return values[int(ends[at - 1]) if at else 0 : int(ends[at])]


def _read_index(path: Path) -> tuple[list[Key], np.ndarray, np.ndarray]:
    try:
        with safe_open(str(path), framework="pt") as file:
            shapes = [tuple(key) for key in json.loads(file.metadata()["shapes"])]
            return shapes, file.get_tensor("shape_ids").numpy(), file.get_tensor("lengths").numpy()
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path} is no shard of features: {' '.join(str(error).split()).lower()}"
        ) from error
