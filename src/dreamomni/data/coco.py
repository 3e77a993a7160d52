"""Instances in COCO's format: boxes, areas and exact masks read off the id maps of samples.

The masks are run-length encoded as pycocotools writes and reads them; the package itself is not needed here.
A picture is listed when its sample has an id map for it, with or without anything on it.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from dreamomni.data.folder import read_samples
from dreamomni.data.shards.codecs import extension
from dreamomni.data.shards.members import codecs_of
from dreamomni.data.shards.reader import ShardFolder, is_shard_folder
from dreamomni.errors import DataError
from dreamomni.storage import write_json
from dreamomni.tasks.sample import ObjectLabel, TrainingSample

Pictures = Literal["clean", "target", "inputs", "all"]
"""Which pictures of a sample to list: "clean" is the target, but image 1 where marks are drawn into it."""
PICTURES: tuple[str, ...] = get_args(Pictures)

_MARKED_TASKS = ("segment", "detect")
_SPDX_ID = re.compile(r"(?!LicenseRef)[A-Za-z0-9.-]+")
_WRITTEN = "text"


def write_coco(folder: str | Path, path: str | Path, pictures: Pictures = "clean") -> dict[str, int]:
    """Write the annotations of a folder of samples: loose files or finished shards.

    Args:
        folder: What `dreamomni data sample` or `dreamomni data generate` made.
        path: The JSON file to write.
        pictures: Which pictures of each sample.

    Returns:
        How many images, annotations and categories were written.

    Raises:
        DataError: The folder has no samples, a file is damaged, or no picture has an id map.
        OutputError: The file cannot be written.
    """
    image_format = "png"
    samples: Iterable[TrainingSample]
    if is_shard_folder(folder):
        shards = ShardFolder(folder)
        samples, image_format = shards, shards.dataset["identity"]["image_format"]
    else:
        samples = read_samples(folder)
    annotations = coco_annotations(samples, pictures, image_format=image_format)
    if not annotations["images"]:
        raise DataError(
            f"{folder} has no {pictures} pictures with instances: choose others of {', '.join(PICTURES)}"
        )
    write_json(path, annotations)
    return {key: len(annotations[key]) for key in ("images", "annotations", "categories")}


def coco_annotations(
    samples: Iterable[TrainingSample], pictures: Pictures = "clean", *, image_format: Any = "png"
) -> dict[str, Any]:
    """Build the annotations of samples.

    Args:
        samples: Read once, one after another.
        pictures: Which pictures of each.
        image_format: How they are stored, which decides the extension of the file names.

    Returns:
        A JSON-able dictionary: `info`, `licenses`, `images`, `annotations` and `categories` (sorted by name).
        File names are the members of a sample (`<key>.target.png`). Annotations also carry what COCO has no
        field for: `instance_id`, `colour`, `visibility`, and `text` for written words.
    """
    licences: dict[str, int] = {}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    categories: dict[str, str] = {}
    for sample in samples:
        target_codec, image_codec = codecs_of(sample, image_format)
        for member, ids, labels in _pictures_of(sample, pictures):
            licence = " AND ".join(sample.licences)
            images.append(
                {
                    "id": len(images) + 1,
                    "file_name": f"{sample.key}.{member}."
                    + extension(target_codec if member == "target" else image_codec),
                    "width": int(ids.shape[1]),
                    "height": int(ids.shape[0]),
                    "license": licences.setdefault(licence, len(licences) + 1),
                }
            )
            for label in labels:
                name = _WRITTEN if label.kind == "text" else label.name
                categories.setdefault(name, label.kind)
                annotations.append(_annotation(label, name, ids, len(images), len(annotations) + 1))
    numbers = {name: number for number, name in enumerate(sorted(categories), start=1)}
    for annotation in annotations:
        annotation["category_id"] = numbers[annotation["category_id"]]
    return {
        "info": {"description": "Instances of dreamomni samples, read off their id maps", "version": "1"},
        "licenses": [
            {"id": number, "name": name, "url": _licence_url(name)} for name, number in licences.items()
        ],
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": number, "name": name, "supercategory": categories[name]}
            for name, number in numbers.items()
        ],
    }


def encode_mask(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Run-length encode a mask as COCO does: by columns, lengths from the second on as differences, base 32.

    Args:
        mask: (H, W) bool.

    Returns:
        `{"size": [H, W], "counts": text}`, the compressed form of pycocotools.
    """
    height, width = mask.shape
    flat = mask.T.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    # The first run is one of zeros, of length 0 where the mask begins at once.
    starts = np.concatenate(([0, 0] if flat[0] else [0], edges, [flat.size]))
    runs = np.diff(starts).tolist()
    return {"size": [height, width], "counts": "".join(_letters(runs))}


def _letters(runs: list[int]) -> Iterator[str]:
    for place, run in enumerate(runs):
        rest = run - runs[place - 2] if place > 2 else run
        while True:
            digit = rest & 31
            rest >>= 5
            # A digit's fifth bit is the sign, so the last one must agree with what is left.
            last = rest == (-1 if digit & 16 else 0)
            yield chr(48 + (digit if last else digit | 32))
            if last:
                break


def _pictures_of(
    sample: TrainingSample, pictures: Pictures
) -> Iterator[tuple[str, npt.NDArray[np.int16], tuple[ObjectLabel, ...]]]:
    marked = sample.task in _MARKED_TASKS
    if sample.ids is not None and (pictures in ("target", "all") or (pictures == "clean" and not marked)):
        yield "target", sample.ids, sample.objects
    if sample.task == "control":
        return  # a map shows no things as they look
    for number, (ids, labels) in enumerate(zip(sample.image_ids, sample.image_objects, strict=True), start=1):
        wanted = pictures in ("inputs", "all") or (pictures == "clean" and marked and number == 1)
        if wanted and ids is not None:
            yield f"image{number}", ids, labels


def _annotation(
    label: ObjectLabel, category: str, ids: npt.NDArray[np.int16], image_id: int, number: int
) -> dict[str, Any]:
    box = label.box
    found = {
        "id": number,
        "image_id": image_id,
        "category_id": category,
        "bbox": [box.x0, box.y0, box.width, box.height],
        "area": label.area,
        "iscrowd": 0,
        "segmentation": encode_mask(ids == label.instance_id),
        "instance_id": label.instance_id,
        "colour": label.colour,
        "visibility": round(label.visibility, 4),
    }
    return found | {"text": label.name} if label.kind == "text" else found


def _licence_url(name: str) -> str:
    return f"https://spdx.org/licenses/{name}.html" if _SPDX_ID.fullmatch(name) else ""
