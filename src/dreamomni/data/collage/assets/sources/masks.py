"""Segmentations as data sets write them: polygons and run lengths."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.errors import DataError

_OVERSAMPLING = 4
_POINTS = 6
_CODE_BASE = 48


def draw_segmentation(segmentation: Any, height: int, width: int, where: str) -> npt.NDArray[np.uint8]:
    """Draw a segmentation of the COCO format.

    Args:
        segmentation: A list of polygons, each x, y, x, y, ... in pixels; or run lengths of columns, as a list
            of counts or as the compressed string.
        height: Height of the picture.
        width: Width of the picture.
        where: Whose segmentation it is, for messages.

    Returns:
        (H, W) uint8, 255 inside; polygons have soft edges.

    Raises:
        DataError: It is none of these, or its run lengths do not fill the picture.
    """
    if isinstance(segmentation, list):
        return _draw_polygons(segmentation, height, width, where)
    if not isinstance(segmentation, dict) or "counts" not in segmentation:
        raise DataError(f"{where} has a segmentation that is neither polygons nor run lengths")
    size = segmentation.get("size")
    if size != [height, width]:
        raise DataError(
            f"{where} has a segmentation for {size} (height, width), but its image is {height}, {width}"
        )
    counts = segmentation["counts"]
    runs = decode_counts(counts) if isinstance(counts, str) else counts
    if not all(isinstance(run, int) and run >= 0 for run in runs) or sum(runs) != height * width:
        raise DataError(f"{where} has run lengths that do not fill {width}x{height} pixels")
    values = np.arange(len(runs)) % 2 * 255
    flat = np.repeat(values.astype(np.uint8), runs)
    return np.ascontiguousarray(flat.reshape(width, height).T)


def decode_counts(text: str) -> list[int]:
    """Decode the compressed run lengths of COCO.

    A character holds five bits, the lowest first; from the fourth on, a run is written as its difference from
    the one before the last.
    """
    runs: list[int] = []
    at = 0
    while at < len(text):
        value, shift, more = 0, 0, True
        while more and at < len(text):
            code = ord(text[at]) - _CODE_BASE
            value |= (code & 0x1F) << shift
            more = bool(code & 0x20)
            at, shift = at + 1, shift + 5
            if not more and code & 0x10:
                value |= -1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    return runs


def _draw_polygons(polygons: Sequence[Any], height: int, width: int, where: str) -> npt.NDArray[np.uint8]:
    try:
        outlines = [np.array(polygon, np.float64).reshape(-1, 2) for polygon in polygons]
    except (ValueError, TypeError):
        raise DataError(f"{where} has a polygon that is no list of x and y") from None
    outlines = [outline for outline in outlines if outline.size >= _POINTS]
    mask = np.zeros((height, width), np.uint8)
    if not outlines or not all(np.isfinite(outline).all() for outline in outlines):
        return mask
    points = np.concatenate(outlines)
    left, top = np.clip(np.floor(points.min(axis=0)).astype(int), 0, [width, height])
    right, bottom = np.clip(np.ceil(points.max(axis=0)).astype(int) + 1, 0, [width, height])
    if right <= left or bottom <= top:
        return mask
    # cv2's own antialiasing draws fills half a pixel too fat; averaging an oversampled fill does not.
    big = np.zeros(((bottom - top) * _OVERSAMPLING, (right - left) * _OVERSAMPLING), np.uint8)
    for outline in outlines:
        corners = (outline - [left, top]) * _OVERSAMPLING - 0.5
        cv2.fillPoly(big, [np.rint(corners * 16).astype(np.int32)], 255, lineType=cv2.LINE_8, shift=4)
    side = (int(right - left), int(bottom - top))
    mask[top:bottom, left:right] = cv2.resize(big, side, interpolation=cv2.INTER_AREA)
    return mask
