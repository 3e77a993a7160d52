"""Drags, holes and combined tasks with a user's own cut-outs on photographs."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.assets.library import AssetLibrary
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe

OVERRIDES = [
    "buckets=null",
    "size=192x160",
    "names=[rug, ball, toadstool, paper box, car, tree]",
    "background_styles={photo: 1}",
    "max_angle=30",
    "held_out.fraction=0",
    "blending.weights={none: 1, shadow: 1, gain: 1}",
]


@pytest.fixture
def library(build: Callable[..., AssetLibrary], pictures: Path, tmp_path: Path) -> Path:
    build(pictures, name="mine", max_px=128)
    return tmp_path / "mine.assets"


def engine(recipe: str, library: Path) -> CollageEngine:
    return CollageEngine(load_recipe(recipe, CollageRecipe, [*OVERRIDES, f"assets={library}"]))


def test_cut_outs_are_dragged_as_exactly_as_stickers(library: Path) -> None:
    made = engine("drag", library)
    dragged = set()
    for index in range(40):
        sample = made.sample(0, index)
        names = {label.instance_id: label.name for label in sample.objects}
        assert sample.ids is not None
        assert sample.image_ids[0] is not None
        height, width = sample.ids.shape
        for motion in sample.details["transforms"]:
            number, matrix = motion["instance_id"], np.array(motion["matrix"])
            shift = matrix[:, :2] @ np.array([0.5, 0.5]) + matrix[:, 2] - 0.5
            source = (sample.image_ids[0] == number).astype(np.float32)
            warped = cv2.warpAffine(source, np.c_[matrix[:, :2], shift], (width, height)) >= 0.5
            target = sample.ids == number
            assert (warped & target).sum() / (warped | target).sum() > 0.85, names[number]
            dragged.add(names[number])
        for drag in sample.drags:
            x, y = (drag.x + drag.dx) * width, (drag.y + drag.dy) * height
            assert sample.ids[int(y), int(x)] == drag.instance_id
        # A shadow changes pixels, but belongs to nobody.
        assert sample.mask is not None
        assert ((sample.images[0] != sample.target).any(axis=2) == (sample.mask > 0)).all()
    assert {"rug", "ball"} < dragged
    assert any(asset.startswith("mine:place") for asset in sample.assets)


def test_holes_in_photographs(library: Path) -> None:
    made = engine("inpaint", library)
    for index in range(20):
        sample = made.sample(0, index)
        assert sample.mask is not None
        assert (sample.images[0] == sample.target)[sample.mask == 0].all()


def test_combined_tasks_name_cut_outs_without_a_colour(library: Path) -> None:
    made = engine("combined", library)
    told = 0
    for index in range(30):
        sample = made.sample(0, index)
        assert "none" not in sample.instruction.lower()
        assert "  " not in sample.instruction
        told += "the rug" in sample.instruction.lower()
    assert told > 0
