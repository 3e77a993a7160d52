"""Samples as loose files for people to look at: the members that a shard holds, in one folder.

They are `<key>.target.png`, `.image1.png` and on, `.mask.png`, `.ids.png` (instance numbers of the target),
`.ids1.png` and on (of the input images), `.txt` (the instruction), `.json` (the rest).
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from dreamomni.errors import DataError
from dreamomni.storage import write_json, write_text
from dreamomni.tasks.geometry import Box
from dreamomni.tasks.images import save_png
from dreamomni.tasks.sample import DragLabel, ObjectLabel, Relation, TrainingSample

FORMAT_VERSION = 2
_PIXELS = ("target", "images", "mask", "ids", "image_ids")


def write_samples(samples: Sequence[TrainingSample], folder: str | Path) -> None:
    """Write samples; the JSON file of each comes last, so that a sample without one is unfinished.

    Raises:
        OutputError: A file cannot be written.
    """
    folder = Path(folder)
    for sample in samples:
        pictures = {f"image{number}": image for number, image in enumerate(sample.images, start=1)}
        pictures["target"] = sample.target
        if sample.mask is not None:
            pictures["mask"] = sample.mask
        instances = {"ids": sample.ids}
        instances |= {f"ids{number}": ids for number, ids in enumerate(sample.image_ids, start=1)}
        pictures |= {name: ids.astype(np.uint8) for name, ids in instances.items() if ids is not None}
        for member, pixels in pictures.items():
            save_png(Image.fromarray(pixels), folder / f"{sample.key}.{member}.png", {})
        write_text(folder / f"{sample.key}.txt", sample.instruction + "\n")
        facts = {
            field.name: getattr(sample, field.name)
            for field in dataclasses.fields(sample)
            if field.name not in _PIXELS
        }
        facts["objects"] = [_as_json(label) for label in sample.objects]
        facts["image_objects"] = [[_as_json(label) for label in labels] for labels in sample.image_objects]
        facts["relations"] = [dataclasses.asdict(relation) for relation in sample.relations]
        facts["drags"] = [dataclasses.asdict(drag) for drag in sample.drags]
        record = {"version": FORMAT_VERSION, **facts, "details": dict(sample.details)}
        record |= {"num_images": len(sample.images), "members": sorted(pictures)}
        write_json(folder / f"{sample.key}.json", record)


def read_samples(folder: str | Path) -> list[TrainingSample]:
    """Read what `write_samples` wrote, in the order of the keys.

    Raises:
        DataError: The folder is missing or holds no sample, or a file of a sample is missing or damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}: name one that `dreamomni data sample` wrote")
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise DataError(f"{folder} holds no samples: name a folder that `dreamomni data sample` wrote")
    return [_read(path) for path in paths]


def _read(path: Path) -> TrainingSample:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if record.pop("version") != FORMAT_VERSION:
            raise DataError(f"{path} has another version than this release reads ({FORMAT_VERSION})")
        num_images, present = record.pop("num_images"), set(record.pop("members"))
        members = [f"image{number}" for number in range(1, num_images + 1)]
        return TrainingSample(
            target=_pixels(path, "target"),
            images=tuple(_pixels(path, member) for member in members),
            mask=_pixels(path, "mask") if "mask" in present else None,
            ids=_ids(path, "ids") if "ids" in present else None,
            image_ids=tuple(
                _ids(path, f"ids{number}") if f"ids{number}" in present else None
                for number in range(1, num_images + 1)
            ),
            objects=tuple(_as_label(label) for label in record.pop("objects")),
            image_objects=tuple(
                tuple(_as_label(label) for label in labels) for labels in record.pop("image_objects")
            ),
            drags=tuple(DragLabel(**drag) for drag in record.pop("drags")),
            assets=tuple(record.pop("assets")),
            relations=tuple(Relation(**relation) for relation in record.pop("relations")),
            licences=tuple(record.pop("licences")),
            **record,
        )
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"a file of sample {path.stem} cannot be read: {error}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is not the record of a sample: {error!r}") from None


def _pixels(path: Path, member: str) -> np.ndarray:
    with Image.open(path.with_suffix(f".{member}.png"), formats=("PNG",)) as image:
        return np.array(image)


def _ids(path: Path, member: str) -> np.ndarray:
    return _pixels(path, member).astype(np.int16)


def _as_json(label: ObjectLabel) -> dict[str, Any]:
    return dataclasses.asdict(label) | {"box": list(label.box)}


def _as_label(record: dict[str, Any]) -> ObjectLabel:
    return ObjectLabel(**record | {"box": Box(*record["box"])})
