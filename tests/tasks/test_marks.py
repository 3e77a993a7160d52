import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.families.perception import draw_box
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.tasks.colours import PALETTE
from dreamomni.tasks.geometry import Box
from dreamomni.tasks.marks import choose_colour, read_boxes, read_mask, region_boxes, unused_colours


def plain(colour: str = "white", size: tuple[int, int] = (48, 64)) -> np.ndarray:
    return np.full((*size, 3), PALETTE[colour], np.uint8)


def test_marks_of_the_data_engine_are_read_back() -> None:
    engine = CollageEngine(load_recipe("mini-v1", CollageRecipe))
    for index in range(30):
        sample = engine.sample(5, index, kind="segment")
        assert sample.mask is not None
        found = read_mask(sample.images[0], sample.target, tuple(sample.details["fill"]))
        assert (found == sample.mask).all()
        sample = engine.sample(5, index, kind="detect")
        outlines = read_mask(sample.images[0], sample.target, tuple(sample.details["box_rgb"]))
        true = sorted((Box(*box) for box in sample.details["boxes"]), key=lambda box: (box.y0, box.x0))
        stroke = sample.details["stroke"]
        found_boxes = read_boxes(outlines)
        assert len(found_boxes) == len(true)
        assert np.abs(np.array(found_boxes) - np.array(true)).max() <= -(-stroke // 2)


@given(st.integers(5, 40), st.integers(5, 30), st.integers(6, 20), st.integers(6, 15), st.integers(1, 4))
def test_an_outline_inside_the_picture_gives_its_box_exactly(
    x: int, y: int, width: int, height: int, stroke: int
) -> None:
    box = Box(x, y, min(x + width, 59), min(y + height, 43))
    painted = draw_box(plain(), box, PALETTE["red"], stroke)
    outline = read_mask(plain(), painted, PALETTE["red"])
    assert read_boxes(outline) == read_boxes(outline, many=False) == (box,)


def test_a_broken_outline_is_one_box_if_one_was_asked_for() -> None:
    box = Box(20, 10, 40, 30)
    painted = draw_box(plain(), box, PALETTE["red"], 2)
    painted[18:22], painted[:, 29:31] = PALETTE["white"], PALETTE["white"]
    outline = read_mask(plain(), painted, PALETTE["red"])
    assert read_boxes(outline, many=False) == (box,)
    assert len(read_boxes(outline)) == 4


def test_no_paint_gives_nothing() -> None:
    nothing = read_mask(plain(), plain(), PALETTE["red"])
    assert not nothing.any()
    assert read_boxes(nothing) == read_boxes(nothing, many=False) == region_boxes(nothing) == ()
    with pytest.raises(ValueError, match="one size"):
        read_mask(plain(), plain(size=(10, 10)), PALETTE["red"])


def test_soft_paint_is_cut_in_the_middle_and_specks_are_left_out() -> None:
    before, after = plain("yellow").astype(float), plain("yellow").astype(float)
    blue = np.array(PALETTE["blue"], float)
    for column, share in ((10, 0.9), (11, 0.9), (12, 0.1)):
        after[10:30, column] = before[10:30, column] * (1 - share) + blue * share
    after[40, 50] = blue
    mask = read_mask(before.astype(np.uint8), after.astype(np.uint8), PALETTE["blue"])
    assert region_boxes(mask) == (Box(10, 10, 12, 30),)


def test_what_had_the_colour_before_is_not_painted() -> None:
    before = plain()
    before[:20] = PALETTE["orange"]
    after = before.copy()
    after[30:40, 10:20] = PALETTE["orange"]
    assert region_boxes(read_mask(before, after, PALETTE["orange"])) == (Box(10, 30, 20, 40),)


def test_a_colour_is_chosen_that_the_picture_lacks() -> None:
    assert choose_colour(plain()) == "orange"
    assert choose_colour(plain("orange")) == "blue"
    rows = np.concatenate([np.full((8, 64, 3), rgb, np.uint8) for rgb in PALETTE.values()])
    rows[:8] = PALETTE["blue"]
    rows[0, 0] = PALETTE["red"]
    assert unused_colours(rows) == []
    assert choose_colour(rows) == "red"  # one pixel has it, of every other colour there are many
