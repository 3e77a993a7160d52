"""Plurals and articles: of every name in the pack, and of what users bring along."""

import json
from pathlib import Path

import pytest

from dreamomni.data.collage.assets import StickerPack
from dreamomni.data.collage.naming import article, plural, resolve_alias
from dreamomni.data.collage.words.lexicon import counted, definite

GOLDEN = Path(__file__).parents[2] / "golden" / "sticker-names.json"


def test_every_name_of_the_pack_is_worded_as_recorded():
    pack = StickerPack.default()
    worded = [[counted(1, name), definite(name), counted(2, name)] for name in pack.names]
    assert worded == json.loads(GOLDEN.read_text())


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
        ("sheep", "sheep"),
        ("knife", "knives"),
        ("octopus", "octopuses"),
        ("dice", "dice"),
        ("volcano", "volcanoes"),
        ("piano", "pianos"),
        ("loaf", "loaves"),
        ("mailbox", "mailboxes"),
        ("compass", "compasses"),
        ("candy", "candies"),
        ("trousers", "trousers"),
        ("swimming shorts", "swimming shorts"),
        ("computer mouse", "computer mice"),
        ("wine glass", "wine glasses"),
        ("person", "people"),
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
        ("ukulele", None, "a"),
        ("hourglass", None, "an"),
        ("hourglass", "yellow", "a"),
        ("owl", None, "an"),
        ("horse", None, "a"),
        ("ice pop", None, "an"),
        ("scissors", "orange", "a pair of"),
        ("safety glasses", None, "a pair of"),
    ],
)
def test_article(name, before, expected):
    assert article(name, before) == expected


def test_alias_of_an_unknown_word_is_the_word():
    assert resolve_alias("icecream") == "ice cream"
    assert resolve_alias("tree") == "tree"


def test_every_alias_leads_to_a_thing_of_the_pack_and_hides_none():
    from dreamomni.data.collage.naming import _ALIASES

    pack = StickerPack.default()
    assert set(_ALIASES.values()) <= set(pack.names)
    assert not set(_ALIASES) & set(pack.names)
    assert pack.resolve("Hamburger") == "burger"
