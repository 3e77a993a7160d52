"""Stickers: named vector pictures whose main colour can be chosen, rendered fast enough for every worker.

An SVG is rasterised once with its main fill (`currentColor`) black and once white. What both share is the
detail layer, what differs is the weight of the main colour; so a sticker in any colour is
``detail + weight * colour`` with the same alpha, and that is all a worker computes.
"""

import difflib
import functools
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.affine import Affine, Fit
from dreamomni.data.collage.naming import article, plural, resolve_alias
from dreamomni.data.collage.palette import RGB
from dreamomni.data.collage.raster import Layers, load_layers
from dreamomni.errors import DataError

STICKER_FOLDER = Path(__file__).parent / "stickers"
_BASE_RASTER_PX = 256
_MAX_RASTER_PX = 2048
_SMALLEST_LEVEL_PX = 8
_MAX_ASPECT = 8.0
_LICENCE = re.compile(r"SPDX-License-Identifier:\s*([\w.+-]+(?:\s+(?:AND|OR|WITH)\s+[\w.+-]+)*)")


@dataclass(frozen=True, slots=True)
class _Source:
    """One SVG file as read."""

    path: Path
    svg: str
    licence: str
    recolourable: bool


@dataclass(frozen=True, slots=True)
class _Pyramid:
    """One sticker at falling sizes, half an octave apart; index 0 is the largest."""

    layers: tuple[Layers, ...]
    outline: npt.NDArray[np.float64]
    """Convex hull (N, 2), x and y about the centre, in units of the longest side."""

    @property
    def longest(self) -> int:
        """Longest side of the largest level in pixels."""
        return self.layers[0].longest

    def level(self, longest_px: float) -> Layers:
        """The smallest level that still has ``longest_px`` pixels (the largest one when none has)."""
        chosen = self.layers[0]
        for layer in self.layers[1:]:
            if layer.longest < longest_px:
                break
            chosen = layer
        return chosen


class StickerPack:
    """Named stickers from a folder of SVG files.

    The file stem is the name, an underscore is a space (``ice_cream.svg`` is "ice cream"). A file that
    uses ``currentColor`` can be given any colour; a file that does not keeps its own.
    """

    def __init__(self, sources: dict[str, _Source]) -> None:
        self._sources = dict(sorted(sources.items()))
        self._pyramids: dict[tuple[str, int], _Pyramid] = {}

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
        sources: dict[str, _Source] = {}
        for file in files:
            name = " ".join(file.stem.replace("_", " ").lower().split())
            if name in sources:
                raise DataError(
                    f"Sticker files {sources[name].path.name} and {file.name} in {folder} both mean "
                    f"'{name}'; rename one of them."
                )
            sources[name] = _read_source(file, licence)
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
        pyramid, angle = self._pyramid_for(name, size_px), angle % 360.0
        if angle == 0.0:
            image = _resized(pyramid, colour, size_px)
            if flip:
                image = np.ascontiguousarray(image[:, ::-1])
        else:
            image = _rotated(pyramid, colour, size_px, angle, flip)
        return image if premultiplied else _straight(image)

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
        pyramid, angle = self._pyramid_for(name, size_px), angle % 360.0
        if angle == 0.0:
            width, height = _fit(pyramid.layers[0], size_px)
            left, across = (width, -width) if flip else (0, width)
            return Fit(np.array([[across, 0.0, left], [0.0, height, 0.0]]), width, height)
        level, affine, (width, height) = _turn(pyramid, size_px, angle, flip)
        linear = affine[:, :2]
        # Pixel centres sit at +0.5, hence the half pixel on both sides.
        shift = affine[:, 2] + 0.5 - linear @ np.array([0.5, 0.5])
        scaled = linear * np.array([level.width, level.height])
        return Fit(np.concatenate([scaled, shift[:, None]], axis=1), width, height)

    def _pyramid_for(self, name: str, size_px: int) -> _Pyramid:
        if size_px < 1:
            raise DataError(f"A sticker cannot be {size_px} px large; ask for at least 1 px.")
        source_name = name if name in self._sources else self.resolve(name)
        pyramid = self._pyramid(source_name, _BASE_RASTER_PX)
        raster_px = _BASE_RASTER_PX
        while pyramid.longest < size_px and raster_px < _MAX_RASTER_PX:
            raster_px *= 2
            pyramid = self._pyramid(source_name, raster_px)
        return pyramid

    def _source(self, name: str) -> _Source:
        return self._sources[self.resolve(name)]

    def _pyramid(self, name: str, raster_px: int) -> _Pyramid:
        key = (name, raster_px)
        pyramid = self._pyramids.get(key)
        if pyramid is None:
            source = self._sources[name]
            pyramid = self._pyramids[key] = _build_pyramid(load_layers(source.path, source.svg, raster_px))
        return pyramid

    def __getstate__(self) -> dict[str, Any]:
        # Rasters are rebuilt from the cache in a worker faster than they travel through a pipe.
        return {"_sources": self._sources, "_pyramids": {}}


@functools.cache
def _default_pack() -> StickerPack:
    return StickerPack.from_folder(STICKER_FOLDER)


def _read_source(file: Path, licence: str) -> _Source:
    try:
        svg = file.read_text(encoding="utf-8")
        root = ElementTree.fromstring(svg)
    except (OSError, UnicodeDecodeError, ElementTree.ParseError) as error:
        raise DataError(f"Sticker {file} cannot be read as SVG ({error}); mend or remove it.") from error
    if root.tag.rpartition("}")[2] != "svg":
        raise DataError(f"Sticker {file} has root <{root.tag}> where <svg> belongs; mend or remove it.")
    width, height = _canvas(root)
    if max(width, height) > _MAX_ASPECT * min(width, height):
        raise DataError(
            f"Sticker {file} has a canvas of {width:g} x {height:g}; "
            f"keep the longer side within {_MAX_ASPECT:g} times the shorter."
        )
    stated = _LICENCE.search(svg)
    return _Source(
        path=file,
        svg=svg,
        licence=stated.group(1) if stated else licence,
        recolourable="currentcolor" in svg.lower(),
    )


def _canvas(root: ElementTree.Element) -> tuple[float, float]:
    """Width and height in user units; square when the file does not say."""
    box = root.get("viewBox", "").replace(",", " ").split()
    sides = box[2:] if len(box) == 4 else [root.get("width", ""), root.get("height", "")]
    numbers = [re.match(r"\d+(\.\d+)?", side) for side in sides]
    if not all(numbers):
        return 1.0, 1.0
    width, height = (float(number.group()) for number in numbers if number)
    return width, height


def _build_pyramid(full: Layers) -> _Pyramid:
    levels = [full]
    step = 1
    while (longest := round(full.longest / 2 ** (step / 2))) >= _SMALLEST_LEVEL_PX:
        # From an octave above: a halving is many times cheaper than a resize from the full raster.
        levels.append(levels[max(0, step - 2)].resized(_fit(full, longest)))
        step += 1
    # The first and last drawn pixel of each row span the hull; all four corners of a pixel count.
    drawn = full.detail[..., 3] > 0
    rows = np.flatnonzero(drawn.any(axis=1))
    first = drawn[rows].argmax(axis=1)
    last = full.width - drawn[rows, ::-1].argmax(axis=1)
    corners = [np.stack([x, rows + dy], axis=1) for x in (first, last) for dy in (0, 1)]
    hull = cv2.convexHull(np.concatenate(corners).astype(np.int32))[:, 0].astype(np.float64)
    outline = (hull - np.array([full.width, full.height]) / 2.0) / full.longest
    return _Pyramid(layers=tuple(levels), outline=outline)


def _fit(layers: Layers, longest_px: int) -> tuple[int, int]:
    """(width, height) with the proportions of ``layers`` and the given longest side."""
    scale = longest_px / layers.longest
    return max(1, round(layers.width * scale)), max(1, round(layers.height * scale))


def _resized(pyramid: _Pyramid, colour: RGB, size_px: int) -> npt.NDArray[np.uint8]:
    level = pyramid.level(size_px)
    width, height = _fit(pyramid.layers[0], size_px)
    image = level.coloured(colour)
    if (level.width, level.height) == (width, height):
        return image
    # Levels are half an octave apart, so linear never skips a pixel, and it is six times faster than area.
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
    return np.asarray(resized, dtype=np.uint8)


def _turn(
    pyramid: _Pyramid, size_px: int, angle: float, flip: bool
) -> tuple[Layers, Affine, tuple[int, int]]:
    """The level to draw from, the map from its pixel centres to those of the array, and the array's sides."""
    radians = np.deg2rad(angle)
    cosine, sine = np.cos(radians), np.sin(radians)
    # Image y points down, so this turns counter-clockwise for the viewer.
    turn = np.array([[cosine, sine], [-sine, cosine]])
    if flip:
        turn = turn * np.array([-1.0, 1.0])
    turned = pyramid.outline @ turn.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    scale = size_px / float((high - low).max())
    width, height = (max(1, round(float(side))) for side in (high - low) * scale)
    level = pyramid.level(scale)
    matrix = turn * (scale / level.longest)
    # Pixel centres sit at +0.5, hence the half pixel on both sides.
    source_centre = np.array([level.width, level.height]) / 2.0 - 0.5
    target_centre = np.array([width, height]) / 2.0 - 0.5 - (low + high) / 2.0 * scale
    shift = target_centre - matrix @ source_centre
    affine = np.concatenate([matrix, shift[:, None]], axis=1)
    return level, affine, (width, height)


def _rotated(pyramid: _Pyramid, colour: RGB, size_px: int, angle: float, flip: bool) -> npt.NDArray[np.uint8]:
    level, affine, sides = _turn(pyramid, size_px, angle, flip)
    warped = cv2.warpAffine(level.coloured(colour), affine, sides, flags=cv2.INTER_LINEAR)
    return np.asarray(warped, dtype=np.uint8)


def _straight(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Divide colour by alpha (uint8, rounded to nearest); clear pixels become zero."""
    alpha = image[..., 3]
    divisor = cv2.merge((alpha, alpha, alpha, np.full_like(alpha, 255)))
    # OpenCV's integer division saturates, and gives 0 where the divisor is 0.
    return np.asarray(cv2.divide(image, divisor, scale=255.0), dtype=np.uint8)
