import numpy as np
import pytest
from collage_worlds import with_name

from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.labels import cosines
from dreamomni.data.collage.layout import LOCATIONS
from dreamomni.data.collage.recipe import EDIT_KINDS


@pytest.mark.parametrize("kind", EDIT_KINDS)
@pytest.mark.parametrize("name", ["mini", "crowded"])
def test_the_mask_is_exactly_what_changed(kind: str, name: str, request: pytest.FixtureRequest) -> None:
    engine: CollageEngine = request.getfixturevalue(name)
    for index in range(60):
        sample = engine.sample(4, index, kind)
        (source,) = sample.images
        assert sample.mask is not None
        assert source.shape == sample.target.shape
        assert set(np.unique(sample.mask)) == {0, 255}
        assert ((source != sample.target).any(axis=2) == (sample.mask == 255)).all()
        # Only what comes or goes changes, so the change is about as large as that.
        assert 0 < (sample.mask > 0).mean() < 0.6


@pytest.mark.parametrize("kind", ["add", "remove", "replace"])
def test_edits_do_what_they_say_and_keep_the_rest(mini: CollageEngine, kind: str) -> None:
    for index in range(120):
        sample = mini.sample(6, index, kind)
        before = {label.instance_id: label for label in sample.source_objects}
        after = {label.instance_id: label for label in sample.objects}
        gone = [before[number] for number in before.keys() - after.keys()]
        come = [after[number] for number in after.keys() - before.keys()]
        assert len(gone) == (kind != "add")
        assert len(come) == (kind != "remove")
        assert all(before[number] == after[number] for number in before.keys() & after.keys())
        for thing, labels in ((sample.details["removed"], gone), (sample.details["added"], come)):
            assert [(label.name, label.colour) for label in labels] == (
                [tuple(thing.values())] if thing else []
            )
        if gone and come:
            drift = np.subtract(gone[0].box.centre, come[0].box.centre)
            assert np.abs(drift).max() <= 1.5


@pytest.mark.parametrize("kind", ["remove", "replace"])
def test_the_removed_thing_is_named_without_doubt(mini: CollageEngine, kind: str) -> None:
    twins = 0
    for index in range(300):
        sample = mini.sample(8, index, kind)
        name, colour = sample.details["removed"].values()
        text = sample.instruction.lower()
        coloured = f"the {colour} {name}" in text
        assert coloured or f"the {name}" in text
        assert len(with_name(sample.source_objects, name, colour if coloured else None)) == 1
        twins += len(with_name(sample.source_objects, name)) > 1
    assert twins > 10


def test_the_place_of_an_addition_is_true_and_clear(mini: CollageEngine) -> None:
    places = set()
    for index in range(400):
        sample = mini.sample(9, index, "add")
        (added,) = [label for label in sample.objects if label not in sample.source_objects]
        relation, location = sample.details["expect"]["relation"], sample.details["location"]
        if relation is not None:
            anchors = with_name(sample.source_objects, relation["object"])
            said = [a for a in anchors if f"the {a.colour} {a.name}" in sample.instruction.lower()]
            assert len(said or anchors) == 1, sample.instruction
            assert cosines(added.box, (said or anchors)[0].box)[relation["predicate"]] > 0.8
            places.add(relation["predicate"])
        if location is not None:
            x0, y0, x1, y1 = LOCATIONS[location]
            x, y = added.box.centre
            assert x0 * 64 - 1 <= x <= x1 * 64 + 1
            assert y0 * 64 - 1 <= y <= y1 * 64 + 1
            places.add(location)
    assert places == {*LOCATIONS, "left of", "right of", "above", "below"}
