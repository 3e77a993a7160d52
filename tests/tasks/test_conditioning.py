import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.naming import article
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.collage.words.control import CONTROL, MAPS
from dreamomni.data.collage.words.drag import LAYOUTS, ONLY_POINTS
from dreamomni.data.collage.words.perception import DETECT, DETECT_MANY, SEGMENT
from dreamomni.data.collage.words.subject import OF_IMAGE, SHORT
from dreamomni.errors import RequestError
from dreamomni.tasks import conditioning
from dreamomni.tasks.colours import PALETTE
from dreamomni.tasks.conditioning import (
    asks_many,
    check_colour,
    control_words,
    drag_text,
    drag_words,
    fill_hole,
    grow_canvas,
    mark_colour,
    mark_words,
    subject_words,
)
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.request import Drag
from dreamomni.tasks.sample import DragLabel


def fill_in(template: str, thing: str, colour: str) -> str:
    return template.format(d=thing, c=colour, ac=f"{article(colour)} {colour}", **{"is": "is"})


def test_what_a_request_says_by_default_is_what_training_says_most() -> None:
    assert drag_words("move it", [Drag(0.1, 0.2, 0.3, 0)]) == LAYOUTS[0].format(
        p="(0.1000, 0.2000, 0.3000, 0.0000)", s="move it"
    )
    assert drag_words("", [Drag(0.5, 0.5, -0.25, 0)]) == ONLY_POINTS[0].format(
        p="(0.5000, 0.5000, -0.2500, 0.0000)"
    )
    for kind, names in MAPS.items():
        assert control_words("a red house", kind) == CONTROL[0].format(x="a red house", m=names[0])
    assert subject_words("", 1) == SHORT[0].format(s=f"the thing {OF_IMAGE[0].format(k=1)}", b="")
    assert mark_words("segment", "the fish", "orange") == fill_in(SEGMENT[0], "the fish", "orange")
    assert mark_words("detect", "the fish", "orange") == fill_in(DETECT[0], "the fish", "orange")
    assert mark_words("detect", "all fish", "red") == fill_in(DETECT_MANY[0], "all fish", "red")


def test_points_have_four_decimals_in_requests_and_samples() -> None:
    label = DragLabel(0.12345, 0.5, -0.1, 1, instance_id=3)
    assert drag_text([label, label]) == " ".join(["(0.1235, 0.5000, -0.1000, 1.0000)"] * 2)
    assert drag_text([Drag(0.12345, 0.5, -0.1, 1)]) == drag_text([label])


@pytest.mark.parametrize(
    "kind", ["drag_move", "canny", "depth", "segmentation", "subject", "segment", "detect"]
)
def test_whole_instructions_of_the_data_engine_pass_unchanged(kind: str) -> None:
    engine = CollageEngine(load_recipe("mini-v1", CollageRecipe))
    for index in range(40):
        sample = engine.sample(7, index, kind=kind)
        text = sample.instruction
        if kind == "drag_move":
            assert drag_words(text, sample.drags) == text
        elif kind == "subject":
            assert subject_words(text, len(sample.images)) == text
        elif kind in MAPS:
            assert control_words(text, kind) == text
        else:
            colour = sample.details.get("fill_colour", sample.details.get("box_colour"))
            assert mark_colour(text) == colour
            assert mark_words(kind, text, "black") == text
            assert asks_many(text) or len(sample.details["instances"]) == 1


@pytest.mark.parametrize(
    ("template", "colour"), itertools.product((*SEGMENT, *DETECT, *DETECT_MANY), ("red", "orange"))
)
def test_the_colour_of_a_mark_is_found_beside_that_of_the_thing(template: str, colour: str) -> None:
    for text in (fill_in(template, "the blue fish", colour), fill_in(template, "the fish", colour)):
        sentence = f"{text[0].upper()}{text[1:]}."
        assert mark_colour(text) == mark_colour(sentence) == colour
        for whole in (text, sentence):
            assert mark_words("segment", whole, "black") == whole
    first_words = {re.findall(r"[a-z]+", phrase)[0] for phrase in (*SEGMENT, *DETECT, *DETECT_MANY)}
    assert first_words <= conditioning.MARKING_VERBS


def test_a_mark_without_colour_gets_the_one_that_was_chosen() -> None:
    assert mark_words("segment", "mark the red fish", "blue") == "mark the red fish in blue"
    assert mark_words("segment", "The red fish.", "blue") == "segment The red fish in blue"
    assert mark_words("detect", "the fish in orange", "orange") == "draw an orange box around the fish"
    assert mark_words("detect", "the text in red", "blue") == "draw a blue box around the text in red"
    assert mark_colour("the red fish") is None
    assert mark_colour("color the fish Grey") == "gray"
    assert all(
        mark_words("detect", "x", colour) == f"draw {article(colour)} {colour} box around x"
        for colour in PALETTE
    )


def test_words_that_speak_of_the_map_or_the_images_are_left_alone() -> None:
    for text in ("use the edge map of image 1 to draw a cat", "A cat that keeps the outlines."):
        assert control_words(text, "canny") == text
    assert control_words("", "pose") == "a picture, following the pose of the image"
    for text in (
        "the cat of image 1",
        "put the star of the second image here",
        "use the reference image",
    ):
        assert subject_words(text, 2) == text
    assert subject_words("a star.", 3) == "a star, as seen in image 1, image 2 and image 3"
    assert subject_words("", 2) == "place the thing of image 1 and the thing of image 2"


def test_unknown_colours_are_refused_by_name() -> None:
    assert (check_colour(" Orange "), check_colour("grey")) == ("orange", "gray")
    with pytest.raises(RequestError, match="colour 'mauve' is unknown: say one of red, orange"):
        check_colour("mauve")


@given(st.integers(1, 9), st.integers(1, 9), st.tuples(*[st.integers(0, 5)] * 4), st.integers(0, 2**32 - 1))
def test_a_hole_hides_what_is_white_and_nothing_else(
    width: int, height: int, margins: tuple[int, int, int, int], seed: int
) -> None:
    draws = np.random.default_rng(seed)
    pixels = draws.integers(0, 256, (height, width, 3), dtype=np.uint8)
    before = pixels.copy()
    mask = np.where(draws.random((height, width)) < 0.5, np.uint8(255), np.uint8(0))
    filled = fill_hole(pixels, mask)
    assert (filled[mask == 255] == 128).all()
    assert (filled[mask == 0] == pixels[mask == 0]).all()
    canvas, grown = grow_canvas(pixels, margins)
    left, top, right, bottom = margins
    assert canvas.shape == (height + top + bottom, width + left + right, 3)
    assert (canvas[top : top + height, left : left + width] == pixels).all()
    assert np.count_nonzero(grown == 0) == width * height
    assert (fill_hole(canvas, grown) == canvas).all()
    assert (pixels == before).all()


def test_holes_of_the_data_engine_are_filled_by_the_same_function() -> None:
    engine = CollageEngine(load_recipe("mini-v1", CollageRecipe))
    for kind, index in itertools.product(("inpaint", "outpaint"), range(5)):
        sample = engine.sample(3, index, kind=kind)
        assert sample.mask is not None
        assert (fill_hole(sample.target, sample.mask) == sample.images[0]).all()
        if kind == "outpaint":
            ys, xs = np.nonzero(sample.mask == 0)
            x0, y0, x1, y1 = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
            height, width = sample.mask.shape
            kept = sample.target[y0:y1, x0:x1]
            canvas, mask = grow_canvas(kept, (x0, y0, width - x1, height - y1))
            assert (canvas == sample.images[0]).all()
            assert (mask == sample.mask).all()
            assert Size(canvas.shape[1], canvas.shape[0]) == Size(64, 64)
