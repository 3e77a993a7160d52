import json
import re

import cv2
import numpy as np
import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine, RejectedSampleError
from dreamomni.data.collage.held_out import combinations, is_held_out
from dreamomni.data.collage.multi_reference_plans import ATTRIBUTE_OF
from dreamomni.data.collage.recipe import (
    MULTI_REFERENCE_KINDS,
    REFERENCE_EDIT_KINDS,
    CollageRecipe,
)
from dreamomni.tasks.sample import ObjectLabel, TrainingSample
from dreamomni.tasks.standard import parse_answer, standard_edit, standard_generation, wrap

NUM = 16
SIZES = "multi_reference.reference_sizes=[96x96, 64x96, 128x64]"
MANY = "multi_reference.num_references={1: 1, 2: 2, 3: 1, 4: 1}"
WORLD = ["buckets=null", "size=[96x96, 128x96]", SIZES, MANY]


@pytest.fixture(scope="module")
def engine() -> CollageEngine:
    return CollageEngine(load_recipe("references", CollageRecipe, WORLD))


@pytest.fixture(scope="module")
def mini() -> CollageEngine:
    return CollageEngine(load_recipe("mini-references-edit", CollageRecipe))


def some(engine: CollageEngine, kind: str, num: int = NUM) -> list[TrainingSample]:
    made = []
    for index in range(num):
        try:
            made.append(engine.sample(1, index, kind))
        except RejectedSampleError:
            continue
    assert len(made) >= num - 1
    return made


def by_number(labels: tuple[ObjectLabel, ...], number: int) -> ObjectLabel:
    return next(label for label in labels if label.instance_id == number)


@pytest.mark.parametrize("kind", MULTI_REFERENCE_KINDS)
def test_the_shape_is_known_before_a_sample_is_drawn(engine: CollageEngine, kind: str) -> None:
    found = set()
    for index in range(NUM):
        sample = engine.sample(1, index, kind)
        only = engine.recipe.model_copy(update={"mixture": {kind: 1.0}})
        shape = CollageEngine(only).shape(1, index) if index < 3 else None
        sizes = [(image.shape[1], image.shape[0]) for image in sample.images]
        if shape is not None:
            assert [tuple(size) for size in shape.images] == sizes
        found.add(len(sizes))
        if kind in REFERENCE_EDIT_KINDS:
            assert sample.images[0].shape == sample.target.shape
    assert found <= {2, 3, 4, 5}
    assert len(found) > 2


@pytest.mark.parametrize("kind", MULTI_REFERENCE_KINDS)
def test_samples_are_pure_and_the_reference_is_where_it_is_said(engine: CollageEngine, kind: str) -> None:
    for sample in some(engine, kind):
        again = engine.sample(1, sample.index, kind)
        assert again.target.tobytes() == sample.target.tobytes()
        assert again.instruction == sample.instruction
        facts = sample.details["reference"]
        assert facts["attribute"] == ATTRIBUTE_OF[kind]
        assert (facts["kind"] == "concrete") == (facts["attribute"] == "thing")
        assert json.loads(json.dumps(facts)) == facts
        for use in facts["uses"]:
            if use["instance"] is not None:
                label = by_number(sample.image_objects[use["image"] - 1], use["instance"])
                assert (label.name, label.colour) == (use["name"], use["colour"])
        assert any(word in sample.instruction.lower() for word in _calls(facts["image"]))


def _calls(image: int) -> list[str]:
    ordinal = ("first", "second", "third", "fourth", "fifth")[image - 1]
    return [f"{noun} {image}" for noun in ("image", "picture", "figure", "photo", "pic")] + [ordinal]


@pytest.mark.parametrize("kind", MULTI_REFERENCE_KINDS)
def test_the_standard_words_name_each_used_image_and_survive_the_parser(
    engine: CollageEngine, kind: str
) -> None:
    for sample in some(engine, kind):
        standard, facts = sample.details["standard"], sample.details["reference"]
        edit = kind in REFERENCE_EDIT_KINDS
        words = standard["instruction"] if edit else standard["caption"]
        named = {int(number) for number in re.findall(r"image_(\d)", words)}
        used = {use["image"] for use in facts["uses"]} | ({1} if edit else set())
        used |= {facts["ground"]} if facts.get("ground") else set()
        assert named == used, words
        content = standard_edit(**standard) if edit else standard_generation(standard["caption"])
        parsed = parse_answer(wrap(content), len(sample.images))
        assert parsed.content == content
        assert not parsed.problems


def test_things_come_from_the_picture_that_is_meant(engine: CollageEngine) -> None:
    several = 0
    for kind in ("reference_add", "reference_replace"):
        for sample in some(engine, kind):
            before = {label.instance_id for label in sample.source_objects}
            come = [label for label in sample.objects if label.instance_id not in before]
            gone = before - {label.instance_id for label in sample.objects}
            uses = sample.details["reference"]["uses"]
            several += len(uses) > 1
            assert {use["target_instance"] for use in uses} == {label.instance_id for label in come}
            for use in uses:
                label = by_number(sample.objects, use["target_instance"])
                given = by_number(sample.image_objects[use["image"] - 1], use["instance"])
                assert (label.name, label.colour) == (given.name, given.colour)
            assert len(gone) == (len(uses) if kind == "reference_replace" else 0)
    assert several >= 1


@pytest.mark.parametrize("kind", ["reference_colour", "reference_pattern", "reference_style"])
def test_what_has_no_body_changes_one_thing_on_its_own_pixels(engine: CollageEngine, kind: str) -> None:
    for sample in some(engine, kind):
        (use,) = sample.details["reference"]["uses"]
        number = use["subject_instance"]
        assert sample.ids is not None
        assert sample.image_ids[0] is not None
        assert (sample.ids == sample.image_ids[0]).all()
        assert sample.mask is not None
        old, new = by_number(sample.source_objects, number), by_number(sample.objects, number)
        assert old.name == new.name
        if kind == "reference_colour":
            assert new.colour == use["colour"] != old.colour
        else:
            assert new.colour == old.colour
            assert use["value"] != sample.details["reference"]["before"]
        if sample.details["blend"]["style"] == "none":
            # The edge of a thing is mixed with what is behind it.
            near = cv2.dilate((sample.ids == number).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
            assert not (sample.mask > 0)[~near].any()


def test_a_background_comes_with_everything_left_where_it_was(engine: CollageEngine) -> None:
    for sample in some(engine, "reference_background"):
        assert sample.ids is not None
        assert sample.image_ids[0] is not None
        assert (sample.ids == sample.image_ids[0]).all()
        given = sample.details["reference"]["gives"][str(sample.details["reference"]["image"])]
        assert sample.details["background"] == given != sample.details["reference"]["before"]


@pytest.mark.parametrize("kind", MULTI_REFERENCE_KINDS)
def test_exchanged_references_change_the_picture_and_nothing_else(engine: CollageEngine, kind: str) -> None:
    swapped = 0
    for sample in some(engine, kind):
        pair = sample.details["reference"]["swap"]
        if pair is None:
            continue
        try:
            other = engine.sample(1, sample.index, kind, "swapped")
        except RejectedSampleError:
            continue
        if other.details["attempts"] != sample.details["attempts"]:
            continue
        swapped += 1
        one, two = (number - 1 for number in pair)
        images = list(sample.images)
        images[one], images[two] = images[two], images[one]
        assert all(
            (a.shape, a.tobytes()) == (b.shape, b.tobytes())
            for a, b in zip(images, other.images, strict=True)
        )
        assert other.instruction == sample.instruction
        assert other.target.tobytes() != sample.target.tobytes()
        assert other.details["standard"]["caption"] != sample.details["standard"]["caption"]
    assert swapped >= 2


@pytest.mark.parametrize("name", ["mini-references-edit", "mini-references-generate", "references"])
def test_training_shows_nothing_that_is_held_out(name: str) -> None:
    small = ["buckets=null", "size=96x96", SIZES] if name == "references" else []
    recipe = load_recipe(name, CollageRecipe, small)
    engines = {split: CollageEngine(recipe, split) for split in ("train", "held_out")}  # type: ignore[arg-type]
    kept = asked = 0
    for kind, weight in recipe.mixture.items():
        for index in range(10 if weight else 0):
            for split, engine in engines.items():
                try:
                    sample = engine.sample(0, index, kind)
                except RejectedSampleError:
                    continue
                pictures = [sample.objects, *sample.image_objects]
                things = [[(one.name, one.colour) for one in p if one.kind != "text"] for p in pictures]
                out = [one for one in combinations(things) if is_held_out(recipe.held_out, one)]
                if split == "train":
                    assert not out, out
                else:
                    kept += bool(out) or kind == "reference_font"
                    asked += 1
    assert kept == asked >= 20


def test_another_value_draws_another_target_of_the_same_question(mini: CollageEngine) -> None:
    for kind, values in (
        ("reference_pattern", ("stripes", "dots", "checks")),
        ("reference_style", ("outline", "border")),
        ("reference_background", ("white", "cream", "sky blue")),
    ):
        sample = mini.sample(1, 0, kind)
        targets = {value: mini.sample(1, 0, kind, f"={value}") for value in values if _differs(sample, value)}
        assert all(other.instruction == sample.instruction for other in targets.values())
        assert len({other.target.tobytes() for other in targets.values()}) == len(targets) >= 1


def _differs(sample: TrainingSample, value: str) -> bool:
    before = sample.details["reference"]["before"]
    return value != (before["colour"] if isinstance(before, dict) else before)


def test_loose_and_orderly_words_come_in_the_share_of_the_recipe() -> None:
    for share in (0.0, 1.0):
        recipe = load_recipe("mini-references-edit", CollageRecipe, [f"multi_reference.irregular={share}"])
        engine = CollageEngine(recipe)
        samples = [engine.sample(0, index) for index in range(30)]
        assert {sample.details["reference"]["irregular"] for sample in samples} == {share == 1.0}
        calls = r"(?:pic|photo|picture|figure) \d|\w+ (?:picture|photo|one\b)"
        loose = [re.search(calls, sample.instruction.lower()) is not None for sample in samples]
        orderly = [re.search(r"\bimage \d|\w+ image\b", sample.instruction) for sample in samples]
        assert all(loose) if share else all(orderly)
