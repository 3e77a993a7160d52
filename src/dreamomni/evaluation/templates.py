"""Sticker templates: what every thing of a vocabulary looks like in any colour, at any size, place and blur.

A template keeps three layers apart (how much of a pixel is main fill, the fixed details, the coverage), so
that a picture of it in colour c over background b is ``fill * c + detail + (1 - coverage) * b``, and the
colour that explains an image best has a closed form. On a small common grid these forms are inner products,
so all things in many positions are ranked by one matrix product.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.assets import StickerPack

Array = npt.NDArray[np.float32]

_BASE_PX = 128
_KEPT_DRAWINGS = 24
"""Coloured and blurred drawings that a template remembers; neighbouring positions share them."""
_GRID = 20
_GRID_MARGIN = 0.15
"""The common grid covers the box of a region and this share of its sides beyond every edge."""
_SHIFTS = (-0.06, 0.0, 0.06)
_SCALES = (0.92, 1.0, 1.08)


class Placement(NamedTuple):
    """Where and how a template is put: centre, sides of its tight box, blur; all in pixels of the image."""

    x: float
    y: float
    width: float
    height: float
    blur: float

    def within(self, aspect: float, stretch: float) -> "Placement":
        """The same, one side grown until the proportions are at most ``stretch`` away from ``aspect``."""
        found = self.width / self.height
        if found > aspect * stretch:
            return self._replace(height=self.width / (aspect * stretch))
        if found < aspect / stretch:
            return self._replace(width=self.height * aspect / stretch)
        return self


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """One thing in one pose.

    Attributes:
        name: the word for the thing.
        flip: mirrored left to right.
        angle: rotation in degrees.
        levels: (H, W, 5) pictures (fill 0-1, detail 0-255 in three channels, coverage 0-1), largest first.
    """

    name: str
    flip: bool
    angle: float
    levels: tuple[Array, ...]
    _blurred: dict[tuple[int, int], Array] = field(default_factory=dict, repr=False)
    _drawn: dict[tuple[float, ...], Array] = field(default_factory=dict, repr=False)

    @property
    def aspect(self) -> float:
        """Width over height of the tight box."""
        height, width = self.levels[0].shape[:2]
        return width / height

    def place(self, placement: Placement, width: int, height: int) -> Array:
        """The five layers (height, width, 5) at ``placement`` in a window of the given sides."""
        layers, _, matrix = self._source(placement)
        parts = (layers[..., :3], layers[..., 3:])
        return np.dstack([cv2.warpAffine(part, matrix, (width, height)) for part in parts])

    def paint(self, placement: Placement, colour: Array, ground: Array) -> Array:
        """Picture of the template in ``colour`` (3,) over ``ground`` (H, W, 3), all 0-255."""
        layers, key, matrix = self._source(placement)
        tint = (*key, *colour.tolist())
        drawn = self._drawn.get(tint)
        if drawn is None:
            if len(self._drawn) >= _KEPT_DRAWINGS:
                self._drawn.clear()
            drawn = np.empty((*layers.shape[:2], 4), np.float32)
            drawn[..., :3] = layers[..., :1] * colour + layers[..., 1:4]
            drawn[..., 3] = 1 - layers[..., 4]
            self._drawn[tint] = drawn
        sides = (ground.shape[1], ground.shape[0])
        warped = cv2.warpAffine(
            drawn, matrix, sides, borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0, 0, 1)
        )
        picture: Array = ground * warped[..., 3:]
        picture += warped[..., :3]
        return picture

    def _source(self, placement: Placement) -> tuple[Array, tuple[int, int], npt.NDArray[np.float64]]:
        index = 0
        for step, smaller in enumerate(self.levels):
            if smaller.shape[0] < placement.height or smaller.shape[1] < placement.width:
                break
            index = step
        rows, columns = self.levels[index].shape[:2]
        scale_x, scale_y = placement.width / columns, placement.height / rows
        # Blurring before the warp costs once per template instead of once per position.
        spread = 4 * placement.blur / (scale_x + scale_y)
        key = (index, round(4 * spread))
        if key not in self._blurred:
            pad = int(np.ceil(3 * key[1] / 8)) + 1
            framed = cv2.copyMakeBorder(self.levels[index][..., :4], pad, pad, pad, pad, cv2.BORDER_CONSTANT)
            cover = cv2.copyMakeBorder(self.levels[index][..., 4], pad, pad, pad, pad, cv2.BORDER_CONSTANT)
            layers = np.dstack([framed, cover])
            if key[1]:
                layers = cv2.GaussianBlur(layers, (0, 0), key[1] / 8)
            self._blurred[key] = np.ascontiguousarray(layers)
        layers = self._blurred[key]
        # Pixel centres are at integers for cv2, box edges half a pixel further out.
        matrix = np.array(
            [
                [scale_x, 0, placement.x - 0.5 - (layers.shape[1] - 1) / 2 * scale_x],
                [0, scale_y, placement.y - 0.5 - (layers.shape[0] - 1) / 2 * scale_y],
            ]
        )
        return layers, key, matrix


class TemplateBank:
    """All templates of a vocabulary, with their inner products on the common grid.

    Args:
        pack: the stickers.
        names: which of them.
        angles: rotations in degrees. Poses that look alike are kept once.
    """

    def __init__(self, pack: StickerPack, names: Sequence[str], angles: Sequence[float]) -> None:
        self.templates = tuple(_templates(pack, names, angles))
        self._poses = [
            (template, (anchor, *variant))
            for template in self.templates
            for anchor in _anchors(template)
            for variant in product(_SHIFTS, _SHIFTS, _SCALES)
        ]
        grid = np.stack([template.place(_on_grid(*pose), _GRID, _GRID) for template, pose in self._poses])
        flat = grid.reshape(len(grid), -1, 5)
        self._fill, self._detail, self._cover = flat[..., 0], flat[..., 1:4], flat[..., 4]
        self._fill_fill = np.einsum("np,np->n", self._fill, self._fill)[:, None]
        self._fill_cover = np.einsum("np,np->n", self._fill, self._cover)[:, None]
        self._cover_cover = np.einsum("np,np->n", self._cover, self._cover)[:, None]
        self._fill_detail = np.einsum("np,npc->nc", self._fill, self._detail)
        self._detail_cover = np.einsum("npc,np->nc", self._detail, self._cover)
        self._detail_detail = np.einsum("npc,npc->nc", self._detail, self._detail)

    def rank(
        self, picture: Array, ground: Array, box: tuple[float, float, float, float], blur: float
    ) -> list[tuple[float, Template, Placement, Array]]:
        """Rank all templates for a region.

        Args:
            picture: (H, W, 3) window, 0-255, in which what is not to be explained looks like the ground.
            ground: (H, W, 3) the background there.
            box: x0, y0, x1, y1 of the region in the window.
            blur: blur of the window in pixels, handed on in the placements.

        Returns:
            For every template, best first: unexplained share of the squared contrast (in sRGB), the template,
            where it fits, and in which colour.
        """
        x0, y0, x1, y1 = box
        width, height = x1 - x0, y1 - y0
        step_x, step_y = width * (1 + 2 * _GRID_MARGIN) / _GRID, height * (1 + 2 * _GRID_MARGIN) / _GRID
        centre_x, centre_y = (x0 + x1) / 2, (y0 + y1) / 2
        matrix = np.array(
            [
                [step_x, 0, centre_x - 0.5 - (_GRID - 1) / 2 * step_x],
                [0, step_y, centre_y - 0.5 - (_GRID - 1) / 2 * step_y],
            ]
        )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        contrast = cv2.warpAffine(picture - ground, matrix, (_GRID, _GRID), flags=flags)
        seen = contrast.reshape(-1, 3)
        back = ground.reshape(-1, 3).mean(axis=0)
        fill_seen, cover_seen = self._fill @ seen, self._cover @ seen
        detail_seen = np.stack([self._detail[..., c] @ seen[:, c] for c in range(3)], axis=1)
        fill_rest = fill_seen - self._fill_detail + back * self._fill_cover
        colour = np.clip(fill_rest / np.maximum(self._fill_fill, 1e-3), 0, 255)
        rest_seen = detail_seen - back * cover_seen
        rest_rest = self._detail_detail - 2 * back * self._detail_cover + back**2 * self._cover_cover
        energy = (seen**2).sum(axis=0)
        left = energy - 2 * rest_seen + rest_rest + colour**2 * self._fill_fill - 2 * colour * fill_rest
        shares: Array = left.sum(axis=1) / max(float(energy.sum()), 1e-3)
        ranked: list[tuple[float, Template, Placement, Array]] = []
        seen_templates: set[int] = set()
        for index in np.argsort(shares):
            template, pose = self._poses[index]
            if id(template) not in seen_templates:
                seen_templates.add(id(template))
                placement = _on_box(centre_x, centre_y, width, height, *pose)._replace(blur=blur)
                ranked.append((float(shares[index]), template, placement, colour[index].astype(np.float32)))
        return ranked


_Anchor = tuple[float, float, float, float]


def _on_box(
    x: float,
    y: float,
    width: float,
    height: float,
    anchor: _Anchor,
    shift_x: float,
    shift_y: float,
    scale: float,
) -> Placement:
    """Put the ``anchor`` part of a template onto a box (centre and sides), shifted and scaled."""
    full_width = scale * width / (anchor[2] - anchor[0])
    full_height = scale * height / (anchor[3] - anchor[1])
    return Placement(
        x + shift_x * width + (0.5 - (anchor[0] + anchor[2]) / 2) * full_width,
        y + shift_y * height + (0.5 - (anchor[1] + anchor[3]) / 2) * full_height,
        full_width,
        full_height,
        0.0,
    )


def _on_grid(anchor: _Anchor, shift_x: float, shift_y: float, scale: float) -> Placement:
    side = _GRID / (1 + 2 * _GRID_MARGIN)
    place = _on_box(_GRID / 2, _GRID / 2, side, side, anchor, shift_x, shift_y, scale)
    return place._replace(blur=0.05 * side)


def _anchors(template: Template) -> list[_Anchor]:
    """Parts of the tight box that a region can show: all of it, and what is left when pale details fade."""
    level = template.levels[-1]
    pad = 4
    framed = np.pad(level, ((pad, pad), (pad, pad), (0, 0)))
    soft = cv2.GaussianBlur(framed[..., 4] * 255 - framed[..., 1:4].mean(axis=2), (0, 0), 1.4)
    rows, columns = np.nonzero(soft > 80)
    height, width = level.shape[:2]
    bold = (
        max(0.0, (columns.min() - pad) / width),
        max(0.0, (rows.min() - pad) / height),
        min(1.0, (columns.max() + 1 - pad) / width),
        min(1.0, (rows.max() + 1 - pad) / height),
    )
    full = (0.0, 0.0, 1.0, 1.0)
    return [full] if max(abs(f - b) for f, b in zip(full, bold, strict=True)) < 0.1 else [full, bold]


def _templates(pack: StickerPack, names: Sequence[str], angles: Sequence[float]) -> Iterator[Template]:
    for name in names:
        kept: list[Array] = []
        for angle, flip in product(angles, (False, True)):
            base = _layers(pack, name, angle, flip)
            if not any(_alike(base, other) for other in kept):
                kept.append(base)
                yield Template(name, flip, angle, _pyramid(base))


def _layers(pack: StickerPack, name: str, angle: float, flip: bool) -> Array:
    black, white = (
        pack.render(name, colour, _BASE_PX, angle=angle, flip=flip, premultiplied=True).astype(np.float32)
        for colour in ((0, 0, 0), (255, 255, 255))
    )
    fill = (white[..., :3] - black[..., :3]).mean(axis=2) / 255
    return np.dstack([fill, black[..., :3], black[..., 3] / 255]).astype(np.float32)


def _alike(first: Array, second: Array) -> bool:
    return first.shape == second.shape and float(np.abs(first[..., 4] - second[..., 4]).mean()) < 0.01


def _pyramid(base: Array) -> tuple[Array, ...]:
    levels = [base]
    for factor in (1.41, 2, 2.83, 4, 5.66):
        size = (max(2, round(base.shape[1] / factor)), max(2, round(base.shape[0] / factor)))
        parts = [
            cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (base[..., :3], base[..., 3:])
        ]
        levels.append(np.dstack(parts))
    return tuple(levels)
