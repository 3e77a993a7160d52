import functools
import itertools
import re
from collections import Counter

import cv2
import numpy as np
import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.families.combined import draw_operations
from dreamomni.data.collage.held_out import combinations, is_held_out
from dreamomni.data.collage.options.combined import FAMILY_OF, CombinedOptions
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.collage.words.combined import MARKS
from dreamomni.errors import ConfigError
from dreamomni.tasks.sample import TrainingSample

SMALL = [
    "buckets=null",
    "size=[128x128, 160x96]",
    "names=[apple, bell, boat, bus, car, cat, cup, fish, house, key, star, tree]",
]
POINT = re.compile(r"\(([01]\.\d{4}), ([01]\.\d{4}), (-?[01]\.\d{4}), (-?[01]\.\d{4})\)")


@functools.cache
def engine(*overrides: str) -> CollageEngine:
    return CollageEngine(load_recipe("combined", CollageRecipe, [*SMALL, *overrides]))


def samples(count: int, *overrides: str) -> list[TrainingSample]:
    return [engine(*overrides).sample(5, index) for index in range(count)]


def only(*names: str) -> str:
    return f"combined.operations={{{', '.join(f'{name}: 1' for name in names)}}}"


def test_operations_come_from_two_families_and_marks_come_last() -> None:
    seen: Counter[str] = Counter()
    for seed in range(300):
        operations = draw_operations(CombinedOptions(num_operations=(2, 4)), Draws(seed, "operations"))
        families = [FAMILY_OF[name] for name in operations]
        assert 2 <= len(operations) <= 4
        assert len(set(families)) > 1
        assert "perception" not in families[:-1]
        seen.update(operations)
    assert seen.keys() == FAMILY_OF.keys()


def test_every_operation_is_done_and_nothing_else() -> None:
    for sample in samples(50):
        before = {label.instance_id: label for label in sample.source_objects}
        after = {label.instance_id: label for label in sample.objects}
        touched, come, gone = set(), set(), set()
        for step in sample.details["operations"]:
            touched.add(step["instance_id"])
            if step["operation"] in ("remove", "replace"):
                gone.add(step["instance_id"])
                old = before[step["instance_id"]]
                assert step["removed"] == {"name": old.name, "colour": old.colour}
            if step["operation"] in ("add", "replace"):
                come.add(step["added_instance"])
                new = after[step["added_instance"]]
                assert step["added"] == {"name": new.name, "colour": new.colour}
        assert before.keys() - after.keys() == gone
        assert after.keys() - before.keys() == come
        for number in before.keys() - touched:
            assert before[number] == after[number]
        (source,) = sample.images
        assert sample.mask is not None
        assert ((source != sample.target).any(axis=2) == (sample.mask == 255)).all()
        for ids, labels in ((sample.ids, after), (sample.image_ids[0], before)):
            assert ids is not None
            assert labels.keys() == set(np.unique(ids).tolist()) - {0}
            for label in labels.values():
                x, y, width, height = cv2.boundingRect((ids == label.instance_id).astype(np.uint8))
                assert tuple(label.box) == (x, y, x + width, y + height)


def test_drags_among_other_operations_are_exact() -> None:
    for sample in samples(40, only("remove", "replace", "move", "scale", "rotate", "detect")):
        moving = {step["instance_id"] for step in sample.details["operations"] if "num_points" in step}
        found = {motion["instance_id"]: np.array(motion["matrix"]) for motion in sample.details["transforms"]}
        assert found.keys() == moving == {drag.instance_id for drag in sample.drags}
        written = sorted(tuple(map(float, match)) for match in POINT.findall(sample.instruction))
        assert written == sorted((drag.x, drag.y, drag.dx, drag.dy) for drag in sample.drags)
        assert sample.ids is not None
        assert sample.image_ids[0] is not None
        height, width = sample.ids.shape
        for drag in sample.drags:
            start = np.array([drag.x * width, drag.y * height])
            assert sample.image_ids[0][int(start[1]), int(start[0])] == drag.instance_id
            matrix = found[drag.instance_id]
            landed = matrix[:, :2] @ start + matrix[:, 2]
            assert landed == pytest.approx(start + np.array([drag.dx * width, drag.dy * height]), abs=0.05)
            rows, columns = np.nonzero(sample.ids == drag.instance_id)
            assert np.hypot(columns + 0.5 - landed[0], rows + 0.5 - landed[1]).min() <= 1.0


def test_marks_are_those_that_the_details_tell() -> None:
    for sample in samples(30, only("remove", "move", "segment")):
        for step in sample.details["operations"]:
            if step["operation"] != "segment":
                continue
            (number,) = step["instances"]
            (label,) = [label for label in sample.objects if label.instance_id == number]
            assert label.colour == step["fill_colour"]
            assert f" {step['fill_colour']}" in sample.instruction.lower()
            assert (sample.target[sample.ids == number] == step["fill"]).all()
            elsewhere = (sample.target == step["fill"]).all(axis=2) & (sample.ids != number)
            assert not elsewhere.any()
    for sample in samples(30, only("replace", "move", "detect")):
        for step in sample.details["operations"]:
            if step["operation"] != "detect":
                continue
            ((x0, y0, x1, y1),) = step["boxes"]
            (label,) = [label for label in sample.objects if label.instance_id == step["instances"][0]]
            # At the border the line lies inside, and takes some of the thing away.
            limit = sample.target.shape
            room = min(x0, y0, limit[1] - x1, limit[0] - y1)
            assert tuple(label.box) == (x0, y0, x1, y1) or room < step["stroke"]
            line = (sample.target == step["box_rgb"]).all(axis=2)
            x, y, width, height = cv2.boundingRect(line.astype(np.uint8))
            grown = (x0 - step["stroke"], y0 - step["stroke"], x1 + step["stroke"], y1 + step["stroke"])
            clipped = (max(grown[0], 0), max(grown[1], 0), min(grown[2], limit[1]), min(grown[3], limit[0]))
            assert (x, y, x + width, y + height) == clipped


def test_words_name_everything_that_is_asked_for() -> None:
    texts = set()
    for sample in samples(50):
        text = sample.instruction.lower()
        names = {label.instance_id: label.name for label in sample.source_objects}
        for step in sample.details["operations"]:
            if step["added"] is not None:
                assert f"{step['added']['colour']} {step['added']['name']}" in text
        found = [
            re.search(rf"\bthe (\w+ )?{names[step['instance_id']]}\b", text)
            for step in sample.details["operations"]
            if step["instance_id"] is not None
        ]
        places = [match.start() for match in found if match]
        assert len(places) == len(found)
        assert places == sorted(places)
        texts.add(POINT.sub("", text))
    assert len(texts) == 50


def test_phrases_are_many_and_differ() -> None:
    for bank in MARKS.values():
        assert len(set(bank)) == len(bank) >= 15


def test_options_act() -> None:
    for sample in samples(10, "combined.num_operations=[3, 3]", "combined.num_staying=[0, 0]"):
        steps = sample.details["operations"]
        assert len(steps) == 3
        assert {label.instance_id for label in sample.source_objects} == {
            step["instance_id"] for step in steps if step["instance_id"] is not None
        }
    said = [
        sum(
            f"the {label.colour} {label.name}" in sample.instruction.lower()
            for sample in samples(30, f"combined.say_colour={chance}")
            for label in sample.source_objects
        )
        for chance in (0, 1)
    ]
    assert said[0] == 0
    assert said[1] > 30
    for sample in samples(20, only("remove", "move")):
        assert {step["operation"] for step in sample.details["operations"]} == {"remove", "move"}


def test_the_splits_keep_their_combinations() -> None:
    recipe = load_recipe("combined", CollageRecipe, SMALL)
    for split in ("train", "held_out"):
        made = CollageEngine(recipe, split=split)
        for index in range(60):
            sample = made.sample(0, index)
            shown = combinations(
                [(label.name, label.colour) for label in labels]
                for labels in itertools.chain([sample.objects], sample.image_objects)
            )
            out = {combination for combination in shown if is_held_out(recipe.held_out, combination)}
            assert len(out) == (split == "held_out"), (sample.instruction, out)


def test_one_family_alone_is_refused() -> None:
    for names in (("move", "scale"), ("segment", "detect"), ("add",)):
        with pytest.raises(ConfigError, match="two families"):
            load_recipe("combined", CollageRecipe, [only(*names)])
