"""Regions of pictures and how far they agree: moved things, painted regions, drawn boxes, edges, depth.

Pixels belong to what they look most like: to a thing where they are nearer to one of its colours than half of
the way from there to the background. That is measured in sRGB, in which edges are mixed, so that a border
lies where coverage passes one half, in sharp and in soft pictures. Whether two colours are one is asked in
CIE L*a*b*.
"""

from collections.abc import Collection, Sequence
from itertools import combinations, combinations_with_replacement

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.maps import edge_map
from dreamomni.data.collage.palette import RGB
from dreamomni.evaluation.checker import Detection
from dreamomni.evaluation.segment import Array, Mask, find_ground, to_lab

Pixels = npt.NDArray[np.uint8]
Ids = npt.NDArray[np.int16]
Rectangle = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, half-open."""

_SAME_COLOUR = 14.0
"""Colours of a thing nearer than this are one."""
_LEAST_SHARE = 0.03
"""Colours with a smaller share of a thing are mixtures along its edges."""
_LEAST_CONTRAST = 13.0
"""Colours nearer than this to the background cannot be told from it."""
_OWN = 50.0
"""Pixels farther than this (sRGB levels) from all mixtures of a thing's colours do not show the thing."""
_LEAST_CHANGE = 40.0
"""A pixel that was nearer than this to a colour (sRGB levels) cannot be told to have been painted in it."""
_MIXED = 30.0
"""Colours nearer than this (sRGB levels) to a mixture of two others may be that."""
_FRAMED = 0.7
"""Least painted share of a side of a box."""
_BROADEST = 0.12
"""Largest distance that the side of a box is moved to where paint ends, as a share of the picture's."""
_PURE = 0.9
"""... unless their share in it is at least this."""


def overlap(first: Mask, second: Mask) -> float:
    """Intersection over union of two masks; 1 for two empty ones."""
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 1.0


def moved_region(
    picture: Pixels, source: Pixels, source_ids: Ids, target_ids: Ids, moved: Collection[int]
) -> Mask:
    """Where things that were to be moved are in a picture, as far as their colours tell.

    Args:
        picture: (H, W, 3) uint8, what came of the source.
        source: (H, W, 3) uint8, the picture before.
        source_ids: its id map.
        target_ids: the id map of the truth; what stays does not count where it stays.
        moved: instance numbers of the things.

    Returns:
        (H, W) bool. What is left at the old place counts too.
    """
    ground = find_ground(source).rgb
    here = np.isin(source_ids, list(moved))
    colours = main_colours(source, here)
    back = ground[here].mean(axis=0)
    found = _looks_like(picture, _telling(colours, back), ground)
    shown = np.isin(target_ids, list(moved))
    width = max(1, round(min(here.shape) / 64))
    staying = _grown((target_ids > 0) & ~shown, width)
    # Half of the way from the background is far: without this, any strong colour would do. Nor is an outline
    # the thing: what it encloses must have the thing's colours, too.
    own = _made_of(picture, np.vstack([colours, back[None]]))
    found &= own & ~(staying & ~shown)
    return found | (fill_holes(found) & own)


def main_colours(picture: Pixels, mask: Mask) -> Array:
    """The colours of a region, (N, 3) sRGB 0-255; mixtures along its edges may be among them.

    Args:
        picture: (H, W, 3) uint8.
        mask: the region.
    """
    rgb = picture.astype(np.float32)
    rest, seen = to_lab(rgb)[mask], rgb[mask]
    least = max(2.0, _LEAST_SHARE * len(rest))
    colours: list[npt.NDArray[np.float32]] = []
    while len(rest) >= least:
        # The pixel with most neighbours in colour; a few of them are enough to look for it.
        probes = rest[:: max(1, len(rest) // 64)]
        near = np.linalg.norm(rest[None] - probes[:, None], axis=2) < _SAME_COLOUR
        best = near[near.sum(axis=1).argmax()]
        if best.sum() < least:
            break
        colours.append(seen[best].mean(axis=0))
        rest, seen = rest[~best], seen[~best]
    return np.array(colours, np.float32).reshape(-1, 3)


def painted_region(picture: Pixels, source: Pixels, rgb: RGB) -> Mask:
    """Where a picture shows a colour that its source does not show there.

    Args:
        picture: (H, W, 3) uint8.
        source: (H, W, 3) uint8.
        rgb: the colour.
    """
    fill = np.array([rgb], np.float32)
    before = source.astype(np.float32)
    new = np.linalg.norm(before - fill, axis=2) > _LEAST_CHANGE
    return new & _looks_like(picture, fill, before)


def drawn_boxes(painted: Mask) -> list[Rectangle]:
    """The boxes whose outlines were painted: x0, y0, x1, y1 of their inside, half-open.

    Candidates are all rectangles between straight painted runs. Those whose four sides are painted for the
    most part, and that explain something which smaller ones do not, are boxes. Where there is none, every
    large enough connected piece stands for the box around it. Outlines may be up to a tenth of the shorter
    side wide.
    """
    side = min(painted.shape)
    shortest = max(4, round(0.08 * side))
    run = max(shortest + 1, round(0.14 * side))
    soft = _grown(painted, 1)
    found = set()
    for (left, right), (top, bottom) in _pairs(_lines(painted, run), _lines(painted.T, run)):
        box = (left[1], top[1], right[0], bottom[0])
        if box[2] - box[0] < shortest or box[3] - box[1] < shortest:
            continue
        box = _snapped(box, painted)
        if box[2] - box[0] >= shortest and box[3] - box[1] >= shortest and _is_framed(box, soft):
            found.add(box)
    taken = np.zeros_like(painted)
    boxes: list[Rectangle] = []
    for box in sorted(found, key=lambda box: ((box[2] - box[0]) * (box[3] - box[1]), box)):
        x0, y0, x1, y1 = box
        own = np.zeros_like(painted)
        own[max(y0 - 2, 0) : y1 + 2, max(x0 - 2, 0) : x1 + 2] = True
        own[y0:y1, x0:x1] = False
        own &= painted
        around = sum(x0 <= b[0] and y0 <= b[1] and b[2] <= x1 and b[3] <= y1 for b in boxes)
        # Neighbouring boxes together look like one around them.
        if around < 2 and (own & ~taken).sum() > 0.25 * own.sum():
            boxes.append(box)
            taken |= own
    return boxes or _pieces(painted, shortest)


def box_agreement(found: Sequence[Rectangle], true: Sequence[Sequence[int]]) -> float:
    """Mean overlap of boxes paired one to one, best pairs first; missing and superfluous ones count as 0."""
    pairs = sorted(
        (
            (_box_overlap(one, other), row, column)
            for row, one in enumerate(found)
            for column, other in enumerate(true)
        ),
        reverse=True,
    )
    rows: set[int] = set()
    columns: set[int] = set()
    total = 0.0
    for value, row, column in pairs:
        if row not in rows and column not in columns:
            rows.add(row)
            columns.add(column)
            total += value
    return total / max(len(found), len(true), 1)


def edge_agreement(picture: Pixels, edges: Mask, low: int, high: int) -> float:
    """F1 of the edges of a picture against given ones; near means 1 px at 64 px, 2 px at 128 px.

    Args:
        picture: (H, W, 3) uint8.
        edges: (H, W) bool, the given edges.
        low: lower threshold of Canny's method, that of the given edges.
        high: its upper threshold.
    """
    own = edge_map(picture, low, high) > 0
    if not own.any() or not edges.any():
        return float(own.any() == edges.any())
    reach = max(1, round(min(edges.shape) / 64))
    precision = float(_near(edges, reach)[own].mean())
    recall = float(_near(own, reach)[edges].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def region_agreement(picture: Pixels, seen: Sequence[Detection], regions: Pixels) -> float:
    """Mean overlap of the regions of a map with those found in a picture.

    Every region found belongs to the region of the map that it shares most with; one that shares nothing
    counts as one more with an overlap of 0, and so does a region of the map without any.

    Args:
        picture: (H, W, 3) uint8.
        seen: what the checker found in it, names or not.
        regions: (H, W, 3) uint8, the map; black is background.
    """
    codes = regions.astype(np.int32) @ np.array([65536, 256, 1])
    wanted = [codes == code for code in np.unique(codes) if code]
    owned = [np.zeros(codes.shape, bool) for _ in wanted]
    ground = find_ground(picture).rgb
    extra = 0
    for detection in seen:
        own = solid_region(picture, detection.mask, ground)
        shared = [int((own & region).sum()) for region in wanted]
        if not shared or max(shared) == 0:
            extra += 1
        else:
            owned[int(np.argmax(shared))] |= own
    values = [overlap(one, other) for one, other in zip(owned, wanted, strict=True)]
    return sum(values) / max(len(values) + extra, 1)


def solid_region(picture: Pixels, mask: Mask, ground: Array) -> Mask:
    """A region cut where its coverage passes one half, with its holes filled.

    Args:
        picture: (H, W, 3) uint8.
        mask: all pixels that the region touches.
        ground: (H, W, 3) the background, sRGB 0-255.
    """
    colours = _telling(main_colours(picture, mask), ground[mask].mean(axis=0))
    return fill_holes(mask & _looks_like(picture, colours, ground))


def depth_agreement(
    seen: Sequence[Detection], levels: npt.NDArray[np.uint8], exact: Sequence[tuple[str, str | None, int]]
) -> float:
    """Share of pairs of things whose order in depth is that of the map; the background is the farthest.

    A thing found by name and colour has the level that the map shows where it lies. With things that do not
    cover each other, this asks whether the right thing stands on the right layer of the map.

    Args:
        seen: what the checker found.
        levels: (H, W) the map; 0 is the background, brighter is nearer.
        exact: name, colour and level of each thing of the truth.
    """
    rest = [detection for detection in seen if detection.name is not None]
    found: list[float | None] = []
    for name, colour, level in exact:
        fitting = [d for d in rest if (d.name, d.colour) == (name, colour)]
        own = {id(d): float(np.median(levels[d.mask])) for d in fitting}
        # Of equal things, the one that fits best is meant.
        best = min(fitting, key=lambda d: abs(own[id(d)] - level), default=None)
        found.append(None if best is None else own[id(best)])
        if best is not None:
            rest.remove(best)
    items = [(float(level), value) for (_, _, level), value in zip(exact, found, strict=True)] + [(0.0, 0.0)]
    agreed = [
        one is not None and other is not None and np.sign(one - other) == np.sign(true_one - true_other)
        for (true_one, one), (true_other, other) in combinations(items, 2)
    ]
    return sum(agreed) / max(len(agreed), 1)


def fill_holes(mask: Mask) -> Mask:
    """A mask with everything that it encloses."""
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(filled, outlines, -1, 1, cv2.FILLED)
    return mask | filled.astype(bool)


def _telling(colours: Array, back: Array) -> Array:
    """Colours that tell a thing from the background: neither near it nor on the way from it to another."""
    contrast = to_lab(np.vstack([colours, back[None]])[None])[0]
    far = np.linalg.norm(contrast[:-1] - contrast[-1], axis=1) > _LEAST_CONTRAST
    kept: list[npt.NDArray[np.float32]] = []
    for colour in sorted(colours[far], key=lambda c: -float(np.linalg.norm(c - back))):
        share = [float((colour - back) @ (k - back) / ((k - back) @ (k - back))) for k in kept]
        rest = [np.linalg.norm(colour - back - t * (k - back)) for t, k in zip(share, kept, strict=True)]
        if all(t > _PURE or r > _MIXED for t, r in zip(share, rest, strict=True)):
            kept.append(colour)
    return np.array(kept, np.float32).reshape(-1, 3)


def _made_of(picture: Pixels, colours: Array) -> Mask:
    """Pixels that are one of the colours or a mixture of two of them."""
    rgb = picture.astype(np.float32)
    found = np.zeros(rgb.shape[:2], bool)
    for one, other in combinations_with_replacement(colours, 2):
        way = other - one
        share = np.clip((rgb - one) @ way / max(float(way @ way), 1e-6), 0, 1)
        found |= np.linalg.norm(rgb - one - share[..., None] * way, axis=2) < _OWN
    return found


def _looks_like(picture: Pixels, colours: Array, ground: Array) -> Mask:
    """Pixels nearer to one of the colours than half of its distance from the background."""
    rgb = picture.astype(np.float32)
    found = np.zeros(rgb.shape[:2], bool)
    for colour in colours:
        found |= np.linalg.norm(rgb - colour, axis=2) <= 0.5 * np.linalg.norm(ground - colour, axis=2)
    return found


def _grown(mask: Mask, width: int) -> Mask:
    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    return cv2.dilate(mask.astype(np.uint8), kernel).astype(bool)


def _near(mask: Mask, reach: int) -> Mask:
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(distance <= reach + 0.01)


def _lines(painted: Mask, shortest: int) -> list[tuple[int, int]]:
    """Groups of neighbouring columns with a painted run of some length: first and after-last column."""
    # Beyond the canvas nothing is painted: OpenCV's own border would lengthen runs that end there.
    padded = np.pad(painted.astype(np.uint8), ((shortest, shortest), (0, 0)))
    strips = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, np.ones((3, 1), np.uint8))
    runs = cv2.morphologyEx(strips, cv2.MORPH_OPEN, np.ones((shortest, 1), np.uint8)).any(axis=0)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], runs.astype(np.int8), [0]])))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]


_Line = tuple[int, int]
_MOST_LINES = 14


def _is_framed(box: Rectangle, soft: Mask) -> bool:
    """Whether the four lines just outside of a box are painted for the most part."""
    x0, y0, x1, y1 = box
    height, width = soft.shape
    sides = (
        soft[y0:y1, max(x0 - 1, 0)],
        soft[y0:y1, min(x1, width - 1)],
        soft[max(y0 - 1, 0), x0:x1],
        soft[min(y1, height - 1), x0:x1],
    )
    return min(float(line.mean()) for line in sides) >= _FRAMED


def _snapped(box: Rectangle, painted: Mask) -> Rectangle:
    """A box whose sides are moved to the nearest place where paint ends, each along its own length.

    Lines of neighbouring boxes can be one broad stripe, whose edges are not those of each of its parts.
    """
    for _ in range(2):
        x0, y0, x1, y1 = box
        columns, rows = painted[y0:y1].mean(axis=0), painted[:, x0:x1].mean(axis=1)
        box = (
            _edge(columns, x0, -1),
            _edge(rows, y0, -1),
            _edge(columns, x1, 0),
            _edge(rows, y1, 0),
        )
        if box[2] <= box[0] or box[3] <= box[1]:
            return (0, 0, 0, 0)
    return box


def _edge(shares: npt.NDArray[np.float64], at: int, outside: int) -> int:
    """The place nearest to `at` between a painted line and one that is not; `at` itself where there is none.

    Args:
        shares: how much of each line is painted.
        at: a boundary between lines at - 1 and at.
        outside: -1 when paint lies before the boundary, 0 when behind it.
    """
    reach = max(2, round(_BROADEST * len(shares)))
    fitting = [
        place
        for place in range(max(1, at - reach), min(len(shares) - 1, at + reach) + 1)
        if shares[place + outside] >= _FRAMED and shares[place - 1 - outside] < _FRAMED
    ]
    return min(fitting, key=lambda place: abs(place - at), default=at)


def _pairs(
    columns: Sequence[_Line], rows: Sequence[_Line]
) -> list[tuple[tuple[_Line, _Line], tuple[_Line, _Line]]]:
    # Pictures with more lines than a few boxes have are noise.
    if max(len(columns), len(rows)) > _MOST_LINES:
        return []
    return [(x, y) for x in combinations(columns, 2) for y in combinations(rows, 2)]


def _pieces(painted: Mask, shortest: int) -> list[Rectangle]:
    count, _, stats, _ = cv2.connectedComponentsWithStats(_grown(painted, 1).astype(np.uint8))
    boxes = []
    for x, y, width, height, _ in stats[1:count].tolist():
        if width >= shortest + 2 and height >= shortest + 2:
            boxes.append((x + 2, y + 2, x + width - 2, y + height - 2))
    return boxes


def _box_overlap(first: Sequence[int], second: Sequence[int]) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return shared / max(sum(areas) - shared, 1)
