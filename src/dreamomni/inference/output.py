"""Where results go: names of the files, whether they can be written, and the PNGs with the request inside."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dreamomni.data.coco import encode_mask
from dreamomni.errors import OutputError
from dreamomni.tasks.images import save_png
from dreamomni.tasks.request import Request
from dreamomni.tasks.result import ImageResult, Marks

REQUEST_KEY = "dreamomni.request"
MARKS_KEY = "dreamomni.marks"
"""The text key under which a PNG of a segmentation or detection says what was marked."""


def output_paths(path: Path, num_images: int) -> list[Path]:
    """Return one path per image: `path` itself for one, else `name-1.png`, `name-2.png` and so on."""
    if num_images == 1:
        return [path]
    return [path.with_name(f"{path.stem}-{number}{path.suffix}") for number in range(1, num_images + 1)]


def check_outputs(paths: Sequence[Path]) -> None:
    """Refuse paths that cannot be written, before a model spends minutes on what goes there.

    Raises:
        OutputError: A name does not end in .png, is a folder, or its folder is missing or read-only.
    """
    for path in paths:
        if path.suffix.lower() != ".png":
            raise OutputError(
                f"cannot write {path}: results are PNG files, so name it {path.stem or 'out'}.png"
            )
        if path.is_dir():
            raise OutputError(f"cannot write {path}: it is a folder, so name a file in it")
        check_folder(path.parent, f"cannot write {path}")


def check_folder(folder: Path, problem: str) -> None:
    """Refuse a folder in which no file can be made; `problem` begins the sentence.

    Raises:
        OutputError: The folder is missing, no folder, or takes no file.
    """
    if not folder.exists():
        raise OutputError(f"{problem}: there is no folder {folder}, so make it first")
    if not folder.is_dir():
        raise OutputError(f"{problem}: {folder} is not a folder")
    try:
        # Permission bits do not tell for root, full disks and read-only mounts; a file does.
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".dreamomni-"):
            pass
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"{problem}: no file can be made in {folder} ({reason})") from None


def save_result(result: ImageResult, request: Request, paths: Sequence[Path]) -> None:
    """Write the images as PNG files that carry a request and how it was served, and nothing of input files.

    The request inside asks for that one image. The same result gives the same bytes.

    Raises:
        OutputError: A file cannot be written.
    """
    asked = request.model_dump(mode="json", exclude_defaults=True, exclude={"num_images"})
    if request.images:
        asked["images"] = list(result.provenance.images)
    if request.mask is not None:
        asked["mask"] = result.provenance.structure["mask"]
    for number, (image, path) in enumerate(zip(result.images, paths, strict=True)):
        asked |= {"task": request.task, "seed": request.image_seed(number)}
        texts = {REQUEST_KEY: json.dumps(asked)} | result.provenance.png_metadata()
        if result.marks:
            texts[MARKS_KEY] = json.dumps(describe_marks(result.marks[number]))
        save_png(image, path, texts)


def describe_marks(marks: Marks) -> dict[str, Any]:
    """Return what was marked as JSON values.

    Returns:
        `colour`; `boxes`, each [x0, y0, x1, y1] in pixels; `mask`, run-length encoded as COCO does and
        pycocotools reads it ({"size": [H, W], "counts": text}), or None for a detection.
    """
    mask = None if marks.mask is None else encode_mask(np.asarray(marks.mask) > 0)
    return {"colour": marks.colour, "boxes": [list(box) for box in marks.boxes], "mask": mask}


def make_folder(folder: Path) -> Path:
    """Make a folder for many files, parents included, and return it.

    Raises:
        OutputError: It cannot be made, or takes no file.
    """
    problem = f"cannot write into {folder}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{problem}: {(error.strerror or str(error)).lower()}") from None
    check_folder(folder, problem)
    return folder
