import numpy as np
import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import EDIT_KINDS, TEXT_TO_IMAGE_KINDS, CollageRecipe

ALL_KINDS = (*TEXT_TO_IMAGE_KINDS, *EDIT_KINDS)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_labels_are_the_boxes_of_the_pixels(crowded: CollageEngine, kind: str) -> None:
    for index in range(25):
        sample = crowded.sample(1, index, kind)
        for ids, labels in (
            (sample.ids, sample.objects),
            *zip(sample.image_ids, sample.image_objects, strict=True),
        ):
            assert ids is not None
            assert {label.instance_id for label in labels} == set(np.unique(ids).tolist()) - {0}
            for label in labels:
                rows, columns = np.nonzero(ids == label.instance_id)
                box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                assert tuple(label.box) == box
                assert label.area == len(rows)
                assert 0 < label.visibility <= 1


def test_some_things_are_covered_in_a_crowded_world(crowded: CollageEngine) -> None:
    shares = [label.visibility for index in range(80) for label in crowded.sample(1, index).objects]
    assert min(shares) < 0.95


def test_things_stand_out_from_their_background() -> None:
    engine = CollageEngine(load_recipe("collage-all", CollageRecipe, ["size=64x64"]))
    for index in range(150):
        sample = engine.sample(0, index)
        assert not (
            sample.details["background"]["colour"] == "white"
            # Written words may stand on a plate, which is what they stand out from.
            and "white" in [o.colour for o in sample.objects if o.kind != "text"]
        )
    assert {o.colour for index in range(150) for o in engine.sample(0, index).objects} >= {
        "black",
        "cyan",
        "gray",
    }


def test_things_are_large_enough_to_be_recognised(mini: CollageEngine) -> None:
    sides = [max(o.box.width, o.box.height) for i in range(150) for o in mini.sample(0, i).objects]
    assert min(sides) >= 0.22 * 64 - 0.5
    assert max(sides) <= 0.6 * 64 + 1
