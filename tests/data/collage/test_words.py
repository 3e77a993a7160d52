import re

import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import EDIT_KINDS, TEXT_TO_IMAGE_KINDS, CollageRecipe
from dreamomni.data.collage.words import (
    captions,
    descriptions,
    instructions,
    multi_edits,
    written_captions,
)
from dreamomni.data.collage.words.lexicon import counted, definite, indefinite

QUOTED = re.compile(r'"[^"]*"')
_LONGEST = {"scene": 30, "shapes": 45, "text": 35, "description": 120, "multi_edit": 80}
WORD = re.compile(r"[A-Za-z]+|\d+")


def test_nouns_agree() -> None:
    assert indefinite("house") == "a house"
    assert indefinite("house", "orange") == "an orange house"
    assert indefinite("umbrella") == "an umbrella"
    assert indefinite("umbrella", "red") == "a red umbrella"
    assert indefinite("scissors", "red") == "a pair of red scissors"
    assert definite("ice cream", "pink") == "the pink ice cream"
    assert counted(1, "fish") == "a fish"
    assert counted(2, "star", "red") == "two red stars"
    assert counted(3, "leaf") == "three leaves"
    assert counted(3, "cherry", digits=True) == "3 cherries"
    assert counted(2, "scissors") == "two pairs of scissors"


@pytest.mark.parametrize(
    "bank",
    [
        captions.FRAMES,
        written_captions.TEXT,
        written_captions.PLATE,
        descriptions.PLACED,
        descriptions.RELATED,
        descriptions.INTRO,
        instructions.ADD,
        instructions.REMOVE,
        instructions.REPLACE,
        multi_edits.FRAMES,
    ],
)
def test_every_kind_has_many_phrasings(bank: tuple[str, ...]) -> None:
    assert len(bank) == len(set(bank)) >= 15


@pytest.mark.parametrize("name", ["mini-world", "collage-all"])
def test_the_corpus_begins_with_every_word(name: str) -> None:
    engine = CollageEngine(load_recipe(name, CollageRecipe, ["size=64x64"]))
    known = {word for text in engine.corpus(0) for word in WORD.findall(text)}
    for index in range(300):
        sample = engine.sample(21, index)
        for text in (sample.instruction, sample.caption, sample.details["description"]):
            # What is quoted may be letters at random.
            assert set(WORD.findall(QUOTED.sub("", text))) <= known, text
    assert len(list(engine.corpus(5))) > len(list(engine.corpus(0)))


@pytest.mark.parametrize("kind", [*TEXT_TO_IMAGE_KINDS, *EDIT_KINDS])
def test_texts_are_short_clean_and_varied(kind: str) -> None:
    engine = CollageEngine(load_recipe("collage-all", CollageRecipe, ["size=64x64"]))
    texts = [engine.sample(13, index, kind).instruction for index in range(120)]
    for text in texts:
        assert not re.search(r"[{}]|  |\ba [aeio]\w|\ban (?!hour)[^aeiou]", QUOTED.sub("q", text).lower()), (
            text
        )
        assert text == text.strip()
        assert text.isascii()
        assert len(text.split()) <= _LONGEST.get(kind, 21), text
        assert text.endswith(".") == (text[0].isupper() and not text.startswith('"')), text
    sentences = sum(text.endswith(".") for text in texts) / 120
    assert sentences == pytest.approx({"description": 1.0, "multi_edit": 0.4}.get(kind, 0.15), abs=0.12)
    heads = {" ".join(text.lower().split()[:2]) for text in texts}
    assert len(heads) >= 12


def test_plain_forms_are_common() -> None:
    engine = CollageEngine(load_recipe("mini-world", CollageRecipe))
    starts = {"add": "add ", "remove": "remove ", "replace": "replace "}
    for kind, start in starts.items():
        texts = [engine.sample(14, index, kind).instruction.lower() for index in range(200)]
        assert sum(text.startswith(start) for text in texts) > 70
    noun = r"(an?|two|three|\d)( \w+){1,2}"
    plain = re.compile(rf"{noun} (above|below|to the left of|to the right of) {noun}\.?")
    texts = [engine.sample(14, index, "position").instruction.lower() for index in range(200)]
    assert sum(plain.fullmatch(text) is not None for text in texts) > 15


def test_a_said_background_is_the_real_one() -> None:
    engine = CollageEngine(load_recipe("mini-world", CollageRecipe))
    said = 0
    for index in range(200):
        sample = engine.sample(15, index, "colors")
        if "background" in sample.instruction or "gradient" in sample.instruction:
            said += 1
            assert sample.details["background"]["colour"] in sample.instruction
    assert 35 <= said <= 85


def test_said_colours_and_numbers_are_those_expected() -> None:
    engine = CollageEngine(load_recipe("mini-world", CollageRecipe))
    for index in range(300):
        sample = engine.sample(16, index)
        if sample.task != "text_to_image":
            continue
        for group in sample.details["expect"]["include"]:
            spoken = [
                counted(group["count"], group["name"], group["colour"], digits=digits)
                for digits in (False, True)
            ]
            assert any(phrase in sample.instruction.lower() for phrase in spoken), sample.instruction
