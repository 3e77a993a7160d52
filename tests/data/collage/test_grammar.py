"""Things that are one and yet a plural in grammar: scissors, sunglasses, trousers."""

import re

import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe

PAIRS = r"(scissors|sunglasses|trousers)"
OVERRIDES = [
    "size=96x96",
    "buckets=null",
    "names=[scissors, sunglasses, trousers, apple, fish, tree]",
    "held_out.fraction=0",
    "reference={long_words: 1, num_sources: {1: 1, 2: 1}}",
]
# "a pair of scissors is", "the fox above the scissors is": only what is directly named counts.
WRONG = (
    rf"(^|, |\. |and )the (\w+ )?{PAIRS}(, [^,]*,)? (is|stands|belongs)\b",
    rf"there is the (\w+ )?{PAIRS}",
    rf"stands the (\w+ )?{PAIRS}",
    rf"where the (\w+ )?{PAIRS} is",
    rf"(^|\. )the (\w+ )?{PAIRS}( are [^.,]*)?, the one of",
)
RIGHT = (
    rf"the (\w+ )?{PAIRS}(, [^,]*,)? are\b",
    rf"there are the (\w+ )?{PAIRS}",
    rf"stand the (\w+ )?{PAIRS}",
    rf"where the (\w+ )?{PAIRS} are",
    rf"{PAIRS}( \w+)*, the ones of",
)


@pytest.mark.parametrize(
    ("kind", "number", "seen"),
    [("subject", 120, {0, 1, 2, 4}), ("segment", 60, {3}), ("detect", 60, {3}), ("replace", 150, {3})],
)
def test_verbs_agree_with_pairs(kind: str, number: int, seen: set[int]) -> None:
    engine = CollageEngine(load_recipe("dreamomni", CollageRecipe, OVERRIDES))
    found = set()
    for index in range(number):
        sample = engine.sample(2, index, kind)
        for text in (sample.instruction.lower(), sample.caption.lower()):
            assert not [pattern for pattern in WRONG if re.search(pattern, text)], text
            found |= {place for place, pattern in enumerate(RIGHT) if re.search(pattern, text)}
    assert found >= seen


def test_other_things_keep_their_verbs() -> None:
    engine = CollageEngine(
        load_recipe("dreamomni", CollageRecipe, [*OVERRIDES, "names=[apple, dice, fish, tree, key]"])
    )
    texts = [engine.sample(2, index, "subject").instruction.lower() for index in range(60)]
    assert not [
        text for text in texts if re.search(r"(apple|dice|fish) (are|stand|belong)\b|there are", text)
    ]
    assert any(re.search(r"(apple|dice|fish) is\b", text) for text in texts)
    assert any("the one of" in text for text in texts)
