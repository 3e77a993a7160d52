"""A built library of a user's own pictures: one memory-mapped file that all workers share."""

import difflib
import hashlib
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.affine import Fit
from dreamomni.data.collage.assets.asset import THING_KINDS, AssetInfo, Crop
from dreamomni.data.collage.assets.format import read_index
from dreamomni.data.collage.assets.pyramid import Level, Pyramid, draw, fit, measure
from dreamomni.data.collage.palette import RGB
from dreamomni.data.collage.raster import Layers
from dreamomni.errors import DataError
from dreamomni.tasks.geometry import Size

# From 1.41 to 2 times as large as the result, linear interpolation neither skips pixels nor blurs.
_OVERSAMPLING = 2**0.5
_OUTLINE = np.dtype("<f4")
_KEPT_PYRAMIDS = 4096


@dataclass(frozen=True, slots=True)
class _Fixed:
    """Pixels whose colours are their own: (H, W, 4) uint8, premultiplied RGBA."""

    pixels: npt.NDArray[np.uint8]

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    def coloured(self, colour: RGB) -> npt.NDArray[np.uint8]:
        # Reading the map in order first is twice as fast as the scattered reads of a rotation.
        return self.pixels.copy()


class AssetLibrary:
    """Stickers, cut-outs, backgrounds and fonts in one file.

    A process maps the file and copies only what it draws, so that any number of workers holds it in memory
    once. The library travels to a worker as its path; a worker that finds another file there refuses it.
    """

    def __init__(self, path: Path, index: dict[str, Any], digest: str) -> None:
        self.path = path
        self.name: str = index["name"]
        self.digest = digest
        self._index = index
        self._entries: dict[str, dict[str, Any]] = {entry["id"]: entry for entry in index["assets"]}
        self._pyramids: dict[str, Pyramid] = {}

    @classmethod
    def open(cls, path: str | Path) -> "AssetLibrary":
        """Open a library.

        Raises:
            DataError: The file is missing, foreign, cut short, damaged or of another version.
        """
        # The absolute path, because a worker may have another working directory.
        file = Path(path).expanduser().absolute()
        return cls(file, *read_index(file))

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.path, self.digest)

    def assets(self) -> tuple[AssetInfo, ...]:
        """Every asset, in the order of their ids."""
        return self._infos

    @cached_property
    def _infos(self) -> tuple[AssetInfo, ...]:
        return tuple(self.info(asset_id) for asset_id in self._entries)

    def info(self, asset_id: str) -> AssetInfo:
        """What is known about an asset.

        Raises:
            DataError: There is no such asset.
        """
        entry = self._entry(asset_id)
        width, height = entry["levels"][0] if entry["levels"] else (0, 0)
        red, green, blue = entry["rgb"]
        return AssetInfo(
            id=asset_id,
            name=entry["name"],
            kind=entry["kind"],
            licence=entry["licence"],
            attribution=entry["attribution"],
            recolourable=entry["recolourable"],
            colour=entry["colour"],
            rgb=(red, green, blue),
            split=entry["split"],
            width=width,
            height=height,
            caption=entry["caption"],
        )

    def render(
        self,
        asset_id: str,
        colour: RGB,
        size_px: int,
        *,
        angle: float = 0.0,
        flip: bool = False,
        premultiplied: bool = False,
    ) -> npt.NDArray[np.uint8]:
        """Draw a thing (see `AssetSource.render`)."""
        return draw(self._pyramid(asset_id), colour, size_px, angle, flip, premultiplied)

    def fit(self, asset_id: str, size_px: int, *, angle: float = 0.0, flip: bool = False) -> Fit:
        """Say where `render` puts each point of a drawing."""
        return fit(self._pyramid(asset_id), size_px, angle, flip)

    def measure(self, asset_id: str, size_px: int, *, angle: float = 0.0, flip: bool = False) -> Size:
        """Say how large an array `render` gives, without drawing."""
        return measure(self._pyramid(asset_id), size_px, angle, flip)

    def background(self, asset_id: str, width: int, height: int, crop: Crop) -> npt.NDArray[np.uint8]:
        """Cut a background to a canvas (see `AssetSource.background`)."""
        entry = self._entry(asset_id, "background")
        sizes = entry["levels"]
        full_width, full_height = sizes[0]
        # The part that is seen, in units of the full picture.
        scale = crop.zoom * min(full_width / width, full_height / height)
        level = 0
        for number, (level_width, _) in enumerate(sizes):
            if level_width / full_width * scale < _OVERSAMPLING:
                break
            level = number
        columns, rows = sizes[level]
        seen_x = min(columns, max(1, round(width * scale * columns / full_width)))
        seen_y = min(rows, max(1, round(height * scale * rows / full_height)))
        x, y = round(crop.x * (columns - seen_x)), round(crop.y * (rows - seen_y))
        pixels = self._view(entry)[sum(w * h for w, h in sizes[:level]) * 3 :][: columns * rows * 3]
        part = pixels.reshape(rows, columns, 3)[y : y + seen_y, x : x + seen_x]
        if (seen_x, seen_y) == (width, height):
            return part.copy()
        resized = cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(resized, dtype=np.uint8)

    def font(self, asset_id: str) -> bytes:
        """The file of a font.

        Raises:
            DataError: There is no such font.
        """
        return self._view(self._entry(asset_id, "font")).tobytes()

    def damaged(self) -> Iterator[tuple[str, bool]]:
        """Read everything once and yield each id with whether its bytes differ from its sha256."""
        for asset_id, entry in self._entries.items():
            yield asset_id, hashlib.sha256(self._view(entry).data).hexdigest() != entry["sha256"]

    def _pyramid(self, asset_id: str) -> Pyramid:
        pyramid = self._pyramids.get(asset_id)
        if pyramid is None:
            # Views of the map, so that many weigh little.
            if len(self._pyramids) >= _KEPT_PYRAMIDS:
                self._pyramids.clear()
            pyramid = self._pyramids[asset_id] = self._find_pyramid(asset_id)
        return pyramid

    def _find_pyramid(self, asset_id: str) -> Pyramid:
        entry = self._entry(asset_id, *THING_KINDS)
        blob = self._view(entry)
        layers: list[Level] = []
        at = 0
        for width, height in entry["levels"]:
            area = width * height
            pixels = blob[at : at + 4 * area].reshape(height, width, 4)
            at += 4 * area
            if entry["recolourable"]:
                layers.append(Layers(pixels, blob[at : at + area].reshape(height, width)))
                at += area
            else:
                layers.append(_Fixed(pixels))
        outline = np.frombuffer(blob[at:].tobytes(), _OUTLINE).astype(np.float64).reshape(-1, 2)
        return Pyramid(layers, outline, _OVERSAMPLING)

    def _entry(self, asset_id: str, *kinds: str) -> dict[str, Any]:
        entry = self._entries.get(asset_id)
        if entry is None:
            near = difflib.get_close_matches(asset_id, self._entries, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {len(self._entries)} others"
            raise DataError(f"the asset library {self.path} has no {asset_id!r}; {hint}")
        if kinds and entry["kind"] not in kinds:
            wanted = " or ".join(sorted(kinds))
            raise DataError(f"{asset_id!r} of {self.path} is a {entry['kind']}, where a {wanted} belongs")
        return entry

    def _view(self, entry: dict[str, Any]) -> npt.NDArray[np.uint8]:
        return self._map[entry["offset"] : entry["offset"] + entry["size"]]

    @cached_property
    def _map(self) -> npt.NDArray[np.uint8]:
        try:
            with self.path.open("rb") as file:
                # The array keeps the map alive.
                return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
        except OSError as error:
            raise DataError(
                f"the asset library {self.path} cannot be read: {error.strerror or error}"
            ) from error


def _reopen(path: Path, digest: str) -> AssetLibrary:
    library = AssetLibrary.open(path)
    if library.digest != digest:
        raise DataError(f"the asset library {path} has changed since this work began; start it again")
    return library
