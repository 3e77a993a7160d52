"""The eye of the world evaluation: which things, of which colour, lie where in a picture of a world.

Analysis by synthesis. The background is fitted, what stands out of it is cut into regions, and every region
is explained by the sticker template that, placed, scaled, blurred and coloured as well as possible, leaves
the least of it unexplained: outline and inner pattern count alike, in CIE L*a*b*. A region that no template
explains well is a detection without a name ("unreadable"); it is never called the nearest thing.
docs/log/2026-11-21-world-checker.md has its confusion numbers on rendered truth and on degraded pictures.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.assets import StickerPack
from dreamomni.data.collage.palette import PALETTE, RGB, nearest_colour
from dreamomni.evaluation.segment import (
    Array,
    Ground,
    Mask,
    find_ground,
    find_regions,
    is_speck,
    split_by_colour,
    split_by_shape,
    to_lab,
)
from dreamomni.evaluation.templates import Placement, Template, TemplateBank
from dreamomni.tasks.geometry import Box

CHECKER_VERSION = 2
"""Raised whenever a change here, in the templates or in the scorers can change a verdict."""
MIN_SCORE = 0.82
"""Least explained share of a region's contrast for it to get a name."""
MAX_RIVAL = 0.85
"""The best name must leave at most this share of what the best template of any other name leaves."""
MAX_COLOUR_DISTANCE = 26.0
"""CIE76 distance of the measured fill from the nearest palette colour beyond which the colour is unclear."""
MIN_GROUND_SHARE = 0.2
"""A picture in which the background explains less than this has none, and nothing in it can be read."""

_GOOD = 0.93
"""Regions explained this well are taken as they are; others are also tried in parts."""
_PART_COST = 0.03
"""What one more object must add to the explained share; otherwise fewer objects are the better reading."""
_MAX_STRETCH = 1.25
"""Largest change of a template's proportions."""
_SHORTEST_PAIR = 0.36
"""Regions whose longest side is a smaller share of the picture's shorter side have no room for two things."""
_MAX_PARTS = 6
_FEWEST_PURE = 8
"""Least number of pixels from which a colour is read."""
_MAX_DEPTH = 2
_WINDOW_MARGIN = 4
_COMPARE_BLUR = 0.5
"""Blur in pixels given to the picture before it is compared, so that noise weighs less."""
_BLURS = (0.5, 2.2)
"""Range of the whole blur (the comparison's and the picture's own) in pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """One thing seen in a picture.

    Attributes:
        name: the word for the thing; None when it cannot be read.
        colour: the word for its main colour; None when unclear.
        box: tight half-open box of its pixels.
        mask: (H, W) bool, the pixels that stand out of the background.
        score: explained share of its contrast, 0 to 1 (1: pixel for pixel the sticker).
    """

    name: str | None
    colour: str | None
    box: Box
    mask: Mask
    score: float


class Vocabulary:
    """The things and colours that a checker knows, with the templates of the things.

    Args:
        names: words of stickers.
        colours: words of `PALETTE`.
        pack: where the stickers come from.
        angles: rotations in degrees at which things may stand.
    """

    def __init__(
        self,
        names: Iterable[str],
        colours: Iterable[str],
        *,
        pack: StickerPack | None = None,
        angles: Sequence[float] = (0.0,),
    ) -> None:
        self.names = tuple(names)
        self.palette: dict[str, RGB] = {colour: PALETTE[colour] for colour in colours}
        self.palette_rgb: Array = np.array(list(self.palette.values()), dtype=np.float32)
        self.bank = TemplateBank(pack or StickerPack.default(), self.names, angles)


class _Fit(NamedTuple):
    """How well one template explains one region: what share of its contrast energy is left unexplained."""

    template: Template
    placement: Placement
    colour: Array
    unexplained: float
    energy: float
    rival: float = 1.0
    """What the best template of another name leaves."""

    @property
    def readable(self) -> bool:
        """Whether the template may give its name: it explains much, and clearly more than any other name."""
        return 1 - self.unexplained >= MIN_SCORE and self.unexplained <= MAX_RIVAL * self.rival


_Reading = list[tuple[Mask, _Fit]]


def detect(image: npt.NDArray[np.uint8], vocabulary: Vocabulary) -> list[Detection]:
    """Find the things in a picture of the collage world.

    Args:
        image: (H, W, 3) uint8 sRGB. Made for 64 px; 32 to 128 work, larger pictures are slow.
        vocabulary: what may be there.

    Returns:
        Detections, the best explained first, those without a name last.
    """
    ground = find_ground(image)
    height, width = image.shape[:2]
    if ground.share < MIN_GROUND_SHARE:
        return [Detection(None, None, Box(0, 0, width, height), np.ones((height, width), dtype=bool), 0.0)]
    picture = _Picture(image.astype(np.float32), ground, vocabulary)
    regions = find_regions(ground)
    readings = [picture.read(region, others=_union(regions, region)) for region in regions]
    pairs = [pair for reading in picture.joined(regions, readings) for pair in reading]
    found = [picture.detection(mask, fit) for mask, fit in pairs]
    return sorted(found, key=lambda detection: (detection.name is None, -detection.score))


class _Picture:
    """One picture while it is read."""

    def __init__(self, rgb: Array, ground: Ground, vocabulary: Vocabulary) -> None:
        self.rgb: Array = np.asarray(cv2.GaussianBlur(rgb, (0, 0), _COMPARE_BLUR))
        self.ground = ground
        self.vocabulary = vocabulary
        self.lab = to_lab(self.rgb)
        self.contrast: Array = ((self.lab - to_lab(ground.rgb)) ** 2).sum(axis=2)
        # The comparison blur leaves about this share of white noise.
        self.floor = 3 * ground.noise**2 / (1 + 4 * np.pi * _COMPARE_BLUR**2)
        self.height, self.width = rgb.shape[:2]

    def read(self, region: Mask, others: Mask, depth: int = 0) -> _Reading:
        """Explain a region by one thing, or by several when that explains clearly more."""
        whole: _Reading = [(region, self.fit(region, others))]
        rows, columns = np.nonzero(region)
        longest = max(np.ptp(rows), np.ptp(columns)) + 1
        room = longest >= _SHORTEST_PAIR * min(self.height, self.width)
        if _quality(whole) >= _GOOD or depth == _MAX_DEPTH or not room:
            return whole
        smallest = max(6, round(0.002 * self.height * self.width))
        partitions = [
            split_by_colour(self.rgb, region, self.vocabulary.palette_rgb, smallest),
            *split_by_shape(region),
        ]
        split = [self._read_parts(region, others, partition, depth) for partition in partitions]
        return max([whole, *filter(None, split)], key=_quality)

    def _read_parts(self, region: Mask, others: Mask, partition: list[Mask], depth: int) -> _Reading | None:
        """Read each part of a region; None as soon as one cannot be read, for then the cut was wrong."""
        parts = [part for part in partition if not is_speck(part, self.height, self.width)]
        if not 2 <= len(parts) <= _MAX_PARTS:
            return None
        reading: _Reading = []
        for part in parts:
            found = self.read(part, others | (region & ~part), depth + 1)
            if not all(fit.readable for _, fit in found):
                return None
            reading += found
        return reading

    def joined(self, regions: list[Mask], readings: list[_Reading]) -> list[_Reading]:
        """Put back together what fell apart: a badly read region may be a fragment of its neighbour."""
        readings = list(readings)
        index = 0
        while index < len(readings):
            partner = self._partner(index, readings) if _quality(readings[index]) < _GOOD else None
            if partner is not None:
                union = _mask_of(readings[index]) | _mask_of(readings[partner])
                together: _Reading = [(union, self.fit(union, _union(regions, union)))]
                if _quality(together) >= _quality(readings[index] + readings[partner]):
                    readings[min(index, partner)] = together
                    del readings[max(index, partner)]
                    index = 0
                    continue
            index += 1
        return readings

    def _partner(self, index: int, readings: list[_Reading]) -> int | None:
        mask = _mask_of(readings[index]).astype(np.uint8)
        reach = 2 * max(2, round(0.04 * self.width)) + 1
        near = cv2.dilate(mask, np.ones((reach, reach), np.uint8)).astype(bool)
        touching = [
            (int((near & _mask_of(other)).sum()), position)
            for position, other in enumerate(readings)
            if position != index
        ]
        shared, position = max(touching, default=(0, -1))
        return position if shared > 0 else None

    def fit(self, mask: Mask, others: Mask) -> _Fit:
        """The template that explains a region best; pixels of ``others`` do not count."""
        rows, columns = np.nonzero(mask)
        top, bottom = int(rows.min()), int(rows.max()) + 1
        left, right = int(columns.min()), int(columns.max()) + 1
        margin = max(_WINDOW_MARGIN, round(0.35 * max(bottom - top, right - left)))
        y0, y1 = max(0, top - margin), min(self.height, bottom + margin)
        x0, x1 = max(0, left - margin), min(self.width, right + margin)
        window = (slice(y0, y1), slice(x0, x1))
        # Pixels of a neighbour say nothing about this thing, which may go on behind it.
        own: Mask = ~others[window]
        ground = self.ground.rgb[window]
        shown = np.where(own[..., None], self.rgb[window], ground)
        box = (left - x0, top - y0, right - x0, bottom - y0)
        trial = _Trial(self, window, own)
        ranked = self.vocabulary.bank.rank(shown, ground, box, blur=0.8)
        limit = 1.5 * ranked[0][0] + 0.08
        starts = [
            trial.start(template, placement.within(template.aspect, _MAX_STRETCH), colour)
            for share, template, placement, colour in ranked[:6]
            if share <= limit
        ]
        best = trial.search(starts)
        return best._replace(colour=trial.named_colour(best.template, best.placement))

    def detection(self, mask: Mask, fit: _Fit) -> Detection:
        """Turn the best explanation of a region into a statement, or into an abstention."""
        rows, columns = np.nonzero(mask)
        box = Box(int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
        score = max(0.0, 1.0 - fit.unexplained)
        colour, distance = nearest_colour(fit.colour, self.vocabulary.palette)
        return Detection(
            name=fit.template.name if fit.readable else None,
            colour=colour if distance <= MAX_COLOUR_DISTANCE else None,
            box=box,
            mask=mask,
            score=round(score, 4),
        )


class _Trial:
    """Templates tried on one window of the picture."""

    def __init__(self, picture: _Picture, window: tuple[slice, slice], own: Mask) -> None:
        self.rgb, self.lab, self.ground = picture.rgb[window], picture.lab[window], picture.ground.rgb[window]
        self.weight = own.astype(np.float32)
        self.height, self.width = own.shape
        self.floor = picture.floor * float(own.sum())
        self.energy = max(float((self.weight * picture.contrast[window]).sum()) - self.floor, 1.0)

    def unexplained(self, template: Template, placement: Placement, colour: Array) -> float:
        """Share of the contrast energy that the template leaves."""
        residual = self.lab - to_lab(template.paint(placement, colour, self.ground))
        left = float(np.einsum("hwc,hwc,hw->", residual, residual, self.weight))
        return max(0.0, left - self.floor) / self.energy

    def best_colour(self, template: Template, placement: Placement) -> Array:
        """Fill colour that explains the window best in the sense of least squares, clipped to 0-255."""
        layers = template.place(placement, self.width, self.height)
        rest = self.rgb - layers[..., 1:4] - (1 - layers[..., 4:]) * self.ground
        gain = self.weight * layers[..., 0]
        total = max(float((gain * layers[..., 0]).sum()), 1e-3)
        return np.clip(np.einsum("hw,hwc->c", gain, rest) / total, 0, 255).astype(np.float32)

    def named_colour(self, template: Template, placement: Placement) -> Array:
        """Median of the main fill where it is purest, so that outlines and details do not count."""
        layers = template.place(placement, self.width, self.height)
        purity = layers[..., 0] * self.weight
        pure = purity >= min(0.9 * float(purity.max()), float(np.sort(purity, axis=None)[-_FEWEST_PURE]))
        rest = self.rgb - layers[..., 1:4] - (1 - layers[..., 4:]) * self.ground
        fill = np.median(rest[pure] / np.maximum(layers[pure][:, :1], 1e-3), axis=0)
        return np.clip(fill, 0, 255).astype(np.float32)

    def start(self, template: Template, placement: Placement, colour: Array) -> _Fit:
        """A first guess, measured."""
        return _Fit(template, placement, colour, self.unexplained(template, placement, colour), self.energy)

    def search(self, fits: list[_Fit]) -> _Fit:
        """Refine all guesses in ever smaller steps, dropping those that fall clearly behind."""
        known: dict[str, float] = {}
        for step in (1.0, 0.5, 0.25):
            fits = sorted((self.refine(fit, step) for fit in fits), key=lambda fit: fit.unexplained)
            known.update((fit.template.name, fit.unexplained) for fit in reversed(fits))
            lowest = fits[0].unexplained
            fits = [fit for fit in fits if fit.unexplained <= 1.4 * lowest + 0.02]
            if lowest < 0.25 * (1 - _GOOD):
                break
        best = fits[0]
        return best._replace(
            rival=min((v for name, v in known.items() if name != best.template.name), default=1.0)
        )

    def refine(self, fit: _Fit, step: float) -> _Fit:
        """Move, scale and blur a template, coordinate by coordinate, while that explains more."""
        template, best, colour, lowest, energy, _ = fit
        for _ in range(3):
            before = lowest
            for moved in _neighbours(best, step):
                if moved == moved.within(template.aspect, _MAX_STRETCH):
                    value = self.unexplained(template, moved, colour)
                    if value < lowest:
                        best, lowest = moved, value
            fresh = self.best_colour(template, best)
            value = self.unexplained(template, best, fresh)
            if value < lowest:
                lowest, colour = value, fresh
            if lowest > 0.97 * before:
                break
        return _Fit(template, best, colour, lowest, energy)


def _neighbours(place: Placement, step: float) -> Iterable[Placement]:
    longest = max(place.width, place.height)
    for sign in (-step, step):
        grown = 1 + sign / longest
        yield place._replace(x=place.x + sign)
        yield place._replace(y=place.y + sign)
        yield place._replace(width=place.width * grown, height=place.height * grown)
        yield place._replace(width=place.width + sign)
        yield place._replace(height=place.height + sign)
        yield place._replace(blur=min(max(place.blur + 0.6 * sign, _BLURS[0]), _BLURS[1]))


def _quality(reading: _Reading) -> float:
    """Explained share of all regions of a reading, less the cost of every object beyond the first."""
    energy = sum(fit.energy for _, fit in reading)
    left = sum(fit.energy * min(1.0, fit.unexplained) for _, fit in reading)
    return 1.0 - left / energy - _PART_COST * (len(reading) - 1)


def _mask_of(reading: _Reading) -> Mask:
    mask: Mask = np.logical_or.reduce([part for part, _ in reading])
    return mask


def _union(regions: Sequence[Mask], without: Mask) -> Mask:
    """All regions except the pixels of ``without``."""
    together = np.zeros_like(without)
    for region in regions:
        together |= region
    together &= ~without
    return together
