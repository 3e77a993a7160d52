import functools
import re

import cv2
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.families.perception import box_strips, draw_box, fill_region
from dreamomni.data.collage.held_out import combinations, is_held_out
from dreamomni.data.collage.naming import plural
from dreamomni.data.collage.palette import PALETTE, delta_e
from dreamomni.data.collage.recipe import PERCEPTION_KINDS, CollageRecipe
from dreamomni.data.collage.words import perception as words
from dreamomni.data.collage.words.references import refer
from dreamomni.errors import ConfigError
from dreamomni.tasks.geometry import Box, Size
from dreamomni.tasks.sample import TrainingSample

# Few names, so that few drawings need to be made ready.
NAMES = "names=[apple, tree, house, fish, car, cup, star, umbrella, heart, moon, flower, cat, boat, scissors]"
RECIPE = load_recipe(
    "perception", CollageRecipe, ["size=[96x96, 128x80]", "perception.min_visibility=0.3", NAMES]
)
NUM = 50


@functools.cache
def engine() -> CollageEngine:
    return CollageEngine(RECIPE)


@functools.cache
def samples(kind: str) -> list[TrainingSample]:
    return [engine().sample(2, index, kind) for index in range(NUM)]


def outline_of(box: Box, size: Size, stroke: int) -> np.ndarray:
    outline = np.zeros((size.height, size.width), bool)
    for strip in box_strips(box, size, stroke):
        outline[strip] = True
    return outline


@given(
    width=st.integers(8, 40),
    height=st.integers(8, 40),
    stroke=st.integers(1, 3),
    corners=st.tuples(*[st.floats(0, 1)] * 4),
)
def test_a_box_is_drawn_around_its_inside(
    width: int, height: int, stroke: int, corners: tuple[float, float, float, float]
) -> None:
    (x0, x1), (y0, y1) = sorted(corners[:2]), sorted(corners[2:])
    box = Box(
        int(x0 * (width - 1)), int(y0 * (height - 1)), int(x1 * (width - 1)) + 1, int(y1 * (height - 1)) + 1
    )
    before = np.full((height, width, 3), 200, np.uint8)
    drawn = draw_box(before, box, (1, 2, 3), stroke)
    outline = (drawn == (1, 2, 3)).all(axis=2)
    assert (before == 200).all()
    assert (drawn[~outline] == 200).all()
    around = np.zeros_like(outline)
    around[max(box.y0 - stroke, 0) : box.y1 + stroke, max(box.x0 - stroke, 0) : box.x1 + stroke] = True
    assert not outline[~around].any()
    inner = outline[box.y0 : box.y1, box.x0 : box.x1]
    # Only where the canvas ends does the outline come inside.
    if min(box.x0, box.y0, width - box.x1, height - box.y1) >= stroke:
        assert not inner.any()
        assert outline.sum() == 2 * stroke * (box.width + box.height + 2 * stroke)
    rows, columns = np.nonzero(outline)
    assert columns.min() == max(box.x0 - stroke, 0)
    assert columns.max() + 1 == min(box.x1 + stroke, width)
    assert rows.min() == max(box.y0 - stroke, 0)
    assert rows.max() + 1 == min(box.y1 + stroke, height)


def test_a_box_outside_the_canvas_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="cannot outline"):
        draw_box(np.zeros((8, 8, 3), np.uint8), Box(0, 0, 9, 4), (1, 1, 1), 1)


def test_a_fill_is_the_region_and_nothing_else() -> None:
    ids = np.array([[0, 1, 1], [2, 2, 0], [3, 3, 1]], np.int16)
    pixels = np.full((3, 3, 3), 9, np.uint8)
    filled = fill_region(pixels, ids, [1, 3], (5, 6, 7))
    assert ((filled == (5, 6, 7)).all(axis=2) == np.isin(ids, (1, 3))).all()
    assert (pixels == 9).all()


def test_segments_are_exactly_the_visible_regions() -> None:
    for sample in samples("segment"):
        (source,), (ids,) = sample.images, sample.image_ids
        assert ids is not None
        assert sample.mask is not None
        region = np.isin(ids, sample.details["instances"])
        fill = sample.details["fill"]
        # The colour is nowhere else, so the target alone gives the region back.
        assert ((sample.target == fill).all(axis=2) == region).all()
        assert ((sample.mask == 255) == region).all()
        assert (source[~region] == sample.target[~region]).all()
        assert (sample.ids == ids).all()
        assert PALETTE[sample.details["fill_colour"]] == tuple(fill)
        assert sample.details["fill_colour"] in sample.instruction
        for label in sample.objects:
            asked = label.instance_id in sample.details["instances"]
            assert (label.colour == sample.details["fill_colour"]) == asked


def test_boxes_are_those_of_the_visible_things() -> None:
    for sample in samples("detect"):
        (source,), (ids,) = sample.images, sample.image_ids
        assert ids is not None
        assert sample.mask is not None
        assert sample.ids is not None
        size = Size(ids.shape[1], ids.shape[0])
        outline = np.zeros(ids.shape, bool)
        for number, box in zip(sample.details["instances"], sample.details["boxes"], strict=True):
            x, y, width, height = cv2.boundingRect((ids == number).astype(np.uint8))
            assert box == [x, y, x + width, y + height]
            outline |= outline_of(Box(*box), size, sample.details["stroke"])
        assert ((sample.target == sample.details["box_rgb"]).all(axis=2) == outline).all()
        assert ((sample.mask == 255) == outline).all()
        assert (sample.target[~outline] == source[~outline]).all()
        assert (sample.ids == np.where(outline, 0, ids)).all()


@pytest.mark.parametrize("kind", PERCEPTION_KINDS)
def test_words_mean_exactly_what_is_marked(kind: str) -> None:
    means = set()
    for sample in samples(kind):
        text = sample.details["reference"]["text"]
        by = sample.details["reference"]["by"]
        means.add(by)
        assert text in sample.instruction.lower()
        size = Size(sample.target.shape[1], sample.target.shape[0])
        labels = sample.source_objects
        asked = [label for label in labels if label.instance_id in sample.details["instances"]]
        if by == "all of a colour":
            (colour,) = {label.colour for label in asked}
            assert colour in text.split()
            assert len(asked) == sum(label.colour == colour for label in labels)
        elif by == "all of a name":
            (name,) = {label.name for label in asked}
            assert name in text or plural(name) in text
            assert len(asked) == sum(label.name == name for label in labels) > 1
        else:
            (label,) = asked
            assert text in [reference.text for reference in refer(label, labels, size)]
            for other in labels:
                if other is not label:
                    assert text not in [reference.text for reference in refer(other, labels, size)]
    assert means >= {"name", "colour", "place", "all of a name", "all of a colour"}


@pytest.mark.parametrize("kind", PERCEPTION_KINDS)
def test_mark_colours_cannot_be_mixed_up(kind: str) -> None:
    colours = set()
    for sample in samples(kind):
        name = sample.details.get("fill_colour") or sample.details["box_colour"]
        colours.add(name)
        for label in sample.source_objects:
            assert label.colour != name
            assert label.colour is None or float(delta_e(PALETTE[name], PALETTE[label.colour])) >= 28
    assert len(colours) >= 6


def test_training_shows_no_held_out_combination_and_the_other_split_one_pair() -> None:
    def shown(sample: TrainingSample) -> set[tuple[str, ...]]:
        pictures = (sample.objects, *sample.image_objects)
        found = combinations([(label.name, label.colour) for label in labels] for labels in pictures)
        return {combination for combination in found if is_held_out(RECIPE.held_out, combination)}

    for kind in PERCEPTION_KINDS:
        assert not any(shown(sample) for sample in samples(kind))
    held_out = CollageEngine(RECIPE, split="held_out")
    for index in range(20):
        for kind in PERCEPTION_KINDS:
            (only,) = shown(held_out.sample(0, index, kind))
            assert only[0] == "pair"


@pytest.mark.parametrize("bank", [words.SEGMENT, words.DETECT, words.DETECT_MANY])
def test_there_are_many_phrasings(bank: tuple[str, ...]) -> None:
    assert len(bank) == len(set(bank)) >= 15


@pytest.mark.parametrize("kind", PERCEPTION_KINDS)
def test_texts_are_clean(kind: str) -> None:
    for sample in samples(kind):
        for text in (sample.instruction, sample.caption):
            assert not re.search(r"[{}]|  |\ba [aeio]\w|\ban [^aeiou]|\.,", text.lower()), text
            assert text.endswith(".") == text[0].isupper()
    assert len({sample.instruction.lower().split()[0] for sample in samples(kind)}) >= 8


def test_options_act() -> None:
    def drawn(*overrides: str) -> list[TrainingSample]:
        recipe = load_recipe("perception", CollageRecipe, ["size=64x64", NAMES, *overrides])
        made = CollageEngine(recipe)
        return [made.sample(0, index, "detect") for index in range(12)]

    assert {len(s.objects) for s in drawn("perception.num_objects={2: 1}")} == {2}
    assert {s.details["stroke"] for s in drawn("perception.stroke=[0.05, 0.05]")} == {3}
    assert {s.details["reference"]["by"] for s in drawn("perception.ask={colour: 1}")} == {"all of a colour"}
    twins = drawn("perception.twins=1", "perception.num_objects={3: 1}")
    assert all(len({label.name for label in s.source_objects}) < 3 for s in twins)
    alike = drawn("perception.same_colour=1", "perception.num_objects={3: 1}", "held_out.fraction=0")
    assert sum(len({label.colour for label in s.source_objects}) for s in alike) < 20
    covered = drawn("perception.min_visibility=1", "max_overlap=0.5")
    assert {label.visibility for s in covered for label in s.source_objects} == {1.0}
    with pytest.raises(ConfigError, match=r"perception: stroke must be \[smallest, largest\]"):
        drawn("perception.stroke=[0.05, 0.01]")
    with pytest.raises(ConfigError, match="ask needs at least one weight above 0"):
        drawn("perception.ask={one: 0}")


def test_a_tokenizer_learns_every_word() -> None:
    engine = CollageEngine(load_recipe("perception", CollageRecipe, ["size=64x64", NAMES]))
    known = {word for text in engine.corpus(0) for word in re.findall(r"[A-Za-z]+|\d+", text)}
    for index in range(60):
        sample = engine.sample(21, index)
        for text in (sample.instruction, sample.caption):
            assert set(re.findall(r"[A-Za-z]+|\d+", text)) <= known, text
