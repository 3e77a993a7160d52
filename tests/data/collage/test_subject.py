import functools
import re

import numpy as np
import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.held_out import combinations, is_held_out
from dreamomni.data.collage.labels import cosines
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.collage.words import subject as words
from dreamomni.data.collage.words.references import refer
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.sample import TrainingSample

NAMES = (
    "names=[apple, tree, house, fish, car, cup, star, umbrella, heart, moon, flower, cat, boat, key, cloud,"
    "mushroom, balloon, scissors, banana, hat]"
)
BASE = ("size=[96x96, 128x80]", NAMES)
RECIPE = load_recipe("reference", CollageRecipe, list(BASE))
NUM = 80


@functools.cache
def samples(*overrides: str) -> list[TrainingSample]:
    engine = CollageEngine(load_recipe("reference", CollageRecipe, [*BASE, *overrides]))
    return [engine.sample(4, index, "subject") for index in range(12 if overrides else NUM)]


def size_of(pixels: np.ndarray) -> Size:
    return Size(pixels.shape[1], pixels.shape[0])


def test_one_to_five_sources_with_labels_and_ids() -> None:
    counts = {len(sample.images) for sample in samples()}
    assert counts == {1, 2, 3, 4, 5}
    for sample in samples():
        assert sample.task == "subject"
        assert sample.mask is None
        assert len(sample.images) == len(sample.image_ids) == len(sample.image_objects)
        for ids, labels in zip(
            (sample.ids, *sample.image_ids), (sample.objects, *sample.image_objects), strict=True
        ):
            assert ids is not None
            assert {label.instance_id for label in labels} == set(np.unique(ids).tolist()) - {0}
            for label in labels:
                rows, columns = np.nonzero(ids == label.instance_id)
                assert tuple(label.box) == (
                    columns.min(),
                    rows.min(),
                    columns.max() + 1,
                    rows.max() + 1,
                )


def test_the_target_shows_what_was_chosen_and_nothing_else() -> None:
    distractors = 0
    for sample in samples():
        chosen = sample.details["subjects"]
        assert {one["target_instance"] for one in chosen} == {label.instance_id for label in sample.objects}
        assert {one["image"] for one in chosen} == set(range(1, len(sample.images) + 1))
        for one in chosen:
            (before,) = [
                label
                for label in sample.image_objects[one["image"] - 1]
                if label.instance_id == one["source_instance"]
            ]
            (after,) = [label for label in sample.objects if label.instance_id == one["target_instance"]]
            assert one["source_instance"] == one["target_instance"]
            assert (before.name, before.colour) == (after.name, after.colour) == (one["name"], one["colour"])
        numbers = [label.instance_id for labels in sample.image_objects for label in labels]
        assert len(numbers) == len(set(numbers))
        distractors += len(numbers) - len(chosen)
    assert distractors > NUM / 2


def test_every_subject_is_named_without_doubt_in_its_own_image() -> None:
    by = set()
    for sample in samples():
        text = sample.instruction.lower()
        for one in sample.details["subjects"]:
            labels = sample.image_objects[one["image"] - 1]
            (label,) = [label for label in labels if label.instance_id == one["source_instance"]]
            size = size_of(sample.images[one["image"] - 1])
            own = refer(label, labels, size)
            # A full description writes "a red star" where "the red star" fits one thing only.
            said = {
                reference.by
                for reference in own
                if reference.text in text
                or (reference.by == "colour" and reference.text.removeprefix("the ") in text)
            }
            assert said, (text, [reference.text for reference in own])
            by |= said
            image = one["image"]
            ordinal = ("first", "second", "third", "fourth", "fifth")[image - 1]
            assert re.search(rf"image {image}\b|{ordinal} ", text), text
    assert by >= {"name", "colour", "place"}


def test_relations_in_words_hold_in_the_target() -> None:
    found = 0
    pattern = re.compile(
        r"the (\w+ )?(?P<a>\w+) (of|from|in) [^,]*?image( \d)? "
        r"(to the )?(?P<p>left of|right of|above|below) the (\w+ )?(?P<b>\w+) (of|from|in)"
    )
    for sample in samples():
        match = pattern.search(sample.instruction.lower())
        if match is None:
            continue
        first = [label for label in sample.objects if label.name == match["a"]]
        second = [label for label in sample.objects if label.name == match["b"]]
        if len(first) == len(second) == 1:
            found += 1
            assert cosines(first[0].box, second[0].box)[match["p"]] > 0.85, sample.instruction  # type: ignore[index]
    assert found >= 4


def test_training_shows_no_held_out_combination_and_the_other_split_one_pair() -> None:
    def shown(sample: TrainingSample) -> set[tuple[str, ...]]:
        pictures = (sample.objects, *sample.image_objects)
        found = combinations([(label.name, label.colour) for label in labels] for labels in pictures)
        return {combination for combination in found if is_held_out(RECIPE.held_out, combination)}

    assert not any(shown(sample) for sample in samples())
    held_out = CollageEngine(RECIPE, split="held_out")
    for index in range(25):
        sample = held_out.sample(0, index, "subject")
        (only,) = shown(sample)
        assert only[0] == "pair"
        assert set(only[1:]) <= {label.name for label in sample.objects}


def test_texts_are_clean_and_varied() -> None:
    for sample in samples():
        text = sample.instruction
        assert not re.search(r"[{}]|  |\ba [aeio]\w|\ban [^aeiou]|\.,|,,", text.lower()), text
        assert text.endswith(".") == text[0].isupper()
        assert sample.details["background"]["colour"] in text
        assert "image" not in sample.caption.lower()
    assert len({sample.instruction.lower().split()[0] for sample in samples()}) >= 10
    assert len(words.SHORT) == len(set(words.SHORT)) >= 15
    long = len(words.PLACED) * len(words.DERIVED)
    assert long >= 15


def test_options_act() -> None:
    assert {len(s.images) for s in samples("reference.num_sources={2: 1}")} == {2}
    crowded = samples("reference.source_objects=[3, 3]", "reference.num_sources={1: 1}")
    assert {len(s.source_objects) for s in crowded} == {3}
    one = samples("reference.second_subject=0")
    assert all(len(s.objects) == len(s.images) for s in one)
    two = samples("reference.second_subject=1", "reference.source_objects=[2, 2]")
    assert all(len(s.objects) > len(s.images) or len(s.images) > 2 for s in two)
    few = samples("reference.max_subjects=2", "reference.num_sources={1: 1, 2: 1}")
    assert max(len(s.objects) for s in few) <= 2
    sizes = samples("reference.source_sizes=[64x96]")
    assert {image.shape for s in sizes for image in s.images} == {(96, 64, 3)}
    assert all(len(s.instruction.split(". ")) > 1 for s in samples("reference.long_words=1"))
    short = samples("reference.long_words=0")
    assert all("derived" not in s.instruction for s in short)
    still = samples("reference.turn=0")
    assert {one["turn"] for s in still for one in s.details["subjects"]} == {0.0}
    turned = samples("reference.turn=1", "reference.max_turn=5")
    turns = [abs(one["turn"]) for s in turned for one in s.details["subjects"]]
    assert 0 < max(turns) <= 5
    alone = ("reference.num_sources={1: 1}", "reference.second_subject=0", "reference.turn=0")
    large = samples(
        "reference.scale=[2, 2]", "object_sizes={1: [0.2, 0.9]}", "reference.say_change=1", *alone
    )
    assert all(one["scale"] >= 1 for s in large for one in s.details["subjects"])
    grown = [s for s in large if s.details["subjects"][0]["scale"] > 1.3]
    said = [re.search("larger|enlarge", s.instruction.lower()) for s in grown]
    assert said
    assert all(said)
    quiet = samples("reference.scale=[2, 2]", "reference.say_change=0", *alone)
    assert not any(re.search("larger|enlarge", s.instruction.lower()) for s in quiet)
    seen = samples("reference.min_visibility=1", "max_overlap=0.4")
    assert {o.visibility for s in seen for labels in (s.objects, *s.image_objects) for o in labels} == {1.0}
    twins = samples("reference.twins=1", "reference.source_objects=[2, 2]", "reference.num_sources={1: 1}")
    assert sum(len({o.name for o in s.source_objects}) == 1 for s in twins) >= 6


def test_a_background_without_words_is_not_mentioned() -> None:
    sample = samples()[0]
    label = sample.objects[0]
    one = words.Subject(1, label, label, ("the thing",))
    for index in range(20):
        text = words.write_long([one], size_of(sample.target), "", Draws(0, index))
        assert not re.search(r"everything|all of|whole scene", text.lower()), text


@pytest.mark.parametrize("size", ["64x64", "512x512"])
def test_a_sample_is_a_pure_function_of_its_index(size: str) -> None:
    recipe = load_recipe("reference", CollageRecipe, [f"size={size}", NAMES])
    first, second = CollageEngine(recipe), CollageEngine(recipe)
    for index in (3, 1, 2):
        one, two = first.sample(5, index, "subject"), second.sample(5, index, "subject")
        assert one.instruction == two.instruction
        assert one.details == two.details
        assert [image.tobytes() for image in one.images] == [image.tobytes() for image in two.images]
        assert one.target.tobytes() == two.target.tobytes()
