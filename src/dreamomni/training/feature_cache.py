"""What the frozen networks say of samples, computed once ("we first encoded prompts into VLM features").

A cache lies in a folder named by the hash of all that decides its content: samples, weights, precision. It is
written shard by shard, and the manifest comes last: a build that was killed goes on with the first shard that
is missing. With moments and text in it, training needs neither pixels nor the VLM.

Losses are the same with and without a cache: both sides take their numbers from `training.frozen`.
"""

import hashlib
import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dreamomni import storage
from dreamomni.data.order import Key, draw_counts
from dreamomni.errors import CheckpointError, ConfigError, DreamOmniError
from dreamomni.training import processes
from dreamomni.training.feature_shards import ShardFeed, write_shard
from dreamomni.training.frozen import (
    FORMAT,
    FrozenAutoencoder,
    FrozenEncoders,
    num_image_tokens,
    prompt_inputs,
)
from dreamomni.training.lora_config import FeatureCacheConfig, Words
from dreamomni.training.mixture import Mixture
from dreamomni.training.processes import World
from dreamomni.training.rows import LiveFeed, Row, RowFeatures
from dreamomni.training.words import spoken

log = logging.getLogger(__name__)

_LARGEST_SHARD = 1024
_SHARD_PIXELS = 2**28
_LOOKED_AT = 64
"""Shapes that decide the size of shards."""
_HASHED_BYTES = 4 * 2**30
"""Caches up to this size are compared with their hashes when they are opened, larger ones by file size."""
_NULL = "null.safetensors"
_SECONDS_BETWEEN_LINES = 30.0


class Cached(Protocol):
    """What a cache reads of the settings of a task."""

    @property
    def feature_cache(self) -> FeatureCacheConfig | None:
        """What is kept, and where."""
        ...

    @property
    def words(self) -> Words:
        """Which words are kept."""
        ...

    @property
    def frozen_precision(self) -> str:
        """Of the networks."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What a cache holds.

    Attributes:
        feeds: The samples, one feed for each part of the data; their lengths are those of the cache.
        identities: What decides the samples of each.
        weights: Hashes of the networks: `moments` and `text`, each None when it is left out.
        precision: Of the networks.
    """

    feeds: Sequence[LiveFeed]
    identities: Sequence[Mapping[str, Any]]
    weights: Mapping[str, str | None]
    precision: str

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides the content, as JSON values."""
        return {
            "format": FORMAT,
            "samples": [
                {"set": dict(identity), "num_samples": len(feed)}
                for identity, feed in zip(self.identities, self.feeds, strict=True)
            ],
            "weights": dict(self.weights),
            "precision": self.precision,
            "shard_sizes": self.shard_sizes,
        }

    @property
    def shard_sizes(self) -> list[int]:
        """Rows in the shards of each feed: fewer where pictures are large."""
        sizes = []
        for feed in self.feeds:
            keys = feed.keys(np.arange(min(len(feed), _LOOKED_AT)))
            largest = max(sum(a * b for a, b in zip(key[::2], key[1::2], strict=True)) for key in keys)
            sizes.append(max(16, min(_LARGEST_SHARD, _SHARD_PIXELS // largest)))
        return sizes

    @property
    def key(self) -> str:
        """Hash (hex) of the identity."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:16]


class FeatureCache:
    """A finished cache.

    Attributes:
        feeds: Its rows, one feed for each part of the data.
        null: Features (T, D) of the empty prompt without images, or None when no text is kept.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        moments = plan.weights["moments"] is not None
        self.feeds = [
            ShardFeed(_files(folder, number, len(live), size), size, None if moments else live.row)
            for number, (live, size) in enumerate(zip(plan.feeds, plan.shard_sizes, strict=True))
        ]
        text = plan.weights["text"] is not None
        self.null: Tensor | None = load_file(folder / _NULL)["text"] if text else None


def share_out(total: int | None, weights: Sequence[float], lengths: Sequence[int]) -> list[int]:
    """How many samples of every part a cache holds: by weight, and no more than the part has.

    Raises:
        ConfigError: A part gets none.
    """
    if total is None:
        return list(lengths)
    counts = [min(count, own) for count, own in zip(draw_counts(weights, total), lengths, strict=True)]
    if 0 in counts:
        raise ConfigError(
            f"feature_cache.num_samples {total:,} leaves no sample for part {counts.index(0) + 1} of the "
            "data: ask for more"
        )
    return counts


def open_cache(
    config: Cached,
    mixture: Mixture,
    weights: Mapping[str, str | None],
    frozen: FrozenAutoencoder,
    run_dir: Path,
    *,
    num_workers: int,
) -> FeatureCache:
    """The cache of a run, as its recipe asks for it.

    Args:
        config: Of the task; it has a `feature_cache`.
        mixture: The data.
        weights: Hashes of the networks: `moments` and `text`, each None when it is left out.
        frozen: Computes what is missing.
        run_dir: Holds the cache unless the recipe names a folder.
        num_workers: See `load_or_build`.

    Raises:
        ConfigError: A part of the data gets no sample.
        CheckpointError: Features are missing and may not be built, or are damaged.
    """
    cache = config.feature_cache
    assert cache is not None
    lengths = share_out(cache.num_samples, mixture.weights, [len(own) for own in mixture.sets])
    plan = Plan(
        [LiveFeed(own, length, config.words) for own, length in zip(mixture.sets, lengths, strict=True)],
        [{**own, **spoken(config.words)} for own in mixture.identities],
        weights,
        config.frozen_precision,
    )
    root = run_dir / "features" if cache.path is None else Path(cache.path)
    return load_or_build(root, plan, frozen, cache, num_workers=num_workers)


def load_or_build(
    root: Path, plan: Plan, frozen: FrozenAutoencoder, config: FeatureCacheConfig, *, num_workers: int
) -> FeatureCache:
    """Open the cache of a plan, building what is missing; the processes of a run share the work.

    Args:
        root: Folder of caches.
        plan: What the cache holds.
        frozen: Computes it; for text it must be `FrozenEncoders`.
        config: Whether it may be built.
        num_workers: Processes that draw and read samples; the content does not depend on it.

    Raises:
        CheckpointError: Features are missing and may not be built, or are damaged.
        OutputError: The folder cannot be written.
        DataError: A sample cannot be read.
    """
    folder, world = root / plan.key, processes.current()
    with world.together():
        if not (folder / storage.MANIFEST_NAME).exists():
            if not config.build:
                raise CheckpointError(_what_is_missing(root, folder, plan))
            _build(folder, plan, frozen, num_workers, world)
    with world.together():
        if world.is_main and not (folder / storage.MANIFEST_NAME).exists():
            storage.write_manifest(folder, {"kind": "features"})
    _verify(folder)
    return FeatureCache(folder, plan)


def _files(folder: Path, number: int, length: int, size: int) -> list[Path]:
    return [folder / f"part-{number}-{shard:05d}.safetensors" for shard in range(-(-length // size))]


def _verify(folder: Path) -> None:
    files = storage.read_manifest(folder)["files"]
    if sum(file["size"] for file in files.values()) <= _HASHED_BYTES:
        storage.verify_manifest(folder)
        return
    for name, file in files.items():
        path = folder / name
        found = path.stat().st_size if path.is_file() else 0
        if found != file["size"]:
            raise CheckpointError(f"{path} has {found} bytes, but the manifest says {file['size']}")


def _what_is_missing(root: Path, folder: Path, plan: Plan) -> str:
    files = [
        path
        for number, (feed, size) in enumerate(zip(plan.feeds, plan.shard_sizes, strict=True))
        for path in _files(folder, number, len(feed), size)
    ]
    missing = sum(not path.exists() for path in files)
    others = [other for path in sorted(root.glob("*/identity.json")) if (other := _read(path)) is not None]
    hint = f"; what lies beside it was made with {_difference(others[0], plan.identity)}" if others else ""
    return (
        f"features are missing in {folder}: {missing} of {len(files)} shards{hint}; say feature_cache.build: "
        "true to have them computed, or name the path of those that fit"
    )


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    for name in ("moments", "text"):
        other, ours = found.get("weights", {}).get(name), wanted["weights"][name]
        if other != ours:
            what = "an autoencoder" if name == "moments" else "a VLM"
            return f"{what} of hash {str(other)[:12]}, and this is {str(ours)[:12]}"
    counts = [sum(part["num_samples"] for part in one.get("samples", ())) for one in (found, wanted)]
    return f"{counts[0]:,} samples of other data, and these are {counts[1]:,}"


@dataclass(frozen=True, slots=True)
class _Failed:
    """An error of ours from a worker, carried as a value: torch would wrap it into a traceback."""

    kind: type[DreamOmniError]
    message: str


class _Rows(Dataset[Any]):
    def __init__(self, feed: LiveFeed) -> None:
        self.feed = feed

    def __getitem__(self, index: int) -> Any:
        try:
            row = self.feed.row(index)
        except DreamOmniError as error:
            return _Failed(type(error), str(error))
        # Arrays travel as bytes; every tensor would take a file descriptor.
        return row.key, row.task, row.prompt, row.kept, [picture.numpy() for picture in row.pictures]


def _draw(feed: LiveFeed, indices: Sequence[int], num_workers: int) -> Iterator[Row]:
    loader: DataLoader[Any] = DataLoader(
        _Rows(feed),
        sampler=indices,
        batch_size=None,
        num_workers=num_workers,
        prefetch_factor=64 if num_workers else None,
        generator=torch.Generator(),
        collate_fn=_as_it_is,
    )
    for drawn in loader:
        if isinstance(drawn, _Failed):
            raise drawn.kind(drawn.message)
        key, task, prompt, kept, arrays = drawn
        pictures = tuple(torch.from_numpy(array) for array in arrays)
        yield Row(key, task, prompt, kept, pictures, pictures[1:])


def _as_it_is(drawn: Any) -> Any:
    return drawn


def _build(folder: Path, plan: Plan, frozen: FrozenAutoencoder, num_workers: int, world: World) -> None:
    """Write this process's share of the missing shards."""
    text = plan.weights["text"] is not None
    if world.is_main:
        storage.write_json(folder / "identity.json", plan.identity)
    if world.is_main and text:
        assert isinstance(frozen, FrozenEncoders), "text takes a VLM"
        null = frozen.features([prompt_inputs(frozen.encoder, "", [])])[0].cpu()
        with storage.atomic_path(folder / _NULL) as part:
            save_file({"text": null.contiguous()}, part)
    jobs = [
        (feed, path, range(first, min(first + size, len(feed))))
        for number, (feed, size) in enumerate(zip(plan.feeds, plan.shard_sizes, strict=True))
        for path, first in zip(
            _files(folder, number, len(feed), size), range(0, len(feed), size), strict=True
        )
    ]
    missing = [job for job in jobs[world.rank :: world.size] if not job[1].exists()]
    num_left_out = 0
    with _Meter(sum(len(indices) for _, _, indices in missing), world) as meter:
        for feed in plan.feeds:
            mine = [job for job in missing if job[0] is feed]
            drawn = _draw(feed, [index for _, _, indices in mine for index in indices], num_workers)
            for _, path, indices in mine:
                rows: list[Row] = []
                for row in drawn:
                    rows.append(row)
                    meter.advance()
                    if len(rows) == len(indices):
                        break
                num_left_out += sum(not row.kept for row in rows)
                keys: list[Key] = feed.keys(np.array(indices))
                moments = frozen.moments if plan.weights["moments"] is not None else None
                write_shard(
                    path, rows, keys, moments=moments, features=_features(rows, frozen) if text else None
                )
    if num_left_out:
        log.warning(
            "features: %d samples were left out, because their data recipe has no room for them", num_left_out
        )


def _features(rows: Sequence[Row], frozen: FrozenAutoencoder) -> list[RowFeatures]:
    assert isinstance(frozen, FrozenEncoders), "text takes a VLM"
    encoder = frozen.encoder
    inputs = [prompt_inputs(encoder, row.prompt, row.seen) for row in rows]
    full = frozen.features(inputs)
    with_images = [number for number, row in enumerate(rows) if row.seen]
    found = frozen.features([prompt_inputs(encoder, rows[number].prompt, []) for number in with_images])
    alone = dict(zip(with_images, found, strict=True))
    return [
        RowFeatures(full[number], alone.get(number, full[number]), num_image_tokens(inputs[number]))
        for number in range(len(rows))
    ]


class _Meter:
    """Shows how many rows are done, at what rate, and how long the rest will take."""

    def __init__(self, total: int, world: World) -> None:
        self.total, self.done = total, 0
        self.start = self.said = time.monotonic()
        columns = (
            TextColumn("features"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
        )
        terminal = sys.stderr.isatty()
        self._bar = Progress(*columns, TimeRemainingColumn(), disable=not (terminal and world.is_main))
        self._task = self._bar.add_task("features", total=total, rate="")
        self._lines = world.is_main and not terminal

    def __enter__(self) -> "_Meter":
        self._bar.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._bar.stop()

    def advance(self) -> None:
        """One more row is done."""
        self.done += 1
        now = time.monotonic()
        rate = self.done / max(now - self.start, 1e-9)
        self._bar.update(self._task, completed=self.done, rate=f"{rate:.0f} samples/s")
        if self._lines and (now - self.said > _SECONDS_BETWEEN_LINES or self.done == self.total):
            self.said = now
            left = round((self.total - self.done) / rate)
            sys.stderr.write(
                f"features {self.done}/{self.total}  {rate:.0f} samples/s  "
                f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} left\n"
            )
            sys.stderr.flush()
