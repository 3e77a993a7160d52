"""Plurals and articles of the names in the pack."""

import pytest

from dreamomni.data.collage.naming import article, plural, resolve_alias


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("apple", "apples"),
        ("leaf", "leaves"),
        ("fish", "fish"),
        ("scissors", "scissors"),
        ("bus", "buses"),
        ("cherry", "cherries"),
        ("key", "keys"),
        ("snowman", "snowmen"),
        ("cactus", "cacti"),
        ("ice cream", "ice creams"),
        ("maple leaf", "maple leaves"),
        ("fox", "foxes"),
        ("watch", "watches"),
    ],
)
def test_plural(one, many):
    assert plural(one) == many


@pytest.mark.parametrize(
    ("name", "before", "expected"),
    [
        ("apple", None, "an"),
        ("apple", "red", "a"),
        ("car", "orange", "an"),
        ("car", None, "a"),
        ("umbrella", None, "an"),
        ("unicorn", None, "a"),
        ("hourglass", None, "an"),
        ("scissors", "orange", "a pair of"),
    ],
)
def test_article(name, before, expected):
    assert article(name, before) == expected


def test_alias_of_an_unknown_word_is_the_word():
    assert resolve_alias("icecream") == "ice cream"
    assert resolve_alias("tree") == "tree"
