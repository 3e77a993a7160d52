"""Who is meant: phrases must be true of the labels, and fit no other thing."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamomni.config import load_recipe
from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.layout import LOCATIONS
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.collage.words.references import refer, short_reference
from dreamomni.tasks.geometry import Box, Size
from dreamomni.tasks.sample import ObjectLabel, TrainingSample

CANVAS = Size(200, 200)
FEW = "names=[apple, tree, house, fish, car, cup, star, umbrella, heart, moon, flower, cat]"
TWINS = [FEW, "size=128x128", "edit={twins: 1.0, equal_twins: 0.7, say_where: 0.15}", "max_edit_objects=4"]


def label(number: int, name: str, colour: str | None, x: int, y: int, side: int = 30) -> ObjectLabel:
    return ObjectLabel(number, name, colour, Box(x, y, x + side, y + side), 1.0, "sticker", side * side)


things = st.builds(
    label,
    st.just(0),
    st.sampled_from(["cat", "house"]),
    st.sampled_from(["red", "blue", None]),
    st.integers(0, 160),
    st.integers(0, 160),
    st.integers(10, 40),
)


def fits(text: str, other: ObjectLabel, labels: list[ObjectLabel]) -> bool:
    """A reader of our own: whether a phrase may mean a thing, reading it as generously as can be."""
    noun = re.search(r"\b(red |blue )?(cat|house)\b", text)
    assert noun is not None
    colour, name = (noun[1] or "").strip() or None, noun[2]
    like = [item for item in labels if item.name == name and colour in (None, item.colour)]
    like += [item for item in labels if item.name == name and colour and item.colour is None]
    if other not in like:
        return False
    x, y = other.box.centre
    rest = [item for item in like if item is not other]
    words = text.replace(noun[0], "")
    for word, axis, sign in (
        (r"left|leftmost", 0, -1),
        (r"right|rightmost", 0, 1),
        (r"upper|topmost|highest", 1, -1),
        (r"lower|lowest|bottommost", 1, 1),
    ):
        if re.search(rf"the ({word}) $|furthest to the ({word})$", words.strip() + " "):
            return all(sign * (other.box.centre[axis] - item.box.centre[axis]) > 0 for item in rest)
    if re.search(r"larg|bigg", words):
        return all(other.area > item.area for item in rest)
    if "small" in words:
        return all(other.area < item.area for item in rest)
    place = re.search(r" (?:in|on|at) the (.+)$", words)
    if place is not None and " of " not in words:
        said = place[1].replace("top left", "upper left").replace("top right", "upper right")
        said = said.replace("bottom left", "lower left").replace("bottom right", "lower right")
        cells = [cell for cell in LOCATIONS if said.startswith(cell)] or ["center"]
        x0, y0, x1, y1 = LOCATIONS[cells[0]]
        return x0 <= x / CANVAS.width <= x1 and y0 <= y / CANVAS.height <= y1
    return True


@settings(max_examples=80, deadline=None)
@given(st.lists(things, min_size=1, max_size=4))
def test_a_phrase_of_name_colour_side_or_size_fits_one_thing(drawn: list[ObjectLabel]) -> None:
    labels = [label(i, t.name, t.colour, t.box.x0, t.box.y0, t.box.width) for i, t in enumerate(drawn, 1)]
    for meant in labels:
        for reference in refer(meant, labels, CANVAS):
            if reference.by in ("name", "colour", "size"):
                assert fits(reference.text, meant, labels), reference
                assert not any(fits(reference.text, other, labels) for other in labels if other is not meant)


def test_two_equal_things_are_told_apart_by_their_side() -> None:
    labels = [
        label(1, "cat", "red", 10, 80),
        label(2, "cat", "red", 150, 80),
        label(3, "house", "blue", 80, 10),
    ]
    left = {reference.text for reference in refer(labels[0], labels, CANVAS)}
    assert {"the left cat", "the left red cat", "the cat on the left"} <= left
    assert not left & {reference.text for reference in refer(labels[1], labels, CANVAS)}
    assert [reference.text for reference in refer(labels[2], labels, CANVAS)] == [
        "the house",
        "the blue house",
    ]


def test_a_neighbour_tells_things_apart() -> None:
    labels = [
        label(1, "cat", "red", 20, 20),
        label(2, "cat", "red", 168, 20),
        label(3, "house", "blue", 55, 20),
    ]
    texts = {reference.text for reference in refer(labels[0], labels, CANVAS)}
    assert "the cat next to the house" in texts
    assert "the cat to the left of the house" in texts


def test_a_colour_without_a_name_may_be_any() -> None:
    labels = [label(1, "cat", "red", 10, 90), label(2, "cat", None, 14, 96)]
    assert refer(labels[0], labels, CANVAS) == ()
    assert short_reference(labels[0], labels, CANVAS, Draws(0, "x")) is None
    assert "None" not in str(refer(labels[1], [labels[1]], CANVAS))


def test_one_name_may_hide_in_another() -> None:
    labels = [label(1, "balloon", "red", 10, 90), label(2, "hot air balloon", "blue", 150, 96)]
    assert "the balloon" not in {reference.text for reference in refer(labels[0], labels, CANVAS)}


def said_without_doubt(sample: TrainingSample, instance: int) -> bool:
    """Whether the instruction holds a phrase that refers to this thing of the source alone."""
    labels = sample.source_objects
    meant = next(item for item in labels if item.instance_id == instance)
    height, width = sample.images[0].shape[:2]
    text = sample.instruction.lower()
    return any(
        re.search(rf"{re.escape(reference.text)}(?![a-z])", text)
        for reference in refer(meant, labels, Size(width, height))
    )


@pytest.mark.parametrize("kind", ["remove", "replace", "add"])
def test_an_edit_says_which_of_two_equal_things_it_means(kind: str) -> None:
    engine = CollageEngine(load_recipe("collage-all", CollageRecipe, TWINS))
    equal = 0
    for index in range(80):
        sample = engine.sample(8, index, kind)
        number = sample.details["anchor_instance" if kind == "add" else "removed_instance"]
        if number is None:
            continue
        assert said_without_doubt(sample, number), sample.instruction
        meant = next(item for item in sample.source_objects if item.instance_id == number)
        alike = [o for o in sample.source_objects if (o.name, o.colour) == (meant.name, meant.colour)]
        equal += len(alike) > 1
    assert equal > 10


def test_every_edit_of_several_refers_without_doubt_to_the_source() -> None:
    engine = CollageEngine(load_recipe("collage-all", CollageRecipe, TWINS))
    counts, operations = set(), set()
    for index in range(80):
        sample = engine.sample(8, index, "multi_edit")
        steps = sample.details["operations"]
        counts.add(len(steps))
        before = {item.instance_id: item for item in sample.source_objects}
        after = {item.instance_id: item for item in sample.objects}
        changed = [step["removed_instance"] for step in steps if step["removed_instance"]]
        assert len(changed) == len(set(changed))
        for step in steps:
            operations.add(step["operation"])
            for number in (step["removed_instance"], step["anchor_instance"]):
                assert number is None or said_without_doubt(sample, number), sample.instruction
            gone, come = step["removed"], step["added"]
            if gone is not None:
                old = before[step["removed_instance"]]
                assert (old.name, old.colour) == (gone["name"], gone["colour"])
            if come is not None:
                new = after[step["added_instance"]]
                assert (new.name, new.colour) == (come["name"], come["colour"])
                assert come["name"] in sample.instruction.lower() or step["operation"] == "recolour"
            if step["operation"] == "recolour":
                assert step["removed_instance"] == step["added_instance"]
                assert gone["name"] == come["name"]
                assert gone["colour"] != come["colour"]
                assert come["colour"] in sample.instruction.lower()
            else:
                assert step["removed_instance"] not in after
                assert step["added_instance"] not in before
        stay = before.keys() - set(changed)
        assert all(number in after for number in stay)
        comers = {step["added_instance"] for step in steps} - {None}
        assert after.keys() == stay | comers
    assert counts == {2, 3, 4}
    assert operations == {"add", "remove", "replace", "recolour"}
