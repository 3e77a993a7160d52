import functools
import re

import cv2
import numpy as np
import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.families.control import ControlFamily
from dreamomni.data.collage.held_out import combinations, is_held_out
from dreamomni.data.collage.maps import NEAREST, depth_levels, region_colours
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.collage.words import control as words
from dreamomni.data.collage.words.lexicon import counted
from dreamomni.errors import ConfigError
from dreamomni.tasks.sample import TrainingSample

NAMES = "names=[apple, tree, house, fish, car, cup, star, umbrella, heart, moon, flower, cat, boat, cloud]"
RECIPE = load_recipe("reference", CollageRecipe, ["size=[96x96, 128x80]", "max_overlap=0.3", NAMES])
KINDS = ControlFamily.kinds
NUM = 40


@functools.cache
def samples(kind: str, *overrides: str) -> list[TrainingSample]:
    engine = CollageEngine(
        load_recipe("reference", CollageRecipe, ["size=[96x96, 128x80]", NAMES, *overrides])
    )
    return [engine.sample(4, index, kind) for index in range(NUM if not overrides else 12)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_map_is_the_only_image_and_as_large_as_the_target(kind: str) -> None:
    for sample in samples(kind):
        assert (sample.task, sample.kind, sample.details["control"]) == ("control", kind, kind)
        (shown,) = sample.images
        assert shown.shape == sample.target.shape
        assert shown.dtype == np.uint8
        assert sample.mask is None


def test_edges_are_those_of_the_target() -> None:
    for sample in samples("canny"):
        edges = cv2.Canny(sample.target, sample.details["low"], sample.details["high"])
        assert (sample.images[0] == edges[..., None]).all()
        assert sample.image_ids == (None,)
        assert sample.image_objects == ((),)
        for label in sample.objects:
            box = label.box
            inside = edges[max(box.y0 - 1, 0) : box.y1 + 1, max(box.x0 - 1, 0) : box.x1 + 1]
            assert np.count_nonzero(inside) >= (box.width + box.height) / 2
    assert len({sample.details["low"] for sample in samples("canny")}) > 10


def test_depth_is_the_order_of_the_layers() -> None:
    covered = 0
    for sample in samples("depth", "max_overlap=0.5", "object_sizes={1: [0.4, 0.6]}"):
        levels = {int(number): level for number, level in sample.details["levels"].items()}
        assert sample.ids is not None
        assert set(levels) == {label.instance_id for label in sample.objects}
        table = np.zeros(256, np.uint8)
        for number, level in levels.items():
            table[number] = level
        assert (sample.images[0] == table[sample.ids][..., None]).all()
        assert sorted(levels.values())[-1] == 255
        assert len(set(levels.values())) == len(levels)
        # What is covered lies lower, so it is darker than the brightest thing.
        for label in sample.objects:
            if label.visibility < 0.999:
                x0, y0, x1, y1 = label.box
                others = levels.keys() - {label.instance_id}
                touching = [n for n in others if (sample.ids[y0:y1, x0:x1] == n).any()]
                if touching:
                    covered += 1
                    assert max(levels[n] for n in touching) > levels[label.instance_id]
        assert all(label.colour is None for label in sample.source_objects)
        assert [o.box for o in sample.source_objects] == [o.box for o in sample.objects]
    assert covered >= 3


def test_regions_are_the_id_map_in_colours() -> None:
    for kind in ("instance", "name"):
        for sample in samples("segmentation", f"reference.palette={kind}"):
            palette = sample.details["palette"]
            assert sample.ids is not None
            assert (sample.image_ids[0] == sample.ids).all()
            assert sample.details["palette_of"] == kind
            for label in sample.objects:
                colour = palette[label.name if kind == "name" else str(label.instance_id)]
                assert (sample.images[0][sample.ids == label.instance_id] == colour).all()
            assert (sample.images[0][sample.ids == 0] == 0).all()
            assert len({tuple(colour) for colour in palette.values()}) == len(palette)


def test_levels_and_colours_are_told_apart() -> None:
    assert depth_levels([7], 70) == {7: NEAREST}
    assert depth_levels([3, 1, 2], 75) == {3: 75, 1: 165, 2: NEAREST}
    for count in range(1, 9):
        colours = np.array([*region_colours(count, Draws(0, count)), (0, 0, 0)], float)
        apart = np.abs(colours[:, None] - colours[None]).max(axis=2)
        assert apart[~np.eye(len(colours), dtype=bool)].min() >= 40


@pytest.mark.parametrize("kind", KINDS)
def test_words_describe_the_whole_target(kind: str) -> None:
    for sample in samples(kind, "reference.twins=0"):
        text = sample.instruction.lower()
        for label in sample.objects:
            assert counted(1, label.name, label.colour) in text
        assert sample.details["background"]["colour"] in text
        assert any(phrase in text for phrase in words.MAPS[kind])
        assert "image" in text


def test_things_that_a_map_cannot_tell_apart_are_named_in_order() -> None:
    rows = 0
    for kind in KINDS:
        for sample in samples(kind, "reference.twins=1", "reference.num_objects={2: 1}"):
            first, second = sample.objects
            assert first.name == second.name
            nouns = [counted(1, label.name, label.colour) for label in (first, second)]
            text = sample.instruction.lower()
            if first.colour == second.colour:
                assert counted(2, first.name, first.colour) in text
                continue
            rows += 1
            across = "from left to right" in text
            assert across or "from top to bottom" in text
            axis = 0 if across else 1
            ordered = text.index(nouns[0]) < text.index(nouns[1])
            assert ordered == (first.box.centre[axis] < second.box.centre[axis])
    assert rows > 10


@pytest.mark.parametrize("kind", KINDS)
def test_texts_are_clean_and_varied(kind: str) -> None:
    for sample in samples(kind):
        for text in (sample.instruction, sample.caption):
            assert not re.search(r"[{}]|  |\ba [aeio]\w|\ban [^aeiou]|\.,", text.lower()), text
            assert text.endswith(".") == text[0].isupper()
    assert len({sample.instruction.lower().split()[0] for sample in samples(kind)}) >= 6


def test_there_are_many_phrasings() -> None:
    assert len(words.CONTROL) == len(set(words.CONTROL)) >= 15
    assert set(words.MAPS) == set(KINDS)


def test_training_shows_no_held_out_combination_and_the_other_split_one_pair() -> None:
    def shown(sample: TrainingSample) -> set[tuple[str, ...]]:
        pictures = (sample.objects, *sample.image_objects)
        found = combinations([(label.name, label.colour) for label in labels] for labels in pictures)
        return {combination for combination in found if is_held_out(RECIPE.held_out, combination)}

    held_out = CollageEngine(RECIPE, split="held_out")
    for kind in KINDS:
        assert not any(shown(sample) for sample in samples(kind))
        for index in range(12):
            (only,) = shown(held_out.sample(0, index, kind))
            assert only[0] == "pair"


def test_options_act() -> None:
    assert {len(s.objects) for s in samples("depth", "reference.num_objects={2: 1}")} == {2}
    kinds = {o.kind for s in samples("depth", "reference.shapes=1") for o in s.objects}
    assert kinds == {"shape"}
    seen = [o.visibility for s in samples("depth", "reference.min_visibility=1") for o in s.objects]
    assert set(seen) == {1.0}
    low = {s.details["low"] for s in samples("canny", "reference.canny_low=[50, 50]")}
    assert low == {50}
    high = samples("canny", "reference.canny_ratio=[2, 2]")
    assert all(s.details["high"] == 2 * s.details["low"] for s in high)
    levels = samples("depth", "reference.farthest_level=30", "reference.num_objects={3: 1}")
    assert all(min(s.details["levels"].values()) == 30 for s in levels)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("canny_low=[90, 20]", r"canny_low must be \[smallest, largest\]"),
        ("num_objects={0: 1}", "num_objects must give weights to numbers from 1 to 8"),
        ("num_sources={6: 1}", "num_sources must give weights to numbers from 1 to 5"),
        ("num_sources={2: 0}", "num_sources needs at least one weight above 0"),
        ("max_subjects=2", "max_subjects is 2, but each of 5 sources gives a subject"),
        ("source_sizes=[8x8]", "a source of 8x8 is outside"),
        ("palette=rainbow", "reference.palette"),
    ],
)
def test_impossible_options_are_explained(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("reference", CollageRecipe, [f"reference.{override}"])


def test_a_tokenizer_learns_every_word() -> None:
    engine = CollageEngine(load_recipe("reference", CollageRecipe, ["size=64x64", NAMES]))
    known = {word for text in engine.corpus(0) for word in re.findall(r"[A-Za-z]+|\d+", text)}
    for index in range(60):
        sample = engine.sample(21, index)
        for text in (sample.instruction, sample.caption):
            assert set(re.findall(r"[A-Za-z]+|\d+", text)) <= known, text
