"""Marks of segmentation and detection: which colours are free for them, and what was marked, read off pixels.

A mark is paint (section 3.2): a region filled with a named colour, or the outline of a box around a thing,
whose inner edge is the box. The data engine and requests choose its colour here, and results are read here.
"""

import functools
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.tasks.colours import PALETTE, RGB, delta_e, lab
from dreamomni.tasks.geometry import Box

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.uint8]

_NEAR = 24.0
_NEAR_SHARE = 0.004
# The colours that even a small world knows come first.
_PREFERRED = ("orange", "blue", "green", "purple", "red", "yellow")
_BY_PREFERENCE = {name: PALETTE[name] for name in (*_PREFERRED, *PALETTE)}
_PAINT = 40.0
_LEAST_SHARE = 0.001
_LEAST_PIXELS = 4
_LEAST_HOLE = 2


def unused_colours(
    pixels: Pixels,
    colours: Mapping[str, RGB] = PALETTE,
    *,
    named: Sequence[RGB] = (),
    least_distance: float = 0.0,
) -> list[str]:
    """Return the names of the colours that cannot be mixed up with anything in a picture, in their order.

    No pixel has such a colour exactly and hardly any nearly.

    Args:
        pixels: (H, W, 3) uint8.
        colours: Names with their sRGB values.
        named: Colours by which words call what is in the picture.
        least_distance: How far (CIE76) a colour must be from each of `named`.
    """
    seen = _colour_counts(pixels)
    # Four bytes a pixel, so that a colour is found by one comparison.
    packed = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA).view(np.uint32)
    free = []
    for name, rgb in colours.items():
        if any(_distance(rgb, other) < least_distance for other in named):
            continue
        wanted = np.array((*rgb, 255), np.uint8).view(np.uint32)
        if seen[_near_cells(rgb)].sum() <= _NEAR_SHARE * seen.sum() and not (packed == wanted).any():
            free.append(name)
    return free


def choose_colour(pixels: Pixels) -> str:
    """Return the colour to mark a picture in when the words name none: the first unused one of a fixed order.

    Where all are used, as in many a photograph, the one that the fewest pixels come near to.

    Args:
        pixels: (H, W, 3) uint8.
    """
    free = unused_colours(pixels, _BY_PREFERENCE)
    if free:
        return free[0]
    seen = _colour_counts(pixels)
    return min(_BY_PREFERENCE, key=lambda name: int(seen[_near_cells(PALETTE[name])].sum()))


def read_mask(before: Pixels, after: Pixels, rgb: RGB) -> Mask:
    """Find the pixels that were painted: in the result they are nearer to the colour than to what they were.

    Exact for flat paint over a picture that has not the colour. Of what a network paints, soft borders are
    cut where paint and picture weigh the same, and specks below a thousandth of the picture are left out.
    Where the picture had the colour already, nothing can be found.

    Args:
        before: (H, W, 3) uint8, image 1.
        after: (H, W, 3) uint8, the result, of the same size.
        rgb: The colour of the mark.

    Returns:
        (H, W) uint8, 255 where paint is; black everywhere if there is none.

    Raises:
        ValueError: The sizes differ.
    """
    if before.shape != after.shape:
        raise ValueError(f"a mark is read from pictures of one size, not {before.shape} and {after.shape}")
    old, new, paint = lab(before), lab(after), lab(np.asarray(rgb))
    to_paint = np.linalg.norm(new - paint, axis=-1)
    painted = (to_paint < _PAINT) & (to_paint < np.linalg.norm(new - old, axis=-1))
    return _without_specks(np.where(painted, np.uint8(255), np.uint8(0)))


def read_boxes(outlines: Mask, *, many: bool = True) -> tuple[Box, ...]:
    """Find boxes in the mask of their outlines: the inner edge of an outline is the box.

    An outline is found by what it encloses. Where it lies on the border of the picture it hides where the
    box ends, which is then taken to be in its middle: wrong by at most half its width. Outlines that touch
    are told apart as long as each encloses a place of its own; of two that cross, the pieces come back. An
    outline that does not close gives the box within the bounds of its paint.

    Args:
        outlines: (H, W) uint8, 255 on outlines (see `read_mask`).
        many: Whether there may be several. If not, an outline in pieces is still read as one.

    Returns:
        Boxes from the top, then from the left; none without paint.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(outlines, connectivity=8)
    found: list[Box] = []
    for number in range(1, count):
        x, y, w, h, _ = (int(value) for value in stats[number])
        enclosed = _enclosed(labels[y : y + h, x : x + w] == number)
        found += [_to_border(outlines, Box(x + b.x0, y + b.y0, x + b.x1, y + b.y1)) for b in enclosed]
        if not enclosed and many:
            found.append(_within(labels == number))
    if not many and len(found) != 1 and count > 1:
        found = [_within(outlines > 0)]
    return tuple(sorted(found, key=lambda box: (box.y0, box.x0)))


def region_boxes(mask: Mask) -> tuple[Box, ...]:
    """Return the box around each connected region of a mask (H, W) uint8, in the order of `read_boxes`."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    boxes = [Box(*(int(v) for v in (x, y, x + w, y + h))) for x, y, w, h, _ in stats[1:count]]
    return tuple(sorted(boxes, key=lambda box: (box.y0, box.x0)))


def _enclosed(outline: npt.NDArray[np.bool_]) -> list[Box]:
    """What an outline encloses: the bounds of each place that cannot be reached from outside of it."""
    # A rim of free pixels all around belongs to the outside.
    free = np.pad(~outline, 1, constant_values=True).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(free, connectivity=4)
    boxes = []
    for number in range(1, count):
        x, y, w, h, _ = (int(value) for value in stats[number])
        if number != labels[0, 0] and min(w, h) >= _LEAST_HOLE:
            boxes.append(Box(x - 1, y - 1, x - 1 + w, y - 1 + h))
    return boxes


def _to_border(outlines: Mask, hole: Box) -> Box:
    """Move the sides of what is enclosed that have nothing but paint between them and the border."""
    height, width = outlines.shape
    x, y = (hole.x0 + hole.x1) // 2, (hole.y0 + hole.y1) // 2
    return Box(
        hole.x0 // 2 if outlines[y, : hole.x0].all() else hole.x0,
        hole.y0 // 2 if outlines[: hole.y0, x].all() else hole.y0,
        width - (width - hole.x1) // 2 if outlines[y, hole.x1 :].all() else hole.x1,
        height - (height - hole.y1) // 2 if outlines[hole.y1 :, x].all() else hole.y1,
    )


def _within(paint: npt.NDArray[np.bool_]) -> Box:
    """The bounds of paint, less the width that its outline has if it goes all around; at a border, half."""
    height, width = paint.shape
    rows, columns = np.flatnonzero(paint.any(axis=1)), np.flatnonzero(paint.any(axis=0))
    x0, y0, x1, y1 = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    around = 2 * (x1 - x0 + y1 - y0)
    stroke = min(round(float(np.count_nonzero(paint)) / around), (x1 - x0 - 1) // 2, (y1 - y0 - 1) // 2)
    return Box(
        x0 + (stroke if x0 else stroke // 2),
        y0 + (stroke if y0 else stroke // 2),
        x1 - (stroke if x1 < width else stroke // 2),
        y1 - (stroke if y1 < height else stroke // 2),
    )


def _without_specks(mask: Mask) -> Mask:
    least = max(_LEAST_PIXELS, round(_LEAST_SHARE * mask.size))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    small = stats[:, cv2.CC_STAT_AREA] < least
    small[0] = False
    mask[small[labels]] = 0
    return mask


def _colour_counts(pixels: Pixels) -> npt.NDArray[np.int64]:
    """How many pixels of a coarse grid lie in each of the 4096 cells of 4 bits a channel."""
    step = max(1, min(pixels.shape[:2]) // 128)
    coarse = (pixels[::step, ::step] >> 4).astype(np.int16)
    return np.bincount(
        ((coarse[..., 0] << 8) | (coarse[..., 1] << 4) | coarse[..., 2]).ravel(), minlength=4096
    )


@functools.cache
def _near_cells(rgb: RGB) -> npt.NDArray[np.bool_]:
    """Which of the 4096 cells look like a colour, as (4096,) bool."""
    cells = np.stack(np.unravel_index(np.arange(4096), (16, 16, 16)), axis=-1) * 16 + 8
    return np.asarray(delta_e(cells, rgb) < _NEAR)


@functools.cache
def _distance(first: RGB, second: RGB) -> float:
    return float(delta_e(first, second))
