import functools
import re

import cv2
import numpy as np
import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.held_out import is_held_out, pair_combination
from dreamomni.data.collage.motions import LEAST_CHANGE
from dreamomni.data.collage.recipe import DRAG_KINDS, CollageRecipe
from dreamomni.data.collage.words.drag import (
    DIRECTIONS,
    ENLARGE,
    MOVE,
    ROTATE,
    SHRINK,
    direction,
)
from dreamomni.errors import ConfigError
from dreamomni.tasks.conditioning import drag_text
from dreamomni.tasks.sample import TrainingSample

POINT = re.compile(r"\(([01]\.\d{4}), ([01]\.\d{4}), (-?[01]\.\d{4}), (-?[01]\.\d{4})\)")


SMALL = [
    "buckets=null",
    "size=[96x96, 128x80]",
    "names=[apple, bell, boat, bus, car, cat, cup, fish, house, key, star, tree]",
]


@functools.cache
def engine(*overrides: str) -> CollageEngine:
    return CollageEngine(load_recipe("drag", CollageRecipe, [*SMALL, *overrides]))


def samples(kind: str, count: int, *overrides: str) -> list[TrainingSample]:
    return [engine(*overrides).sample(3, index, kind) for index in range(count)]


def matrices(sample: TrainingSample) -> dict[int, np.ndarray]:
    return {motion["instance_id"]: np.array(motion["matrix"]) for motion in sample.details["transforms"]}


def overlap(sample: TrainingSample, number: int) -> float:
    """IoU of the source mask, taken through the matrix, with the target mask."""
    matrix = matrices(sample)[number]
    assert sample.ids is not None
    assert sample.image_ids[0] is not None
    height, width = sample.ids.shape
    # From axes where pixel i covers i to i + 1 to those of pixel centres, which cv2 speaks.
    shift = matrix[:, :2] @ np.array([0.5, 0.5]) + matrix[:, 2] - 0.5
    source = (sample.image_ids[0] == number).astype(np.float32)
    warped = cv2.warpAffine(source, np.c_[matrix[:, :2], shift], (width, height)) >= 0.5
    target = sample.ids == number
    return float((warped & target).sum() / (warped | target).sum())


@pytest.mark.parametrize("kind", DRAG_KINDS)
def test_the_matrix_takes_the_thing_of_the_source_to_that_of_the_target(kind: str) -> None:
    for sample in samples(kind, 12, "size=512x512"):
        for number in matrices(sample):
            assert overlap(sample, number) > 0.95
            if kind == "drag_move":
                assert overlap(sample, number) == 1.0


@pytest.mark.parametrize("kind", DRAG_KINDS)
@pytest.mark.parametrize("size", ["64x64", "320x208"])
def test_points_lie_on_the_thing_and_land_on_it(kind: str, size: str) -> None:
    for sample in samples(kind, 30, f"size={size}"):
        assert sample.ids is not None
        assert sample.image_ids[0] is not None
        height, width = sample.ids.shape
        found = matrices(sample)
        per_thing: dict[int, set[tuple[float, float]]] = {number: set() for number in found}
        for drag in sample.drags:
            x, y = drag.x * width, drag.y * height
            assert np.abs(np.array([x, y]) % 1.0 - 0.5).max() < 0.02  # the centre of a pixel
            around = sample.image_ids[0][int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2]
            assert around.shape == (3, 3)
            assert (around == drag.instance_id).all()
            landed = np.array([(drag.x + drag.dx) * width, (drag.y + drag.dy) * height])
            matrix = found[drag.instance_id]
            assert np.abs(matrix[:, :2] @ [x, y] + matrix[:, 2] - landed).max() < 0.05
            rows, columns = np.nonzero(sample.ids == drag.instance_id)
            assert np.hypot(columns + 0.5 - landed[0], rows + 0.5 - landed[1]).min() <= 1.0
            per_thing[drag.instance_id].add((drag.x, drag.y))
        assert sum(len(points) for points in per_thing.values()) == len(sample.drags)
        assert all(1 <= len(points) <= 4 for points in per_thing.values())


@pytest.mark.parametrize("kind", DRAG_KINDS)
def test_the_instruction_holds_the_points_that_the_data_hold(kind: str) -> None:
    wordless = 0
    for sample in samples(kind, 60):
        written = [tuple(map(float, match)) for match in POINT.findall(sample.instruction)]
        assert written == [(drag.x, drag.y, drag.dx, drag.dy) for drag in sample.drags]
        assert "-0.0000" not in sample.instruction
        assert drag_text(sample.drags[:1]) in sample.instruction
        names = {label.name for label in sample.source_objects if label.instance_id in matrices(sample)}
        said = any(name in sample.instruction.lower() for name in names)
        wordless += not said
        if not said and kind != "drag_move":
            # Two points at least: one alone could be a move.
            assert all(sum(d.instance_id == number for d in sample.drags) > 1 for number in matrices(sample))
    assert 0 < wordless < 30


@pytest.mark.parametrize("kind", DRAG_KINDS)
def test_only_what_is_dragged_changes(kind: str) -> None:
    two = 0
    for sample in samples(kind, 40):
        (source,) = sample.images
        before = {label.instance_id: label for label in sample.source_objects}
        after = {label.instance_id: label for label in sample.objects}
        moved = set(matrices(sample))
        two += len(moved) == 2
        assert before.keys() == after.keys()
        assert {number for number in before if before[number] != after[number]} <= moved
        assert {drag.instance_id for drag in sample.drags} == moved
        assert all(before[number].visibility == after[number].visibility == 1.0 for number in moved)
        assert sample.mask is not None
        assert ((source != sample.target).any(axis=2) == (sample.mask == 255)).all()
        for number in moved:
            on_it = sample.image_ids[0] == number
            assert (sample.mask[on_it] > 0).mean() >= LEAST_CHANGE
    assert two > 0


def test_words_say_what_happens() -> None:
    for sample in samples("drag_move", 40, "drag.say_direction=1", "drag.only_points=0", "drag.two_things=0"):
        (matrix,) = matrices(sample).values()
        name = direction(*matrix[:, 2])
        assert any(phrase in sample.instruction.lower() for phrase in DIRECTIONS[name])
    for sample in samples("drag_scale", 30, "drag.say_amount=1", "drag.only_points=0", "drag.two_things=0"):
        (motion,) = sample.details["transforms"]
        factor = max(motion["amount"], 1 / motion["amount"])
        said = re.search(r"by a factor of (\d\.\d\d)", sample.instruction)
        assert said is not None
        assert float(said[1]) == pytest.approx(factor, abs=0.011)
        smaller = re.search(r"small|shrink|down|reduce|decrease|contract|tinier", sample.instruction.lower())
        assert bool(smaller) == (motion["amount"] < 1)
        scale = np.sqrt(np.linalg.det(np.array(motion["matrix"])[:, :2]))
        assert scale == pytest.approx(motion["amount"], rel=0.05)
    for sample in samples("drag_rotate", 30, "drag.say_amount=1", "drag.only_points=0", "drag.two_things=0"):
        (motion,) = sample.details["transforms"]
        matrix = np.array(motion["matrix"])
        # Image y points down, so a turn to the left has a negative sine there.
        angle = np.degrees(np.arctan2(-matrix[1, 0], matrix[0, 0]))
        assert angle == pytest.approx(motion["amount"], abs=3.0)
        assert f"by {abs(round(motion['amount']))} degrees" in sample.instruction
        left = re.search(r"anticlockwise|counter-?clockwise", sample.instruction.lower())
        assert bool(left) == (motion["amount"] > 0)


def test_phrases_are_many_and_differ() -> None:
    for bank in (MOVE, ENLARGE, SHRINK, ROTATE):
        assert len(set(bank)) == len(bank) >= 15
        assert all("{d}" in phrase and phrase.count("{a}") == 1 for phrase in bank)
    words = {POINT.sub("", sample.instruction) for sample in samples("drag_move", 60)}
    assert len(words) > 45


@pytest.mark.parametrize(
    ("step", "name"),
    [
        ((5, 0), "right"),
        ((5, -5), "upper right"),
        ((0, -3), "up"),
        ((-4, 0.5), "left"),
        ((-4, 3), "lower left"),
    ],
)
def test_directions_are_those_of_the_screen(step: tuple[float, float], name: str) -> None:
    assert direction(*step) == name


def test_options_act() -> None:
    for sample in samples("drag_move", 20, "drag.num_points=[3, 3]", "drag.two_things=0"):
        assert len(sample.drags) == 3
    assert all(len(s.details["transforms"]) == 1 for s in samples("drag_move", 30, "drag.two_things=0"))
    for sample in samples(
        "drag_move", 30, "drag.distance=[0.1, 0.2]", "drag.straight=1", "drag.two_things=0"
    ):
        (matrix,) = matrices(sample).values()
        assert 0 in matrix[:, 2]
        assert 0.09 * 80 <= np.abs(matrix[:, 2]).max() <= 0.21 * 96
    for sample in samples("drag_scale", 20, "drag.factor=[1, 1.6]", "drag.min_factor=1.4"):
        assert all(1.25 < motion["amount"] < 1.75 for motion in sample.details["transforms"])
    for sample in samples("drag_rotate", 20, "drag.degrees=[30, 40]", "drag.pin_centre=1"):
        assert all(29.9 <= abs(motion["amount"]) <= 40.1 for motion in sample.details["transforms"])
    for sample in samples("drag_move", 20, "drag.only_points=1"):
        assert not any(label.name in sample.instruction for label in sample.source_objects)
    for sample in samples("drag_move", 20, "drag.bases={single: 1}"):
        assert len(sample.source_objects) == 1


def test_a_pinned_point_stays_nearly_where_it_is() -> None:
    def least(*overrides: str) -> float:
        lengths = [
            min(np.hypot(drag.dx, drag.dy) for drag in sample.drags)
            for sample in samples("drag_scale", 30, "drag.num_points=[3, 3]", "drag.two_things=0", *overrides)
        ]
        return float(np.median(lengths))

    assert least("drag.pin_centre=1") < 0.01 < least("drag.pin_centre=0")


@pytest.mark.parametrize("kind", DRAG_KINDS)
def test_a_held_out_drag_moves_a_thing_of_the_held_out_pair(kind: str) -> None:
    recipe = load_recipe("drag", CollageRecipe, SMALL)
    held_out = CollageEngine(recipe, split="held_out")
    for index in range(20):
        sample = held_out.sample(0, index, kind)
        names = {label.name for label in sample.source_objects}
        moved = {label.name for label in sample.objects if label.instance_id in matrices(sample)}
        assert all(
            any(n != m and is_held_out(recipe.held_out, pair_combination(m, n)) for n in names) for m in moved
        )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("drag.num_points=[3, 2]", r"num_points must be \[smallest, largest\]"),
        ("drag.bases={single: 0}", "bases needs at least one weight above 0"),
        ("drag.factor=[0.9, 1.1]", "leaves no scaling of at least"),
        ("drag.degrees=[0, 20]", "degrees"),
        ("drag.bases={text: 1}", "bases"),
    ],
)
def test_impossible_options_are_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("drag", CollageRecipe, [override])
