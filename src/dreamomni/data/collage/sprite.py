"""The pixels of one instance, drawn when they are first asked for and made ready for compositing."""

import sys
from collections import deque
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.tasks.geometry import Box

_SOLID_ALPHA = 128
_SHARED_BYTES = 64 * 2**20
_LARGE_BYTES = 48 * 2**10
_KEPT_LARGE = 32

Paint = Callable[[], npt.NDArray[np.uint8]]


class Sprite:
    """One instance as it will lie on the canvas. Its sides are known before any pixel is drawn.

    Args:
        width: Width in pixels.
        height: Height in pixels.
        paint: Draws it: (height, width, 4) uint8 premultiplied RGBA, no channel above alpha.

    Attributes:
        shadow: What the thing leaves of the light around it (see `blending.shadow`), if it casts a shadow.
    """

    __slots__ = ("_area", "_bounds", "_clear", "_colour", "_paint", "_solid", "height", "shadow", "width")

    def __init__(self, width: int, height: int, paint: Paint) -> None:
        self.width = width
        self.height = height
        self.shadow: tuple[npt.NDArray[np.uint8], int, int] | None = None
        self._paint: Paint | None = paint
        self._bounds: Box | None = None

    @property
    def nbytes(self) -> int:
        """Memory that it takes when it is drawn."""
        return 7 * self.width * self.height

    @property
    def colour(self) -> npt.NDArray[np.uint8]:
        """(H, W, 3) uint8, premultiplied."""
        self._draw()
        return self._colour

    @property
    def clear(self) -> npt.NDArray[np.uint8]:
        """(H, W, 3) uint8, 255 - alpha, once for each channel because that multiplies faster."""
        self._draw()
        return self._clear

    @property
    def alpha(self) -> npt.NDArray[np.uint8]:
        """(H, W) uint8, how much of what is behind it hides."""
        return np.asarray(cv2.bitwise_not(cv2.extractChannel(self.clear, 0)), np.uint8)

    @property
    def solid(self) -> npt.NDArray[np.bool_]:
        """(H, W) bool, pixels that belong to the thing: alpha is at least one half."""
        self._draw()
        return self._solid.view(np.bool_)

    @property
    def area(self) -> int:
        """Number of solid pixels."""
        self._draw()
        return self._area

    @property
    def bounds(self) -> Box:
        """The box around the solid pixels, in pixels of the array; empty where there are none."""
        if self._bounds is None:
            x, y, width, height = cv2.boundingRect(self.solid.view(np.uint8))
            self._bounds = Box(x, y, x + width, y + height)
        return self._bounds

    @property
    def image(self) -> npt.NDArray[np.uint8]:
        """(H, W, 4) uint8 premultiplied RGBA, put together again."""
        return np.dstack([self.colour, self.alpha])

    def _draw(self) -> None:
        if self._paint is None:
            return
        image = self._paint()
        if image.shape != (self.height, self.width, 4):
            raise AssertionError(f"a sprite of {self.width}x{self.height} was drawn as {image.shape}")
        alpha = _alpha_of(image)
        self._colour = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGBA2RGB), np.uint8)
        self._clear = np.asarray(cv2.cvtColor(cv2.bitwise_not(alpha), cv2.COLOR_GRAY2RGB), np.uint8)
        self._solid = np.asarray(cv2.threshold(alpha, _SOLID_ALPHA - 1, 1, cv2.THRESH_BINARY)[1], np.uint8)
        self._area = cv2.countNonZero(self._solid)
        self._paint = None


def _alpha_of(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(H, W) uint8, the last of four channels: half again as fast as `cv2.extractChannel`."""
    if sys.byteorder == "big" or not image.flags.c_contiguous:
        return np.ascontiguousarray(image[..., 3])
    return (image.view(np.uint32)[..., 0] >> 24).astype(np.uint8)


class SpriteCache:
    """Remembers sprites.

    Small ones come again: a world of icons has a few thousand looks. Large ones hardly ever do, at free sizes
    and angles, so only those of the last few scenes are kept; fresh memory would cost more than drawing.
    """

    def __init__(self) -> None:
        self._kept: dict[object, Sprite] = {}
        self._large: deque[object] = deque()
        self._bytes = 0

    def get(self, key: object) -> Sprite | None:
        """The sprite of this key, if it is still there."""
        return self._kept.get(key)

    def put(self, key: object, sprite: Sprite) -> None:
        """Remember a sprite."""
        if sprite.nbytes > _LARGE_BYTES:
            if len(self._large) >= _KEPT_LARGE:
                del self._kept[self._large.popleft()]
            self._large.append(key)
        else:
            if self._bytes + sprite.nbytes > _SHARED_BYTES:
                self._kept = {large: self._kept[large] for large in self._large}
                self._bytes = 0
            self._bytes += sprite.nbytes
        self._kept[key] = sprite
