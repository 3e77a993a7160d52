import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamomni.data.polish.facts import disagreement, read_facts

NAMES = ("cup", "car", "tree", "ice cream", "fish", "apple")

SAME = [
    ("two red cups and a blue car", "A blue car together with two red cups."),
    ("a red cup to the left of a blue car", "There is a red cup left of a blue car"),
    ('the text "stop it" in red', 'Red lettering that reads "stop it"'),
    ("remove the red cup", "Please get rid of the red cup"),
    ("replace the cup with a green tree", "Swap the cup for a green tree"),
    (
        "put a green tree in place of the cup",
        "A green tree should become what the cup is now; change the cup",
    ),
    ("add 3 gray fish in the upper left corner", "Insert three grey fish at the top left"),
    ("a tree on a sky blue background", "A tree stands before a sky blue background"),
    (
        "move the cup: (0.4123, 0.2000, 0.1000, -0.0500)",
        "Shift the cup (0.4123, 0.2000, 0.1000, -0.0500).",
    ),
    (
        "place the apple of image 1 above the fish of image two",
        "Set the apple from image 1 above the fish in image 2",
    ),
]
OTHER = [
    ("two red cups and a blue car", "two blue cups and a red car", "colour"),
    ("two red cups and a blue car", "three red cups and a blue car", "number '3'"),
    ("two red cups and a blue car", "two red cups and a car", "colour 'blue'"),
    ("a red cup and a car", "a red cup, a car and a tree", "thing 'tree'"),
    ("a red cup and a car", "a red cup and a blue car", "colour 'blue'"),
    ("a cup left of a car", "a car left of a cup", "place"),
    ("a cup left of a car", "a cup right of a car", "place"),
    ("a cup left of a car", "a cup beside a car", "place"),
    ('the text "Stop" in red', 'the text "stop" in red', "quote"),
    ('the text "stop" in red', "the text stop in red", "quote"),
    ("remove the cup", "change the cup", "replace instead of remove"),
    ("remove the cup", "add the cup", "instead of remove"),
    ("add a cup", "do not add a cup", "negation"),
    ("move the cup: (0.4123, 0.2)", "move the cup: (0.4124, 0.2)", "figure"),
    ("the apple of image 1", "the apple of image 2", "image"),
    ("the apple of image 1, the cup of image 2", "the apple of image 2, the cup of image 1", "image"),
    ("a cup", "", "empty"),
    ("a cup", "Sure!\nHere is a cup", "line breaks"),
    ("a cup", "a cup " * 60, "characters"),
]


@pytest.mark.parametrize(("template", "polished"), SAME)
def test_another_way_to_say_it_is_accepted(template: str, polished: str) -> None:
    assert disagreement(template, polished, NAMES) is None


@pytest.mark.parametrize(("template", "polished", "reason"), OTHER)
def test_another_meaning_is_refused_with_its_reason(template: str, polished: str, reason: str) -> None:
    found = disagreement(template, polished, NAMES)
    assert found is not None
    assert reason in found


def test_longer_names_and_colours_win() -> None:
    facts = {str(fact) for fact in read_facts("a sky blue ice cream", NAMES)}
    assert facts == {"colour 'sky blue' of ice cream", "thing 'ice cream'"}


@given(st.sampled_from(["two", "three", "four"]), st.sampled_from(["red", "blue"]), st.sampled_from(NAMES))
def test_a_text_agrees_with_itself_and_not_with_another_number(number: str, colour: str, name: str) -> None:
    text = f"{number} {colour} {name}"
    assert disagreement(text, text.upper(), NAMES) is None
    assert disagreement(text, text.replace(number, "five"), NAMES) is not None
