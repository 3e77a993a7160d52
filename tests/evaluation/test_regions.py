"""Regions against drawn truth: exact pictures, soft ones, and answers that did not do what was asked."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamomni.evaluation.checker import Detection
from dreamomni.evaluation.regions import (
    box_agreement,
    depth_agreement,
    drawn_boxes,
    edge_agreement,
    fill_holes,
    moved_region,
    overlap,
    painted_region,
    region_agreement,
)
from dreamomni.tasks.geometry import Box

WHITE, CREAM, RED, BLUE, YELLOW = (
    (255, 255, 255),
    (255, 246, 224),
    (220, 30, 35),
    (30, 90, 220),
    (250, 215, 20),
)


def canvas(rgb: tuple[int, int, int] = CREAM, side: int = 64) -> np.ndarray:
    return np.full((side, side, 3), rgb, np.uint8)


def disc(x: int, y: int, radius: int, side: int = 64) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def scene(*discs: tuple[np.ndarray, tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Discs with a dark outline, and their id map."""
    picture, ids = canvas(), np.zeros((64, 64), np.int16)
    for number, (mask, rgb) in enumerate(discs, start=1):
        inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
        picture[mask], ids[mask] = (35, 35, 40), number
        picture[inner] = rgb
    return picture, ids


def test_overlap() -> None:
    one, other = disc(20, 20, 8), disc(28, 20, 8)
    assert overlap(one, one) == 1.0
    assert overlap(one, disc(50, 50, 8)) == 0.0
    assert 0.2 < overlap(one, other) < 0.4
    assert overlap(one & False, other & False) == 1.0


@pytest.mark.parametrize("blur", [0.0, 0.8])
def test_a_moved_thing_is_found_where_it_is(blur: float) -> None:
    star, stays = disc(16, 20, 9), disc(44, 20, 9)
    source, source_ids = scene((star, RED), (stays, BLUE))
    landed = disc(20, 44, 9)
    target, target_ids = scene((landed, RED), (stays, BLUE))
    seen = cv2.GaussianBlur(target, (0, 0), blur) if blur else target
    assert overlap(moved_region(seen, source, source_ids, target_ids, {1}), target_ids == 1) > 0.93
    # Left where it was: no overlap. There twice: half of what is there is wrong.
    assert overlap(moved_region(source, source, source_ids, target_ids, {1}), target_ids == 1) < 0.02
    both = target.copy()
    both[star] = source[star]
    assert 0.4 < overlap(moved_region(both, source, source_ids, target_ids, {1}), target_ids == 1) < 0.6
    # The wrong one was moved, or another colour came.
    other, _ = scene((star, RED), (landed, BLUE))
    assert overlap(moved_region(other, source, source_ids, target_ids, {1}), target_ids == 1) < 0.2
    blue, _ = scene((landed, YELLOW), (stays, BLUE))
    assert overlap(moved_region(blue, source, source_ids, target_ids, {1}), target_ids == 1) < 0.4
    assert not moved_region(canvas(WHITE), source, source_ids, target_ids, {1}).any()


def test_highlights_belong_to_the_thing() -> None:
    star, landed = disc(16, 20, 9), disc(40, 40, 9)
    source, source_ids = scene((star, RED))
    target, target_ids = scene((landed, RED))
    for picture, (x, y) in ((source, (14, 18)), (target, (38, 38))):
        picture[y : y + 3, x : x + 3] = CREAM
    assert overlap(moved_region(target, source, source_ids, target_ids, {1}), target_ids == 1) > 0.97


@pytest.mark.parametrize("blur", [0.0, 1.0])
def test_a_painted_region_is_what_became_that_colour(blur: float) -> None:
    source, ids = scene((disc(20, 20, 10), RED), (disc(44, 44, 10), YELLOW))
    painted = source.copy()
    painted[ids == 1] = YELLOW
    seen = cv2.GaussianBlur(painted, (0, 0), blur) if blur else painted
    # What was yellow before was not painted.
    assert overlap(painted_region(seen, source, YELLOW), ids == 1) > (0.9 if blur else 0.999)
    assert not painted_region(source, source, YELLOW).any()


def outlined(boxes: list[tuple[int, int, int, int]], stroke: int, side: int = 64) -> np.ndarray:
    mask = np.zeros((side, side), bool)
    for x0, y0, x1, y1 in boxes:
        mask[max(y0 - stroke, 0) : y1 + stroke, max(x0 - stroke, 0) : x1 + stroke] = True
        mask[y0:y1, x0:x1] = False
    return mask


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(10, 30), st.integers(10, 30), st.integers(1, 4))
def test_one_box_is_read_exactly(x: int, y: int, width: int, height: int, stroke: int) -> None:
    x, y = x + 4, y + 4
    box = (x, y, min(x + width, 59), min(y + height, 59))
    assert drawn_boxes(outlined([box], stroke)) == [box]


def test_neighbouring_boxes_are_two() -> None:
    true = [(4, 10, 28, 40), (30, 10, 56, 40)]
    found = drawn_boxes(outlined(true, 2))
    assert sorted(found) == true
    assert box_agreement(found, true) == 1.0


def test_broad_outlines_may_touch() -> None:
    # The second box is drawn over the outline of the first; both lie near the border.
    one, two = (8, 6, 34, 27), (11, 34, 36, 58)
    mask = outlined([one], 5) & ~outlined([two], 5)
    mask |= outlined([two], 5)
    found = drawn_boxes(mask)
    assert len(found) == 2
    assert box_agreement(found, [one, two]) > 0.9


def test_an_outline_at_the_border_is_read_by_its_inside() -> None:
    mask = np.zeros((64, 64), bool)
    mask[0:32, 0:37] = True
    mask[5:27, 5:32] = False
    assert drawn_boxes(mask) == [(5, 5, 32, 27)]


def test_a_broken_outline_is_still_a_box() -> None:
    box = (12, 14, 40, 44)
    mask = outlined([box], 2)
    mask[25:30] &= np.arange(64) > 20
    assert box_agreement(drawn_boxes(mask), [box]) > 0.85


def test_no_outline_is_no_box() -> None:
    assert drawn_boxes(np.zeros((64, 64), bool)) == []
    assert box_agreement([], [(4, 4, 20, 20)]) == 0.0


def test_missing_and_superfluous_boxes_count() -> None:
    one, two = (0, 0, 10, 10), (20, 20, 30, 30)
    assert box_agreement([one], [one, two]) == 0.5
    assert box_agreement([one, two], [one]) == 0.5
    assert box_agreement([two, one], [one, two]) == 1.0
    assert box_agreement([(0, 0, 10, 20)], [one]) == 0.5


def test_edges_forgive_one_pixel_but_not_five() -> None:
    picture, _ = scene((disc(30, 30, 15), BLUE))
    edges = cv2.Canny(picture, 80, 200) > 0
    assert edge_agreement(picture, edges, 80, 200) == 1.0
    assert edge_agreement(np.roll(picture, 1, axis=1), edges, 80, 200) > 0.95
    assert edge_agreement(np.roll(picture, 5, axis=1), edges, 80, 200) < 0.6
    assert edge_agreement(canvas(), edges, 80, 200) == 0.0


def detection(name: str | None, colour: str | None, mask: np.ndarray) -> Detection:
    return Detection(name, colour, Box(0, 0, 1, 1), mask, 0.9)


def test_regions_must_be_those_of_the_map() -> None:
    left, right = disc(18, 30, 9), disc(46, 30, 9)
    picture, _ = scene((left, RED), (right, BLUE))
    regions = np.zeros((64, 64, 3), np.uint8)
    regions[left], regions[right] = (255, 0, 0), (0, 255, 0)
    seen = [detection("ball", "red", left), detection(None, None, right)]
    assert region_agreement(picture, seen, regions) > 0.95
    assert 0.45 < region_agreement(picture, seen[:1], regions) < 0.51
    stranger = [*seen, detection(None, None, disc(32, 56, 5))]
    assert 0.6 < region_agreement(picture, stranger, regions) < 0.7
    assert region_agreement(picture, [], regions) == 0.0


def test_depth_asks_which_thing_stands_on_which_layer() -> None:
    near, far = disc(18, 30, 9), disc(46, 30, 9)
    levels = np.zeros((64, 64), np.uint8)
    levels[near], levels[far] = 255, 70
    exact = [("star", "red", 255), ("cup", "blue", 70)]
    right = [detection("star", "red", near), detection("cup", "blue", far)]
    swapped = [detection("star", "red", far), detection("cup", "blue", near)]
    assert depth_agreement(right, levels, exact) == 1.0
    # Both still stand before the background; only their own order is wrong.
    assert depth_agreement(swapped, levels, exact) == pytest.approx(2 / 3)
    assert depth_agreement(right[:1], levels, exact) == pytest.approx(1 / 3)
    assert depth_agreement([detection("star", "blue", near)], levels, exact) == 0.0
    assert depth_agreement([detection("star", "red", disc(32, 58, 4)), right[1]], levels, exact) < 0.7


def test_holes_are_filled() -> None:
    ring = disc(30, 30, 15) & ~disc(30, 30, 8)
    assert np.array_equal(fill_holes(ring), disc(30, 30, 15))
