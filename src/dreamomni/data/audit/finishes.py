"""What a drawn thing looks like, measured on its pixels alone: patterns of its fill, styles of its lines."""

import cv2
import numpy as np

from dreamomni.data.audit.facts import Mask

_WHITE, _DARK = np.array([255, 255, 255]), np.array([64, 64, 70])
_NEAR = 6
_FEWEST = 24
_LITTLE = 0.1
_LEAST_DEPTH = 5.0


def finish_of(pixels: np.ndarray, mask: Mask) -> str | None:
    """Name the pattern or style of a thing; None where it has neither, or it cannot be told.

    Args:
        pixels: (H, W, 3) uint8, the whole picture.
        mask: Where the thing is.
    """
    depth = _depth(mask)
    white, dark = _is(pixels, _WHITE) & mask, _is(pixels, _DARK) & mask
    rim = mask & (depth >= 1.4) & (depth < 2.2)
    if rim.sum() < _FEWEST:
        return None
    if dark[rim].mean() > 0.85:
        return "border"
    second = white if white.sum() >= dark.sum() else dark
    main = _is(pixels, _commonest(pixels[mask & ~second])) & mask
    known = main | second
    if second[mask].mean() < _LITTLE or known.sum() < 2 * _FEWEST:
        return None
    ring, pure = float(main[rim].mean()), _purity(second, depth, known)
    if ring > 0.85 and pure > 0.9:
        return "outline" if second is white else "neon"
    if ring > 0.6 and pure > 0.85:
        return None  # a thin thing: a line around it and a pattern look alike
    if float(_depth(known).max()) < _LEAST_DEPTH:
        return None  # no room for a pattern
    along, across = _unlike(second, known, 1, -1), _unlike(second, known, 1, 1)
    if along < 0.5 * across and along < 0.15:
        return "stripes"
    return "checks" if _straight(second, known) > 0.8 else "dots"


def letter_strength(mask: Mask) -> float:
    """How thick the strokes of written words are, as a part of the height of the words."""
    depth = _depth(mask)
    rows = np.flatnonzero(mask.any(axis=1))
    ridge = depth[mask & (depth >= cv2.dilate(depth, np.ones((3, 3), np.uint8)) - 0.3)]
    return float(2 * np.mean(ridge) / (rows[-1] - rows[0] + 1))


def _depth(mask: Mask) -> np.ndarray:
    padded = np.pad(mask, 1).astype(np.uint8)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1])


def _is(pixels: np.ndarray, colour: np.ndarray) -> Mask:
    return np.asarray(np.abs(pixels.astype(np.int16) - colour).max(axis=2) <= _NEAR)


def _commonest(colours: np.ndarray) -> np.ndarray:
    """The colour of most of some pixels, (3,)."""
    found, counts = np.unique(colours, axis=0, return_counts=True)
    return np.asarray(found[counts.argmax()], np.int16) if len(found) else np.zeros(3, np.int16)


def _purity(second: Mask, depth: np.ndarray, known: Mask) -> float:
    """Part of the pixels that have the colour of most pixels as deep inside the thing."""
    levels = np.rint(depth[known]).astype(int)
    counts = np.bincount(levels)
    shares = np.bincount(levels, weights=second[known].astype(float)) / np.maximum(counts, 1)
    return float((np.maximum(shares, 1 - shares) * counts).sum() / counts.sum())


def _unlike(second: Mask, known: Mask, down: int, right: int) -> float:
    """Part of the neighbours in a direction that are of the other colour."""
    there = np.roll(known, (-down, -right), (0, 1)) & known
    there[-1], there[:, 0], there[:, -1] = False, False, False
    other = np.roll(second, (-down, -right), (0, 1))
    return float((second != other)[there].mean()) if there.any() else 1.0


def _straight(second: Mask, known: Mask) -> float:
    """Part of the borders between the colours that go on straight, along rows or columns, as squares do."""
    sides = 0
    straight = 0
    for flipped in (False, True):
        one, seen = (second.T, known.T) if flipped else (second, known)
        edge = (one[:, 1:] != one[:, :-1]) & seen[:, 1:] & seen[:, :-1]
        both = seen[1:, 1:] & seen[:-1, :-1] & seen[1:, :-1] & seen[:-1, 1:]
        here, below = edge[:-1] & both, edge[1:] & both
        sides += int((here | below).sum())
        straight += int((here & below).sum())
    return straight / max(sides, 1)
