"""From a plan to pixels, and to the id map that every label is read from.

Compositing is `below * (255 - alpha) / 255 + premultiplied colour` in uint8 on the rectangle of the thing, by
two OpenCV calls, rounded to nearest. At 512 px that is a tenth of the same in numpy.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.affine import Fit
from dreamomni.data.collage.assets import AssetSource
from dreamomni.data.collage.backgrounds import paint_background
from dreamomni.data.collage.blending import Gain, finish, gain_of, shadow
from dreamomni.data.collage.clarity import Clarity
from dreamomni.data.collage.finishes import finished
from dreamomni.data.collage.fonts import render_text
from dreamomni.data.collage.palette import RGB
from dreamomni.data.collage.scene import BlendLook, Look, Placed, Scene
from dreamomni.data.collage.shapes import render_shape, shape_fit
from dreamomni.data.collage.sprite import Sprite, SpriteCache
from dreamomni.tasks.geometry import Box, Size

_UNLIT: Gain = (1.0, 1.0, 1.0)
_MAX_ID = 255
_SMALL_CANVAS_PX = 128 * 128


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn scene.

    Attributes:
        pixels: (H, W, 3) uint8, sRGB.
        ids: (H, W) int16, the instance that each pixel belongs to; 0 is the background, and so is a shadow.
        footprints: For each instance, its solid pixels had nothing covered it.
        windows: For each instance that reaches the canvas, the part of the canvas that its array covers; all
            of its visible pixels lie there.
        whole: For each instance that no other reaches and no edge cuts, the box around its solid pixels: what
            labels would find, known before they look.
        touched: For each instance, the part of the canvas that it changes, its shadow included.
        edited: Of the second picture of a pair, all that may differ from the first; None may be everything.
    """

    pixels: npt.NDArray[np.uint8]
    ids: npt.NDArray[np.int16]
    footprints: dict[int, int]
    windows: dict[int, Box] = field(default_factory=dict)
    whole: dict[int, Box] = field(default_factory=dict)
    touched: dict[int, Box] = field(default_factory=dict)
    edited: Box | None = None


@dataclass(slots=True)
class _Canvas:
    """A picture in the making; see there."""

    pixels: npt.NDArray[np.uint8]
    ids: npt.NDArray[np.uint8]
    blend: BlendLook
    gain: Gain
    photo: bool
    footprints: dict[int, int] = field(default_factory=dict)
    windows: dict[int, Box] = field(default_factory=dict)
    whole: dict[int, Box] = field(default_factory=dict)
    touched: dict[int, Box] = field(default_factory=dict)

    def copy(self) -> "_Canvas":
        """One that goes on by itself."""
        return _Canvas(
            self.pixels.copy(),
            self.ids.copy(),
            self.blend,
            self.gain,
            self.photo,
            dict(self.footprints),
            dict(self.windows),
            dict(self.whole),
            dict(self.touched),
        )

    def finished(self, edited: Box | None = None) -> Picture:
        """The picture, when everything is on it."""
        ids = self.ids.astype(np.int16)
        return Picture(self.pixels, ids, self.footprints, self.windows, self.whole, self.touched, edited)


class Renderer:
    """Draws scenes, remembering sprites it has drawn before.

    A data engine runs in as many processes as there are cores, so OpenCV keeps to one thread in a process
    that makes a renderer; the pixels are the same with any number.

    Args:
        pack: Where pictures of things come from.
        clarity: What must be true of every thing in a picture, else drawing it raises `UnclearError`.
    """

    def __init__(self, pack: AssetSource, clarity: Clarity | None = None) -> None:
        cv2.setNumThreads(1)
        self._pack = pack
        self._clarity = clarity
        self._cache = SpriteCache()

    def sprite(self, look: Look) -> Sprite:
        """One instance as its asset shows it, before blending. To ask for its sides costs no drawing."""
        sprite = self._cache.get(look)
        if sprite is None:
            sprite = self._new(look)
            self._cache.put(look, sprite)
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
        return self._pack.fit(look.asset or look.name, look.size, angle=look.angle, flip=look.flip)

    def picture(self, scene: Scene) -> Picture:
        """Draw a scene; instances may reach over the edge of the canvas."""
        canvas = self._blank(scene)
        self._draw_onto(canvas, scene.placed)
        return canvas.finished()

    def pair(self, source: Scene, target: Scene) -> tuple[Picture, Picture]:
        """Draw two scenes on one background with one blend; what both begin with is drawn once."""
        shared = 0
        for first, second in zip(source.placed, target.placed, strict=False):
            if first != second:
                break
            shared += 1
        before = self._blank(source)
        self._draw_onto(before, source.placed[:shared])
        after = before.copy()
        self._draw_onto(before, source.placed[shared:])
        self._draw_onto(after, target.placed[shared:])
        edited = _edited(source.placed[shared:], target.placed[shared:], before, after)
        return before.finished(), after.finished(edited)

    def _blank(self, scene: Scene) -> _Canvas:
        look, size = scene.background, scene.size
        if look.style == "photo":
            pixels = self._pack.background(look.asset, size.width, size.height, look.crop)
        else:
            pixels = paint_background(look, size)
        gain = gain_of(scene.blend, pixels) if scene.blend.style == "gain" else _UNLIT
        return _Canvas(pixels, np.zeros(pixels.shape[:2], np.uint8), scene.blend, gain, look.style == "photo")

    def _draw_onto(self, canvas: _Canvas, placed: Sequence[Placed]) -> None:
        height, width = canvas.ids.shape
        for item in placed:
            number = item.instance_id
            if not 0 < number <= _MAX_ID:
                raise ValueError(f"instance {number}: ids in a picture run from 1 to {_MAX_ID}")
            if self._clarity is not None and item.look.asset:
                self._clarity.check_size(item)
            sprite = self._blended(item.look, canvas)
            canvas.footprints[number] = sprite.area
            if sprite.shadow is not None:
                light, dx, dy = sprite.shadow
                shaded = _darken(canvas.pixels, light, item.x + dx, item.y + dy)
                if shaded is not None:
                    canvas.touched[number] = shaded
            window = _overlap(item.x, item.y, sprite.width, sprite.height, width, height)
            if window is None:
                continue
            colour, clear, solid = sprite.colour, sprite.clear, sprite.solid.view(np.uint8)
            x0, y0, x1, y1 = window
            pixels, ids = canvas.pixels[y0:y1, x0:x1], canvas.ids[y0:y1, x0:x1]
            if canvas.photo and self._clarity is not None:
                self._clarity.check_contrast(item, pixels)
            if window.width < sprite.width or window.height < sprite.height:
                there = np.s_[y0 - item.y : y1 - item.y, x0 - item.x : x1 - item.x]
                colour, clear, solid = colour[there], clear[there], solid[there]
            elif sprite.area:
                left, top, right, bottom = sprite.bounds
                canvas.whole[number] = Box(item.x + left, item.y + top, item.x + right, item.y + bottom)
            cv2.add(cv2.multiply(pixels, clear, scale=1 / 255), colour, dst=pixels)
            reached = [other for other, box in canvas.windows.items() if box.meets(window)]
            if reached:
                mine = cv2.threshold(solid, 0, number, cv2.THRESH_BINARY)[1]
                cv2.copyTo(mine, mine, dst=ids)
                for other in (*reached, number):
                    canvas.whole.pop(other, None)
            else:
                cv2.threshold(solid, 0, number, cv2.THRESH_BINARY, dst=ids)
            canvas.windows[number] = window
            canvas.touched[number] = Box.around((window, canvas.touched.get(number, window)))

    def _blended(self, look: Look, canvas: _Canvas) -> Sprite:
        blend = canvas.blend
        if blend.style == "none":
            return self.sprite(look)
        shorter = min(canvas.ids.shape)
        key = (look, blend, canvas.gain, shorter)
        sprite = self._cache.get(key)
        if sprite is None:
            sprite = self._new(look, blend, canvas.gain)
            if blend.style == "shadow":
                sprite.shadow = shadow(sprite.alpha, blend, shorter)
            self._cache.put(key, sprite)
        return sprite

    def _new(self, look: Look, blend: BlendLook | None = None, gain: Gain = _UNLIT) -> Sprite:
        if look.kind == "text":
            # Letters are hinted: only drawing tells how wide they are.
            image = self._draw(look)
            height, width = image.shape[:2]
            return Sprite(width, height, lambda: image if blend is None else finish(image, look, blend, gain))
        width, height = self._measure(look)
        return Sprite(
            width,
            height,
            lambda: self._draw(look) if blend is None else finish(self._draw(look), look, blend, gain),
        )

    def _measure(self, look: Look) -> Size:
        if look.kind == "shape":
            fit = shape_fit(look.name, look.size, look.angle)
            return Size(fit.width, fit.height)
        return self._pack.measure(look.asset or look.name, look.size, angle=look.angle, flip=look.flip)

    def _draw(self, look: Look) -> npt.NDArray[np.uint8]:
        if look.finish:
            return finished(look.finish, lambda rgb: self._plain(look, rgb), look.rgb, look.size)
        return self._plain(look, look.rgb)

    def _plain(self, look: Look, rgb: RGB) -> npt.NDArray[np.uint8]:
        if look.kind == "shape":
            return render_shape(look.name, rgb, look.size, look.angle)
        if look.kind == "text":
            return render_text(look.name, look.font, rgb, look.size, self._pack)
        return self._pack.render(
            look.asset or look.name, rgb, look.size, angle=look.angle, flip=look.flip, premultiplied=True
        )


def _overlap(x: int, y: int, width: int, height: int, canvas_width: int, canvas_height: int) -> Box | None:
    """The part of the canvas that an array with its upper left pixel at (x, y) covers, if any."""
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + width, canvas_width), min(y + height, canvas_height)
    return Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _edited(
    source: Sequence[Placed], target: Sequence[Placed], before: _Canvas, after: _Canvas
) -> Box | None:
    """The part of the canvas in which two lists of things may look different; None may be everything."""
    height, width = before.ids.shape
    # On a small canvas looking everywhere is cheaper than knowing where to look.
    if height * width < _SMALL_CANVAS_PX:
        return None
    old = {item.instance_id: item for item in source}
    staying = [item.instance_id for item in target if old.get(item.instance_id) == item]
    if [number for number in old if number in staying] != staying:
        return None
    parts = [
        canvas.touched[item.instance_id]
        for canvas, items in ((before, source), (after, target))
        for item in items
        if item.instance_id not in staying and item.instance_id in canvas.touched
    ]
    return Box.around(parts) if parts else Box(0, 0, 1, 1)


def _darken(pixels: npt.NDArray[np.uint8], light: npt.NDArray[np.uint8], x: int, y: int) -> Box | None:
    """Multiply a part of a picture by `light` / 255, in place; return that part."""
    window = _overlap(x, y, light.shape[1], light.shape[0], pixels.shape[1], pixels.shape[0])
    if window is not None:
        x0, y0, x1, y1 = window
        here = pixels[y0:y1, x0:x1]
        cv2.multiply(here, light[y0 - y : y1 - y, x0 - x : x1 - x], dst=here, scale=1 / 255)
    return window


def changed(
    source: npt.NDArray[np.uint8], target: npt.NDArray[np.uint8], within: Box | None = None
) -> npt.NDArray[np.uint8]:
    """Mark the pixels that differ.

    Args:
        source: (H, W, 3) uint8.
        target: The same.
        within: Outside of it nothing is different (`Picture.edited`); None looks everywhere.

    Returns:
        (H, W) uint8, 255 where any channel differs.
    """
    if within is not None:
        mask = np.zeros(source.shape[:2], np.uint8)
        part = np.s_[within.y0 : within.y1, within.x0 : within.x1]
        mask[part] = changed(source[part], target[part])
        return mask
    # 255 in any one channel weighs at least 29 in the grey value.
    differs = cv2.cvtColor(cv2.compare(source, target, cv2.CMP_NE), cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.threshold(differs, 0, 255, cv2.THRESH_BINARY)[1], dtype=np.uint8)
