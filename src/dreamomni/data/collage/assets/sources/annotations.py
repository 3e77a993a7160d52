"""Instances of annotated photographs, in the JSON format of COCO and LVIS."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.assets.candidate import (
    Candidate,
    Content,
    SkippedAsset,
    check_name,
    name_from,
)
from dreamomni.data.collage.assets.licences import Rights, licence_from_words
from dreamomni.data.collage.assets.sources.folders import read_json
from dreamomni.data.collage.assets.sources.masks import draw_segmentation
from dreamomni.data.collage.assets.sources.pixels import cut_out, is_in_pieces, read_bytes, read_photo
from dreamomni.errors import DataError


@dataclass(frozen=True, slots=True)
class InstanceFilter:
    """Which instances of photographs are worth cutting out.

    Attributes:
        min_px: Smallest longest side.
        truncated: Whether to take what the edge of its photograph cuts off.
        whole: Least part of an instance that must hang together.
        margin_px: How near to the edge counts as cut off.
    """

    min_px: int = 64
    truncated: bool = False
    whole: float = 0.9
    margin_px: int = 2

    def check(self, mask: npt.NDArray[np.uint8]) -> None:
        """Look at the mask of an instance, (H, W) uint8.

        Raises:
            SkippedAsset: It is not worth it.
        """
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not rows.size:
            raise SkippedAsset("empty mask")
        self.check_box(columns[0], rows[0], columns[-1] + 1, rows[-1] + 1, mask.shape[1], mask.shape[0])
        if is_in_pieces(mask, self.whole):
            raise SkippedAsset("in pieces")

    def check_box(self, x0: float, y0: float, x1: float, y1: float, width: int, height: int) -> None:
        """Look at the box of an instance, in pixels.

        Raises:
            SkippedAsset: It is not worth it.
        """
        if max(x1 - x0, y1 - y0) < self.min_px:
            raise SkippedAsset("too small")
        near = self.margin_px
        if not self.truncated and (x0 < near or y0 < near or x1 > width - near or y1 > height - near):
            raise SkippedAsset("truncated")


class CocoSource:
    """Instances of a COCO or LVIS file, named by their category.

    Each keeps the licence of its photograph where the file lists licences, and its address as attribution.

    Args:
        path: The JSON file.
        images: Folder of the photographs.
        rights: Licence and attribution of photographs of which the file says nothing.
        wanted: Which instances to take.

    Raises:
        DataError: The file is missing, damaged or of another format.
    """

    def __init__(self, path: Path, images: Path, rights: Rights, wanted: InstanceFilter) -> None:
        self._path, self._folder, self._rights, self._filter = path, images, rights, wanted
        tree = read_json(path)
        try:
            self._images: dict[Any, dict[str, Any]] = {image["id"]: image for image in tree["images"]}
            self._names = {category["id"]: str(category["name"]) for category in tree["categories"]}
            self._licences = {
                licence["id"]: licence_from_words(str(licence.get("name", "")), str(licence.get("url", "")))
                for licence in tree.get("licenses", [])
            }
            # Instances of one photograph follow each other, so that it is decoded once.
            self._instances = sorted(tree["annotations"], key=lambda a: (a["image_id"], a["id"]))
            for instance in self._instances:
                self._check(instance)
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path} is not an annotation file of COCO or LVIS: it lacks {error} "
                "(images, categories and annotations with id, image_id, category_id and segmentation)"
            ) from None
        self._open: tuple[Any, bytes, npt.NDArray[np.uint8]] | None = None

    def __len__(self) -> int:
        return len(self._instances)

    def __iter__(self) -> Iterator[Candidate]:
        for instance in self._instances:
            image = self._images[instance["image_id"]]
            origin = f"annotation {instance['id']} of {self._path}"
            yield Candidate(
                id=f"{image['id']}/{instance['id']}",
                name=check_name(name_from(self._names[instance["category_id"]]), origin),
                kind="cutout",
                rights=self._rights_of(image).over(self._rights),
                origin=origin,
                load=partial(self._load, instance, image, origin),
            )

    def _check(self, instance: dict[str, Any]) -> None:
        """Find every dangling reference before the first photograph is read."""
        instance["segmentation"]
        for kind, known in (("image", self._images), ("category", self._names)):
            wanted = instance[f"{kind}_id"]
            if wanted not in known:
                raise DataError(
                    f"annotation {instance['id']} of {self._path} is of {kind} {wanted}, which the file does "
                    "not list"
                )

    def _rights_of(self, image: dict[str, Any]) -> Rights:
        address = image.get("flickr_url") or image.get("coco_url") or image.get("url") or ""
        return Rights(self._licences.get(image.get("license"), ""), str(address))

    def _file(self, image: dict[str, Any]) -> Path:
        name = image.get("file_name") or str(image.get("coco_url", "")).rpartition("/")[2]
        if not name:
            raise DataError(f"image {image['id']} of {self._path} has neither file_name nor coco_url")
        return self._folder / name

    def _load(self, instance: dict[str, Any], image: dict[str, Any], origin: str) -> Content:
        if instance.get("iscrowd"):
            raise SkippedAsset("crowd")
        width, height = image.get("width"), image.get("height")
        box = instance.get("bbox")
        if width and height and isinstance(box, list) and len(box) == 4:
            # Most instances are left out by their box, without decoding a pixel.
            self._filter.check_box(box[0], box[1], box[0] + box[2], box[1] + box[3], width, height)
        source, photo = self._photo(image, origin)
        if (width, height) not in ((None, None), (photo.shape[1], photo.shape[0])):
            raise DataError(
                f"{self._file(image)} is {photo.shape[1]}x{photo.shape[0]}, but {self._path} says "
                f"{width}x{height}"
            )
        mask = draw_segmentation(instance["segmentation"], photo.shape[0], photo.shape[1], origin)
        self._filter.check(mask)
        return Content(source + repr(instance["segmentation"]).encode(), pixels=cut_out(photo, mask))

    def _photo(self, image: dict[str, Any], origin: str) -> tuple[bytes, npt.NDArray[np.uint8]]:
        if self._open is None or self._open[0] != image["id"]:
            file = self._file(image)
            if not file.is_file():
                raise DataError(
                    f"{origin} needs the image {file}, which does not exist; give its folder as --images"
                )
            self._open = (image["id"], read_bytes(file), read_photo(file))
        return self._open[1:]
