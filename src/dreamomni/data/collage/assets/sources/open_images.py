"""Instances of Open Images: photographs, masks, and tables (CSV) of instances, classes and licences."""

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.assets.candidate import Candidate, Content, check_name, name_from
from dreamomni.data.collage.assets.licences import Rights, licence_from_words
from dreamomni.data.collage.assets.sources.annotations import InstanceFilter
from dreamomni.data.collage.assets.sources.pixels import cut_out, read_bytes, read_photo, resized_mask
from dreamomni.errors import DataError, RequestError
from dreamomni.tasks.images import load_image

_MASK_COLUMNS = {"MaskPath", "ImageID", "LabelName", "BoxXMin", "BoxXMax", "BoxYMin", "BoxYMax"}


class OpenImagesSource:
    """Instances of a folder of Open Images, as the data set names its files.

    The folder holds `*segmentation*.csv` (instances), `*class-descriptions*.csv` (names), `*image*.csv` with
    the columns ImageID, License, Author, Title and OriginalLandingURL (if there is none, the rights given
    hold for all), and the photographs and masks anywhere below.

    Args:
        folder: The folder.
        rights: Licence and attribution of photographs that no table lists.
        wanted: Which instances to take.

    Raises:
        DataError: A table is missing or lacks a column.
    """

    def __init__(self, folder: Path, rights: Rights, wanted: InstanceFilter) -> None:
        self._folder, self._rights, self._filter = folder, rights, wanted
        self._names = self._read_names()
        self._about = self._read_rights()
        files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg", ".png"))
        self._files = {file.name: file for file in files}
        self._rows: list[dict[str, str]] = []
        for path in self._tables("segmentation"):
            self._rows += _rows(path, _MASK_COLUMNS)
        self._rows.sort(key=lambda row: (row["ImageID"], row["MaskPath"]))
        self._open: tuple[str, bytes, npt.NDArray[np.uint8]] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Candidate]:
        for row in self._rows:
            origin = f"mask {row['MaskPath']} of {self._folder}"
            label = row["LabelName"]
            if label not in self._names:
                raise DataError(f"{origin} is of class {label}, which no class-descriptions table names")
            yield Candidate(
                id=f"{row['ImageID']}/{Path(row['MaskPath']).stem}",
                name=check_name(name_from(self._names[label]), origin),
                kind="cutout",
                rights=self._about.get(row["ImageID"], Rights()).over(self._rights),
                origin=origin,
                load=partial(self._load, row, origin),
            )

    def _load(self, row: dict[str, str], origin: str) -> Content:
        source, photo = self._photo(row["ImageID"], origin)
        height, width = photo.shape[:2]
        try:
            x0, x1, y0, y1 = (float(row[f"Box{side}"]) for side in ("XMin", "XMax", "YMin", "YMax"))
        except ValueError:
            raise DataError(f"{origin} has a box that is no number") from None
        self._filter.check_box(x0 * width, y0 * height, x1 * width, y1 * height, width, height)
        file = self._file(row["MaskPath"], origin)
        try:
            grey = np.asarray(load_image(file, min_side=1).convert("L"))
        except RequestError as error:
            raise DataError(f"{origin}: {error}") from error
        # Masks are smaller than their photographs there.
        mask = resized_mask(grey, width, height)
        self._filter.check(mask)
        return Content(source + read_bytes(file), pixels=cut_out(photo, mask))

    def _photo(self, image_id: str, origin: str) -> tuple[bytes, npt.NDArray[np.uint8]]:
        if self._open is None or self._open[0] != image_id:
            file = self._file(f"{image_id}.jpg", origin)
            self._open = (image_id, read_bytes(file), read_photo(file))
        return self._open[1:]

    def _file(self, name: str, origin: str) -> Path:
        if name not in self._files:
            raise DataError(f"{origin} needs {name}, which is nowhere below {self._folder}")
        return self._files[name]

    def _tables(self, part: str) -> list[Path]:
        found = sorted(self._folder.rglob(f"*{part}*.csv"))
        if not found:
            raise DataError(f"{self._folder} holds no *{part}*.csv; download that table of Open Images too")
        return found

    def _read_names(self) -> dict[str, str]:
        names: dict[str, str] = {}
        for path in self._tables("class-descriptions"):
            for row in csv.reader(_lines(path)):
                if len(row) == 2:
                    names[row[0]] = row[1]
        return names

    def _read_rights(self) -> dict[str, Rights]:
        about: dict[str, Rights] = {}
        for path in sorted(self._folder.rglob("*image*.csv")):
            rows = csv.DictReader(_lines(path))
            if not {"ImageID", "License"} <= set(rows.fieldnames or ()):
                continue
            for row in rows:
                parts = (
                    row.get("Title"),
                    row.get("Author") and f"by {row['Author']}",
                    row.get("OriginalLandingURL"),
                )
                attribution = ", ".join(part for part in parts if part)
                about[row["ImageID"]] = Rights(licence_from_words("", row["License"] or ""), attribution)
        return about


def _lines(path: Path) -> list[str]:
    return read_bytes(path).decode("utf-8", "replace").splitlines()


def _rows(path: Path, columns: set[str]) -> list[dict[str, str]]:
    rows = csv.DictReader(_lines(path))
    lacking = sorted(columns - set(rows.fieldnames or ()))
    if lacking:
        raise DataError(f"{path} lacks the column {lacking[0]}; it is no table of Open Images instances")
    return list(rows)
