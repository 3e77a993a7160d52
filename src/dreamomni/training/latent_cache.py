"""Collage samples with their latents, computed once: prompts, moments of the autoencoder, input pixels.

Moments are stored, not draws from them, so that the noise of the autoencoder stays fresh. A cache is built in
chunks; an interrupted build goes on with the first missing chunk, and the manifest comes last.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader

from dreamomni import storage
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.dataset import CollageDataset, to_pixels
from dreamomni.errors import CheckpointError, DataError
from dreamomni.models.autoencoder import Autoencoder
from dreamomni.tasks.sample import TrainingSample

log = logging.getLogger(__name__)

CHUNK = 1024
_ENCODE_BATCH = 64


@dataclass(frozen=True, slots=True)
class SampleGroup:
    """Samples with equally many input images of one size.

    Attributes:
        prompts: What the user would say.
        kinds: Kind of each sample.
        keys: Key of each sample.
        lengths: (N,) words in each prompt.
        target_moments: (N, 2C, h, w) float16 raw moments of the targets.
        image_moments: (N, number of images, 2C, h, w) float16.
        image_pixels: (N, number of images, H, W, 3) uint8.
    """

    prompts: list[str]
    kinds: list[str]
    keys: list[str]
    lengths: np.ndarray
    target_moments: Tensor
    image_moments: Tensor
    image_pixels: Tensor

    @property
    def num_images(self) -> int:
        """Input images of every sample."""
        return self.image_moments.shape[1]

    def __len__(self) -> int:
        return len(self.prompts)


def load_or_build(
    folder: Path,
    engine: CollageEngine,
    autoencoder: Autoencoder,
    *,
    seed: int,
    num_samples: int,
    identity: Mapping[str, Any],
    num_workers: int = 1,
) -> list[SampleGroup]:
    """Return the samples of a cache, grouped by the number of input images, building what is missing.

    Args:
        folder: Where the cache is.
        engine: Draws the samples.
        autoencoder: Encodes their pixels.
        seed: Of the samples.
        num_samples: How many.
        identity: Whatever else decides the content; a cache made with another identity is refused.
        num_workers: Processes that draw; the content does not depend on it.

    Raises:
        CheckpointError: The cache was made from other data or another autoencoder, or is damaged.
        OutputError: The folder cannot be written.
    """
    identity = {**identity, "seed": seed, "num_samples": num_samples, "chunk": CHUNK}
    identity_path = folder / "identity.json"
    folder.mkdir(parents=True, exist_ok=True)
    if identity_path.exists():
        if json.loads(identity_path.read_text(encoding="utf-8")) != json.loads(json.dumps(identity)):
            raise CheckpointError(
                f"{folder} holds latents of other data or another autoencoder; "
                "delete it or use another run folder"
            )
    else:
        storage.write_json(identity_path, identity)
    if not (folder / storage.MANIFEST_NAME).exists():
        _build(folder, engine, autoencoder, seed, num_samples, num_workers)
        storage.write_manifest(folder, {"kind": "latents"})
    storage.verify_manifest(folder)
    return _group(_read(folder, first) for first in range(0, num_samples, CHUNK))


def _chunk_path(folder: Path, first: int) -> Path:
    return folder / f"chunk-{first:08d}.safetensors"


def _build(
    folder: Path,
    engine: CollageEngine,
    autoencoder: Autoencoder,
    seed: int,
    num_samples: int,
    num_workers: int,
) -> None:
    missing = [first for first in range(0, num_samples, CHUNK) if not _chunk_path(folder, first).exists()]
    indices = [index for first in missing for index in range(first, min(first + CHUNK, num_samples))]
    dataset = CollageDataset(engine, seed, num_samples)
    loader: DataLoader[TrainingSample] = DataLoader(
        dataset,
        sampler=indices,
        batch_size=None,
        num_workers=num_workers,
        prefetch_factor=64 if num_workers else None,
    )
    columns = (
        TextColumn("latents"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress, torch.no_grad():
        bar = progress.add_task("latents", total=len(indices))
        samples: list[TrainingSample] = []
        for sample, index in zip(loader, indices, strict=True):
            samples.append(sample)
            progress.advance(bar)
            if index % CHUNK == CHUNK - 1 or index == num_samples - 1:
                first = index - index % CHUNK
                _write(_chunk_path(folder, first), samples, autoencoder)
                log.info("latents: %d of %d samples encoded", index + 1, num_samples)
                samples = []


def _write(path: Path, samples: Sequence[TrainingSample], autoencoder: Autoencoder) -> None:
    images = [image for sample in samples for image in sample.images]
    shapes = {array.shape for array in (*(sample.target for sample in samples), *images)}
    if len(shapes) != 1:
        raise DataError(
            f"the latent cache needs images of one size, got {sorted(shapes)}; give the data recipe one size"
        )
    tensors = {"target_moments": _encode([sample.target for sample in samples], autoencoder)}
    if images:
        tensors["image_moments"] = _encode(images, autoencoder)
        tensors["image_pixels"] = torch.from_numpy(np.stack(images))
    rows = [
        {"prompt": sample.instruction, "kind": sample.kind, "key": sample.key, "images": len(sample.images)}
        for sample in samples
    ]
    with storage.atomic_path(path) as part:
        save_file(tensors, part, metadata={"samples": json.dumps(rows)})


def _encode(images: Sequence[np.ndarray], autoencoder: Autoencoder) -> Tensor:
    parts = []
    for first in range(0, len(images), _ENCODE_BATCH):
        pixels = torch.stack([to_pixels(image) for image in images[first : first + _ENCODE_BATCH]])
        moments = autoencoder.encode_moments(pixels.to(memory_format=torch.channels_last))
        parts.append(moments.to("cpu", torch.float16).contiguous())
    return torch.cat(parts)


def _read(folder: Path, first: int) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    from safetensors import safe_open

    path = _chunk_path(folder, first)
    with safe_open(str(path), framework="pt") as file:
        rows: list[dict[str, Any]] = json.loads(file.metadata()["samples"])
    return rows, load_file(path)


def _group(chunks: Iterator[tuple[list[dict[str, Any]], dict[str, Tensor]]]) -> list[SampleGroup]:
    rows_of: dict[int, list[dict[str, Any]]] = {}
    parts_of: dict[int, list[tuple[Tensor, Tensor, Tensor]]] = {}
    for rows, tensors in chunks:
        counts = np.array([row["images"] for row in rows])
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        moments = tensors["target_moments"]
        for count in np.unique(counts):
            chosen = np.nonzero(counts == count)[0]
            at = torch.from_numpy(starts[chosen][:, None] + np.arange(count)[None, :])
            image_moments = tensors["image_moments"][at] if count else moments.new_empty(len(chosen), 0)
            image_pixels = (
                tensors["image_pixels"][at] if count else torch.empty(len(chosen), 0, dtype=torch.uint8)
            )
            rows_of.setdefault(int(count), []).extend(rows[index] for index in chosen)
            parts_of.setdefault(int(count), []).append(
                (moments[torch.from_numpy(chosen)], image_moments, image_pixels)
            )
    groups = []
    for count in sorted(rows_of):
        target_moments, image_moments, image_pixels = (
            torch.cat(part) for part in zip(*parts_of[count], strict=True)
        )
        prompts = [row["prompt"] for row in rows_of[count]]
        groups.append(
            SampleGroup(
                prompts=prompts,
                kinds=[row["kind"] for row in rows_of[count]],
                keys=[row["key"] for row in rows_of[count]],
                lengths=np.array([len(prompt.split()) for prompt in prompts]),
                target_moments=target_moments,
                image_moments=image_moments,
                image_pixels=image_pixels,
            )
        )
    return groups
