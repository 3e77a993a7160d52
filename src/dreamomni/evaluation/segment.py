"""From pixels to regions: the pale background of a world image, and the parts that stand out of it.

Knows nothing of things or words. Distances are CIE76 in CIE L*a*b*.
"""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_BORDER = 1 / 16
"""Width of the frame of pixels from which the background is first guessed, in units of the shorter side."""
_NEAR = 12.0
"""Pixels nearer than this to the fitted background are taken as background for the next fit."""
_FOREGROUND = 13.0
"""Least distance of a foreground pixel; palette colours are 30 and more from every background."""
_SMALLEST_SHARE = 0.006
"""Regions with a smaller share of the picture are specks (24 pixels at 64 x 64)."""
_SHORTEST_SIDE = 0.09
"""Regions whose longest side is shorter than this share of the picture's shorter side are specks."""


class Ground(NamedTuple):
    """The background of an image.

    Attributes:
        rgb: (H, W, 3) float32, 0-255: the picture without its objects.
        distance: (H, W) CIE76 distance of the image from it.
        noise: standard deviation of the background's residual per Lab channel.
        share: share of pixels that the background explains.
    """

    rgb: Array
    distance: Array
    noise: float
    share: float


def to_lab(rgb: Array) -> Array:
    """Convert sRGB 0-255 float32 (H, W, 3) to CIE L*a*b*, D65; agrees with `palette.lab` to 0.1."""
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(rgb / 255, dtype=np.float32), cv2.COLOR_RGB2LAB))


def find_ground(image: npt.NDArray[np.uint8]) -> Ground:
    """Fit a plain or softly graded background by robust least squares, first to the frame, then to all of it.

    The surface is quadratic in x and y for each colour channel, which a linear or a gentle radial gradient
    obeys; a picture whose frame is covered by objects for less than half is read rightly.
    """
    rgb = image.astype(np.float32)
    height, width = rgb.shape[:2]
    smooth = cv2.GaussianBlur(rgb, (0, 0), max(0.6, 0.012 * min(height, width)))
    lab = to_lab(smooth)
    frame = np.ones((height, width), dtype=bool)
    border = max(1, round(_BORDER * min(height, width)))
    frame[border:-border, border:-border] = False
    # The median can lie between the ends of a gradient, so the first gate is wide.
    keep = frame & (np.linalg.norm(lab - np.median(lab[frame], axis=0), axis=2) < 2 * _NEAR)
    surface = _fit_surface(smooth, keep, degree=1)
    for degree in (1, 1, 2, 2):
        near = np.linalg.norm(lab - to_lab(surface), axis=2) < _NEAR
        # Outside the frame only once the frame has settled: objects are never the majority of the frame.
        keep = near & frame if degree == 1 else near
        if keep.sum() < 12:
            break
        surface = _fit_surface(smooth, keep, degree)
    raw_residual = to_lab(rgb) - to_lab(surface)
    near = np.linalg.norm(lab - to_lab(surface), axis=2) < _NEAR
    noise = float(1.4826 * np.median(np.abs(raw_residual[near]))) if near.any() else 100.0
    strength = 0.0 if noise < 1.5 else min(1.0, 0.25 * noise)
    calm = cv2.GaussianBlur(rgb, (0, 0), strength) if strength > 0.3 else rgb
    distance = np.linalg.norm(to_lab(calm) - to_lab(surface), axis=2)
    return Ground(surface, distance.astype(np.float32), noise, float(near.mean()))


def find_regions(ground: Ground) -> list[Mask]:
    """Connected regions of the foreground, the largest first, without specks."""
    height, width = ground.distance.shape
    foreground = (ground.distance > max(_FOREGROUND, 2.5 * ground.noise)).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(foreground, connectivity=8)
    order = sorted(range(1, count), key=lambda index: -int(stats[index, cv2.CC_STAT_AREA]))
    return [labels == index for index in order if not is_speck(labels == index, height, width)]


def is_speck(mask: Mask, height: int, width: int) -> bool:
    """Whether a region is too small to be an object of the world."""
    rows, columns = np.nonzero(mask)
    if len(rows) < _SMALLEST_SHARE * height * width:
        return True
    longest = max(np.ptp(rows), np.ptp(columns)) + 1
    return bool(longest < _SHORTEST_SIDE * min(height, width))


def split_by_colour(image: Array, mask: Mask, palette: Array, smallest: int) -> list[Mask]:
    """Cut a region into connected parts of one palette colour each; other pixels join the nearest part.

    Args:
        image: (H, W, 3) sRGB 0-255.
        mask: the region.
        palette: (N, 3) sRGB of the colours that objects may have.
        smallest: parts with fewer sure pixels are dropped.
    """
    lab = to_lab(cv2.GaussianBlur(image, (0, 0), 0.6))
    colours = to_lab(palette[None])[0]
    distances = np.linalg.norm(lab[:, :, None] - colours, axis=3)
    nearest = np.where(mask & (distances.min(axis=2) < 20), distances.argmin(axis=2), -1)
    cores = []
    for index in range(len(colours)):
        count, labels, stats, _ = cv2.connectedComponentsWithStats(
            (nearest == index).astype(np.uint8), connectivity=4
        )
        cores += [labels == i for i in range(1, count) if stats[i, cv2.CC_STAT_AREA] >= smallest]
    return _nearest_part(mask, cores)


def split_by_shape(mask: Mask) -> list[list[Mask]]:
    """Cut a region at its necks, in every way that falling depths suggest.

    Returns:
        Partitions into two or more parts: a core is connected pixels deeper than a level, and every pixel
        belongs to the nearest core. Higher levels find more necks.
    """
    padded = np.pad(mask, 1).astype(np.uint8)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    peak = float(depth.max())
    partitions: dict[int, list[Mask]] = {}
    for level in (0.4, 0.5, 0.6, 0.7, 0.8):
        count, labels, stats, _ = cv2.connectedComponentsWithStats((depth > level * peak).astype(np.uint8))
        cores = [labels == index for index in range(1, count) if stats[index, cv2.CC_STAT_AREA] >= 3]
        if len(cores) > 1:
            partitions.setdefault(len(cores), _nearest_part(mask, cores))
    return list(partitions.values())


def _nearest_part(mask: Mask, cores: list[Mask]) -> list[Mask]:
    if len(cores) < 2:
        return [mask]
    reach = np.stack([cv2.distanceTransform((~core).astype(np.uint8), cv2.DIST_L2, 5) for core in cores])
    owner = reach.argmin(axis=0)
    return [mask & (owner == index) for index in range(len(cores))]


def _fit_surface(rgb: Array, keep: Mask, degree: int) -> Array:
    height, width = keep.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    terms = [np.ones_like(x), x, y]
    if degree == 2:
        terms += [x * x, x * y, y * y]
    design = np.stack(terms, axis=2)
    solution, *_ = np.linalg.lstsq(design[keep], rgb[keep].astype(np.float64), rcond=None)
    return np.clip(design @ solution, 0, 255).astype(np.float32)
