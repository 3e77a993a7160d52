"""What an asset is, and what every source of assets can do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.affine import Fit
from dreamomni.data.collage.palette import RGB
from dreamomni.tasks.geometry import Size

AssetKind = Literal["sticker", "cutout", "background", "font"]
AssetSplit = Literal["train", "held_out"]

ASSET_KINDS: tuple[AssetKind, ...] = get_args(AssetKind)
THING_KINDS: frozenset[str] = frozenset({"sticker", "cutout"})
"""Kinds that are things in a picture."""


@dataclass(frozen=True, slots=True)
class AssetInfo:
    """What is known about one asset.

    Attributes:
        id: Unique in its source.
        name: What the words call it; several assets of a source may share a name.
        kind: A drawn sticker, a photographed cut-out, a background, or a font.
        licence: SPDX licence expression.
        attribution: Who is to be named, empty when nobody is.
        recolourable: Whether its main part can be given any colour.
        colour: Name of its own colour, or of two as "red and white"; None when no word fits, or when it is
            recolourable.
        rgb: Mean sRGB of its own colour, or of all of it where `colour` is None.
        split: "held_out" assets are kept for evaluation.
        width: Width in pixels at its largest (0 for fonts and for what can be drawn at any size).
        height: Height in pixels at its largest.
        caption: What a background shows, empty when nobody said.
    """

    id: str
    name: str
    kind: AssetKind
    licence: str
    attribution: str = ""
    recolourable: bool = False
    colour: str | None = None
    rgb: RGB = (128, 128, 128)
    split: AssetSplit = "train"
    width: int = 0
    height: int = 0
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Crop:
    """Which part of a background fills the canvas.

    Attributes:
        x: 0 takes the leftmost part, 1 the rightmost.
        y: 0 takes the uppermost part, 1 the lowest.
        zoom: 1 takes as much as fits into the proportions of the canvas, 0.5 half of it on each side.
    """

    x: float = 0.5
    y: float = 0.5
    zoom: float = 1.0


class AssetSource(Protocol):
    """Where pictures of things, backgrounds and fonts come from."""

    def __hash__(self) -> int: ...

    @property
    def digest(self) -> str:
        """Hash (hex) of everything that the source holds; part of the identity of a data set."""
        ...

    def assets(self) -> Sequence[AssetInfo]:
        """Every asset, in a fixed order."""
        ...

    def info(self, asset_id: str) -> AssetInfo:
        """What is known about an asset.

        Raises:
            DataError: There is no such asset.
        """
        ...

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
        """Draw a thing.

        Args:
            asset_id: What to draw.
            colour: sRGB 0-255 of the main part; ignored when the thing is not recolourable.
            size_px: Longest side of the returned array in pixels, after rotation.
            angle: Degrees, counter-clockwise.
            flip: Mirror left and right (before the rotation).
            premultiplied: Return colour already multiplied by alpha, ready for compositing.

        Returns:
            (H, W, 4) uint8 RGBA, cropped to the drawing, max(H, W) == size_px.

        Raises:
            DataError: There is no such thing, or the size is below 1 px.
        """
        ...

    def fit(self, asset_id: str, size_px: int, *, angle: float = 0.0, flip: bool = False) -> Fit:
        """Say where `render` puts each point of a drawing, whose own axes run from 0 to 1 across it.

        Raises:
            DataError: As `render`.
        """
        ...

    def measure(self, asset_id: str, size_px: int, *, angle: float = 0.0, flip: bool = False) -> Size:
        """Say how large an array `render` gives, without drawing.

        Raises:
            DataError: As `render`.
        """
        ...

    def background(self, asset_id: str, width: int, height: int, crop: Crop) -> npt.NDArray[np.uint8]:
        """Cut a background to a canvas.

        Returns:
            (height, width, 3) uint8, sRGB.

        Raises:
            DataError: There is no such background.
        """
        ...

    def font(self, asset_id: str) -> bytes:
        """The file (TrueType or OpenType) of a font.

        Raises:
            DataError: There is no such font.
        """
        ...
