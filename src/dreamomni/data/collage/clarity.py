"""Whether a thing can be seen well where it stands: against a photograph, and from its own few pixels.

On plain backgrounds the world offers no colour that would vanish. What lies behind a thing on a photograph is
known only when it is drawn, so there the picture itself is asked, and an attempt that fails is drawn anew.
"""

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.assets.asset import AssetSource
from dreamomni.data.collage.palette import delta_e
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.collage.scene import Placed

_GRID = 3
_LOST = 1 / 3
"""Part of the grid behind a thing that may look like it."""


class UnclearError(Exception):
    """A picture that is not worth drawing; the engine counts the attempt as rejected.

    Attributes:
        reason: By what it is counted: "enlarged" or "contrast".
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Clarity:
    """What a recipe asks of every thing in a picture.

    Args:
        recipe: Says how large a picture of a library may be drawn, and how far colours must lie apart.
        source: Knows how many pixels each asset has, and which have one colour.
    """

    def __init__(self, recipe: CollageRecipe, source: AssetSource) -> None:
        self._min_contrast = recipe.min_contrast
        assets = source.assets()
        self._most_px = {
            asset.id: int(recipe.max_enlargement * max(asset.width, asset.height))
            for asset in assets
            if asset.width
        }
        # What has many colours does not vanish.
        self._colourful = frozenset(
            asset.id for asset in assets if not asset.recolourable and asset.colour is None
        )

    def most_px(self, asset: str) -> int | None:
        """Largest longest side of an asset in pixels, None where any size is sharp."""
        return self._most_px.get(asset)

    def check_size(self, item: Placed) -> None:
        """Refuse a thing that is drawn larger than its pixels allow.

        Raises:
            UnclearError: It is.
        """
        most = self._most_px.get(item.look.asset)
        if most is not None and item.look.size > most:
            raise UnclearError("enlarged")

    def check_contrast(self, item: Placed, behind: npt.NDArray[np.uint8]) -> None:
        """Refuse a thing of one colour where the picture behind it has that colour too.

        Args:
            item: The thing.
            behind: (H, W, 3) uint8, the part of the canvas that it will cover.

        Raises:
            UnclearError: More than a third of the local means behind it are nearer than the contrast allows.
        """
        if (item.look.asset or item.look.name) in self._colourful and item.thing.kind == "sticker":
            return
        means = cv2.resize(behind, (_GRID, _GRID), interpolation=cv2.INTER_AREA)
        near = delta_e(means, item.look.rgb) < self._min_contrast
        if float(np.mean(near)) > _LOST:
            raise UnclearError("contrast")
