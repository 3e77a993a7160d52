"""Stickers: named vector pictures whose main colour can be chosen, rendered fast enough for every worker.

An SVG is rasterised once with its main fill (`currentColor`) black and once white. What both share is the
detail layer, what differs is the weight of the main colour; so a sticker in any colour is
``detail + weight * colour`` with the same alpha, and that is all a worker computes.
"""

import difflib
import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.affine import Fit
from dreamomni.data.collage.assets.asset import AssetInfo, Crop
from dreamomni.data.collage.assets.pyramid import Pyramid, build_levels, draw, fit, measure, outline_of
from dreamomni.data.collage.assets.svg import SvgFile, read_svg
from dreamomni.data.collage.naming import article, plural, resolve_alias
from dreamomni.data.collage.palette import RGB
from dreamomni.data.collage.raster import load_layers
from dreamomni.errors import DataError
from dreamomni.tasks.geometry import Size

STICKER_FOLDER = Path(__file__).parents[1] / "stickers"
_BASE_RASTER_PX = 256
_MAX_RASTER_PX = 2048
_AUTHORS = "The dreamomni authors"


class StickerPack:
    """Named stickers from a folder of SVG files.

    The file stem is the name, an underscore is a space (``ice_cream.svg`` is "ice cream"). A file that
    uses ``currentColor`` can be given any colour; a file that does not keeps its own.
    """

    def __init__(self, sources: dict[str, SvgFile]) -> None:
        self._sources = dict(sorted(sources.items()))
        self._pyramids: dict[tuple[str, int], Pyramid] = {}

    @classmethod
    def default(cls) -> "StickerPack":
        """The pack that ships with the package (drawn for it, Apache-2.0); one instance per process."""
        return _default_pack()

    @classmethod
    def from_folder(cls, path: str | Path, *, licence: str = "unknown") -> "StickerPack":
        """Read every ``*.svg`` directly inside a folder.

        Args:
            path: the folder.
            licence: said of files that carry no ``SPDX-License-Identifier`` themselves.

        Raises:
            DataError: the folder is missing or has no SVG, a file is not valid SVG, or a name is taken twice.
        """
        folder = Path(path)
        if not folder.is_dir():
            raise DataError(f"Sticker folder {folder} does not exist; give a folder that holds .svg files.")
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() == ".svg")
        if not files:
            raise DataError(f"Sticker folder {folder} holds no .svg file; put at least one there.")
        sources: dict[str, SvgFile] = {}
        for file in files:
            name = " ".join(file.stem.replace("_", " ").lower().split())
            if name in sources:
                raise DataError(
                    f"Sticker files {sources[name].path.name} and {file.name} in {folder} both mean "
                    f"'{name}'; rename one of them."
                )
            sources[name] = read_svg(file, licence)
        return cls(sources)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(self._sources)

    def licence(self, name: str) -> str:
        """SPDX licence expression of a sticker."""
        return self._source(name).licence

    def is_recolourable(self, name: str) -> bool:
        """Whether `render` can change the main colour (False: the file has fixed colours only)."""
        return self._source(name).recolourable

    def plural(self, name: str) -> str:
        """Plural of a name: "leaves", "fish", "buses"."""
        return plural(self.resolve(name))

    def article(self, name: str, before: str | None = None) -> str:
        """Indefinite article for the name, or for the word ``before`` that precedes it ("a red apple")."""
        return article(self.resolve(name), before)

    def resolve(self, name: str) -> str:
        """The pack's own name for a name, an alias or a spelling with underscores.

        Raises:
            DataError: the pack has no such sticker.
        """
        wanted = " ".join(name.replace("_", " ").lower().split())
        for candidate in (wanted, resolve_alias(wanted)):
            if candidate in self._sources:
                return candidate
        near = difflib.get_close_matches(wanted, self._sources, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"it has {len(self._sources)} others."
        raise DataError(f"The sticker pack has no '{name}'; {hint}")

    def prepare(self, names: Iterable[str] | None = None) -> None:
        """Rasterise now (into memory and the user cache) what `render` would rasterise at first use."""
        for name in self._sources if names is None else names:
            self._pyramid(self.resolve(name), _BASE_RASTER_PX)

    def render(
        self,
        name: str,
        colour: RGB,
        size_px: int,
        *,
        angle: float = 0.0,
        flip: bool = False,
        premultiplied: bool = False,
    ) -> npt.NDArray[np.uint8]:
        """Draw a sticker.

        Args:
            name: what to draw.
            colour: sRGB 0-255 of the main part; ignored when the sticker is not recolourable.
            size_px: longest side of the returned array in pixels, after rotation.
            angle: degrees, counter-clockwise.
            flip: mirror left and right (before the rotation).
            premultiplied: return colour already multiplied by alpha, ready for compositing.

        Returns:
            (H, W, 4) uint8 RGBA, cropped to the drawing, max(H, W) == size_px.

        Raises:
            DataError: no such sticker, a size below 1 px, or an SVG that draws nothing.
        """
        return draw(self._pyramid_for(name, size_px), colour, size_px, angle, flip, premultiplied)

    def fit(self, name: str, size_px: int, *, angle: float = 0.0, flip: bool = False) -> Fit:
        """Say where `render` puts each point of a drawing, whose own axes run from 0 to 1 across it.

        Args:
            name: what is drawn.
            size_px: longest side of the array in pixels, after rotation.
            angle: degrees, counter-clockwise.
            flip: mirror left and right (before the rotation).

        Raises:
            DataError: as `render`.
        """
        return fit(self._pyramid_for(name, size_px), size_px, angle, flip)

    def measure(self, name: str, size_px: int, *, angle: float = 0.0, flip: bool = False) -> Size:
        """Say how large an array `render` gives, without drawing; arguments and errors are those of `fit`."""
        return measure(self._pyramid_for(name, size_px), size_px, angle, flip)

    @property
    def digest(self) -> str:
        """Hash (hex) of the files and names; rasters follow from them."""
        parts = [f"{name}\0{source.licence}\0{source.svg}" for name, source in self._sources.items()]
        return hashlib.sha256("\0\0".join(parts).encode()).hexdigest()

    def assets(self) -> tuple[AssetInfo, ...]:
        """Every sticker; its id is its name."""
        return tuple(self.info(name) for name in self._sources)

    def info(self, asset_id: str) -> AssetInfo:
        """What is known about a sticker.

        Raises:
            DataError: The pack has no such sticker.
        """
        name = self.resolve(asset_id)
        source = self._sources[name]
        ours = source.path.parent == STICKER_FOLDER
        attribution = _AUTHORS if ours else ""
        return AssetInfo(name, name, "sticker", source.licence, attribution, source.recolourable)

    def background(self, asset_id: str, width: int, height: int, crop: Crop) -> NoReturn:
        """A sticker pack has no backgrounds.

        Raises:
            DataError: Always.
        """
        raise DataError(f"The sticker pack has no background '{asset_id}'; build a library that has one.")

    def font(self, asset_id: str) -> NoReturn:
        """A sticker pack has no fonts.

        Raises:
            DataError: Always.
        """
        raise DataError(f"The sticker pack has no font '{asset_id}'; build a library that has one.")

    def _pyramid_for(self, name: str, size_px: int) -> Pyramid:
        source_name = name if name in self._sources else self.resolve(name)
        pyramid = self._pyramid(source_name, _BASE_RASTER_PX)
        raster_px = _BASE_RASTER_PX
        while pyramid.longest < size_px and raster_px < _MAX_RASTER_PX:
            raster_px *= 2
            pyramid = self._pyramid(source_name, raster_px)
        return pyramid

    def _source(self, name: str) -> SvgFile:
        return self._sources[self.resolve(name)]

    def _pyramid(self, name: str, raster_px: int) -> Pyramid:
        key = (name, raster_px)
        pyramid = self._pyramids.get(key)
        if pyramid is None:
            source = self._sources[name]
            layers = load_layers(source.path, source.svg, raster_px)
            pyramid = Pyramid(build_levels(layers), outline_of(layers.detail[..., 3]))
            self._pyramids[key] = pyramid
        return pyramid

    def __getstate__(self) -> dict[str, Any]:
        # Rasters are rebuilt from the cache in a worker faster than they travel through a pipe.
        return {"_sources": self._sources, "_pyramids": {}}


@functools.cache
def _default_pack() -> StickerPack:
    return StickerPack.from_folder(STICKER_FOLDER)
