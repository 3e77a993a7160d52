"""From a plan to pixels, and to the id map that every label is read from."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.affine import Fit
from dreamomni.data.collage.assets import StickerPack
from dreamomni.data.collage.backgrounds import paint_background
from dreamomni.data.collage.fonts import render_text
from dreamomni.data.collage.scene import Look, Placed, Scene
from dreamomni.data.collage.shapes import render_shape, shape_fit

_SOLID_ALPHA = 128
_CACHE_BYTES = 96 * 2**20


@dataclass(frozen=True, slots=True)
class Sprite:
    """Pixels ready for compositing.

    Attributes:
        colour: (H, W, 3) uint16, premultiplied.
        clear: (H, W, 3) uint16, 255 - alpha, once for each channel because that multiplies faster.
        solid: (H, W) bool, pixels that belong to the thing (alpha at least one half).
        area: Number of solid pixels.
    """

    colour: npt.NDArray[np.uint16]
    clear: npt.NDArray[np.uint16]
    solid: npt.NDArray[np.bool_]
    area: int

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.solid.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.solid.shape[0])


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn scene.

    Attributes:
        pixels: (H, W, 3) uint8, sRGB.
        ids: (H, W) int16, the instance that each pixel belongs to; 0 is the background.
        footprints: For each instance, its solid pixels had nothing covered it.
    """

    pixels: npt.NDArray[np.uint8]
    ids: npt.NDArray[np.int16]
    footprints: dict[int, int]


class Renderer:
    """Draws scenes, remembering sprites it has drawn before."""

    def __init__(self, pack: StickerPack) -> None:
        self._pack = pack
        self._sprites: dict[Look, Sprite] = {}
        self._bytes = 0

    def sprite(self, look: Look) -> Sprite:
        """Return the pixels of one instance."""
        sprite = self._sprites.get(look)
        if sprite is None:
            sprite = _prepare(self._draw(look))
            size = sprite.colour.nbytes + sprite.clear.nbytes + sprite.solid.nbytes
            if self._bytes + size > _CACHE_BYTES:
                self._sprites.clear()
                self._bytes = 0
            self._sprites[look] = sprite
            self._bytes += size
        return sprite

    def fit(self, look: Look) -> Fit:
        """Say where each point of a thing's drawing lies in its sprite.

        Two looks of one thing share the axes that the map starts from, so that the map between them is known
        exactly. Letters are hinted, so text shares them only at one size.
        """
        if look.kind == "shape":
            return shape_fit(look.name, look.size, look.angle)
        if look.kind == "text":
            sprite = self.sprite(look)
            return Fit(np.eye(2, 3), sprite.width, sprite.height)
        return self._pack.fit(look.name, look.size, angle=look.angle, flip=look.flip)

    def picture(self, scene: Scene) -> Picture:
        """Draw a scene; instances may reach over the edge of the canvas."""
        picture = self._blank(scene)
        self._draw_onto(picture, scene.placed)
        return picture

    def pair(self, source: Scene, target: Scene) -> tuple[Picture, Picture]:
        """Draw two scenes on one background; what both begin with is drawn once."""
        shared = 0
        for first, second in zip(source.placed, target.placed, strict=False):
            if first != second:
                break
            shared += 1
        before = self._blank(source)
        self._draw_onto(before, source.placed[:shared])
        after = Picture(before.pixels.copy(), before.ids.copy(), dict(before.footprints))
        self._draw_onto(before, source.placed[shared:])
        self._draw_onto(after, target.placed[shared:])
        return before, after

    def _blank(self, scene: Scene) -> Picture:
        pixels = paint_background(scene.background, scene.size)
        return Picture(pixels, np.zeros(pixels.shape[:2], np.int16), {})

    def _draw_onto(self, picture: Picture, placed: Sequence[Placed]) -> None:
        height, width = picture.ids.shape
        for item in placed:
            sprite = self.sprite(item.look)
            picture.footprints[item.instance_id] = sprite.area
            top, left = max(-item.y, 0), max(-item.x, 0)
            bottom, right = min(sprite.height, height - item.y), min(sprite.width, width - item.x)
            if bottom <= top or right <= left:
                continue
            here = np.s_[item.y + top : item.y + bottom, item.x + left : item.x + right]
            there = np.s_[top:bottom, left:right]
            # Exact rounding of x / 255 in integers: (x + 128 + ((x + 128) >> 8)) >> 8.
            below = picture.pixels[here] * sprite.clear[there]
            below += 128
            below += below >> 8
            below >>= 8
            below += sprite.colour[there]
            picture.pixels[here] = below
            picture.ids[here][sprite.solid[there]] = item.instance_id

    def _draw(self, look: Look) -> npt.NDArray[np.uint8]:
        if look.kind == "shape":
            return render_shape(look.name, look.rgb, look.size, look.angle)
        if look.kind == "text":
            return render_text(look.name, look.font, look.rgb, look.size)
        return self._pack.render(
            look.name, look.rgb, look.size, angle=look.angle, flip=look.flip, premultiplied=True
        )


def _prepare(image: npt.NDArray[np.uint8]) -> Sprite:
    alpha = image[..., 3]
    solid = alpha >= _SOLID_ALPHA
    # A pixel whose colour rounds above its alpha would overflow the sum with the background.
    colour = np.minimum(image[..., :3], alpha[..., None]).astype(np.uint16)
    clear = np.repeat(255 - alpha[..., None].astype(np.uint16), 3, axis=2)
    return Sprite(colour, clear, solid, int(np.count_nonzero(solid)))


def changed(source: npt.NDArray[np.uint8], target: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Mark the pixels that differ.

    Returns:
        (H, W) uint8, 255 where any channel differs.
    """
    red, green, blue = cv2.split(cv2.absdiff(source, target))
    return np.asarray(cv2.compare(cv2.max(cv2.max(red, green), blue), 0, cv2.CMP_GT), dtype=np.uint8)
