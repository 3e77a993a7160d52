"""Samples as requests: structure stays structure."""

import re

import numpy as np
import pytest
from PIL import Image

from dreamomni.config import load_recipe
from dreamomni.data.collage.asking import request_of, words_of_drag
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import TASK_OF_KIND, CollageRecipe
from dreamomni.tasks.conditioning import drag_text
from dreamomni.tasks.request import ControlRequest, InpaintRequest, OutpaintRequest


@pytest.fixture(scope="module")
def recipe() -> CollageRecipe:
    return load_recipe("mini-v1", CollageRecipe)


@pytest.fixture(scope="module")
def engine(recipe: CollageRecipe) -> CollageEngine:
    return CollageEngine(recipe, split="held_out")


def letters(text: str) -> list[str]:
    return re.findall("[a-zA-Z]+", text)


def pixels(image: object) -> np.ndarray:
    assert isinstance(image, Image.Image)
    return np.asarray(image)


def test_a_hole_has_a_mask_and_words(engine: CollageEngine) -> None:
    for index in range(12):
        sample = engine.sample(3, index, kind="inpaint")
        request = request_of(sample, seed=5)
        assert isinstance(request, InpaintRequest)
        assert request.prompt == sample.caption != ""
        mask = pixels(request.mask)
        assert np.array_equal(mask, sample.mask)
        hole = pixels(request.images[0])[mask > 127]
        assert (hole == hole[0]).all(), "the hole still shows something"


def test_an_outpainting_gives_only_what_is_known(engine: CollageEngine) -> None:
    for index in range(12):
        sample = engine.sample(4, index, kind="outpaint")
        request = request_of(sample)
        assert isinstance(request, OutpaintRequest)
        known = pixels(request.images[0])
        left, top, right, bottom = request.margins
        height, width = sample.target.shape[:2]
        assert known.shape == (height - top - bottom, width - left - right, 3)
        assert np.array_equal(known, sample.target[top : height - bottom, left : width - right])


@pytest.mark.parametrize("kind", ["drag_move", "drag_scale", "drag_rotate"])
def test_drags_are_data_and_their_words_have_no_points(kind: str) -> None:
    # This world also moves two things at once, with several points each, and says points alone.
    engine = CollageEngine(load_recipe("mini-world", CollageRecipe))
    empty = 0
    for index in range(120):
        sample = engine.sample(6, index, kind=kind)
        request = request_of(sample)
        assert [tuple(drag) for drag in request.drags] == [(p.x, p.y, p.dx, p.dy) for p in sample.drags]
        words = words_of_drag(sample)
        empty += not words
        assert "(" not in words
        assert "<" not in words
        assert not words or any(letter.isalpha() for letter in words)
        if words:
            # Everything but the points and the little words around them is still there.
            rest = sample.instruction
            for drag in sample.drags:
                rest = rest.replace(drag_text([drag]), "")
            assert set(letters(words)) <= {"and", *letters(rest)}, words
    assert 0 < empty < 60 or kind != "drag_move"


@pytest.mark.parametrize("kind", ["canny", "depth", "segmentation"])
def test_a_map_says_what_it_is(engine: CollageEngine, kind: str) -> None:
    request = request_of(engine.sample(7, 0, kind=kind))
    assert isinstance(request, ControlRequest)
    assert request.control == kind
    assert request.size is not None


@pytest.mark.parametrize("kind", [kind for kind, task in TASK_OF_KIND.items() if task != "text_to_image"])
def test_every_kind_of_sample_can_be_asked_for(kind: str) -> None:
    recipe = load_recipe("collage-all", CollageRecipe, ["size=128x96", "buckets=null"])
    sample = CollageEngine(recipe).sample(0, 3, kind=kind)
    assert request_of(sample).task == sample.task
