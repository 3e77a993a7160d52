"""For every check a sample that was damaged on purpose: the check must say so."""

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dreamomni.data.audit.nouns import Vocabulary
from dreamomni.data.audit.run import CHECKS, audit_sample
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.held_out import is_held_out
from dreamomni.tasks.geometry import Box
from dreamomni.tasks.sample import ObjectLabel, Relation, TrainingSample

Damage = Callable[[TrainingSample], TrainingSample]


def _change(sample: TrainingSample, **fields: Any) -> TrainingSample:
    return dataclasses.replace(sample, **fields)


def _label(sample: TrainingSample, **fields: Any) -> TrainingSample:
    first = sample.objects[0]
    return _change(sample, objects=(dataclasses.replace(first, **fields), *sample.objects[1:]))


def _details(sample: TrainingSample, **fields: Any) -> TrainingSample:
    return _change(sample, details={**json.loads(json.dumps(dict(sample.details))), **fields})


def _detail_of(name: str, change: Callable[[Any], Any]) -> Damage:
    def damage(sample: TrainingSample) -> TrainingSample:
        details = json.loads(json.dumps(dict(sample.details)))
        return _change(sample, details=details | {name: change(details[name])})

    return damage


def _first_of(name: str, /, **fields: Any) -> Damage:
    return _detail_of(name, lambda records: [records[0] | fields, *records[1:]])


def _last_operation(**fields: Any) -> Damage:
    return _detail_of("operations", lambda records: [*records[:-1], records[-1] | fields])


def _words(pattern: str, new: str) -> Damage:
    def damage(sample: TrainingSample) -> TrainingSample:
        changed, count = re.subn(pattern, new, sample.instruction, count=1)
        assert count, sample.instruction
        return _change(sample, instruction=changed)

    return damage


def _caption(pattern: str, new: str) -> Damage:
    def damage(sample: TrainingSample) -> TrainingSample:
        changed, count = re.subn(pattern, new, sample.caption, count=1)
        assert count, sample.caption
        return _change(sample, caption=changed)

    return damage


def _dot(image: np.ndarray, row: int, column: int) -> np.ndarray:
    image = image.copy()
    image[row, column] = image[row, column] ^ 0x40
    return image


def _target_dot(where: str) -> Damage:
    """Change one pixel of the target: in or out of the mask, or in a corner."""

    def damage(sample: TrainingSample) -> TrainingSample:
        row, column = _place(sample, where)
        return _change(sample, target=_dot(sample.target, row, column))

    return damage


def _source_dot(where: str) -> Damage:
    def damage(sample: TrainingSample) -> TrainingSample:
        row, column = _place(sample, where)
        return _change(sample, images=(_dot(sample.images[0], row, column), *sample.images[1:]))

    return damage


def _place(sample: TrainingSample, where: str) -> tuple[int, int]:
    if where == "corner":
        return 0, 0
    assert sample.mask is not None
    rows, columns = np.nonzero((sample.mask == 255) == (where == "inside"))
    return int(rows[len(rows) // 2]), int(columns[len(columns) // 2])


def _flip_mask(sample: TrainingSample) -> TrainingSample:
    assert sample.mask is not None
    mask = sample.mask.copy()
    mask[-1, -1] ^= 255
    return _change(sample, mask=mask)


def _mask_value(sample: TrainingSample) -> TrainingSample:
    assert sample.mask is not None
    mask = sample.mask.copy()
    mask[0, 0] = 7
    return _change(sample, mask=mask)


def _new_id(sample: TrainingSample) -> TrainingSample:
    assert sample.ids is not None
    ids = sample.ids.copy()
    ids[0, 0] = 77
    return _change(sample, ids=ids)


def _hide_instance(sample: TrainingSample) -> TrainingSample:
    assert sample.ids is not None
    ids = sample.ids.copy()
    ids[ids == sample.objects[0].instance_id] = 0
    return _change(sample, ids=ids)


def _move_box(sample: TrainingSample) -> TrainingSample:
    x0, y0, x1, y1 = sample.objects[0].box
    return _label(sample, box=Box(x0, y0, x1 + 1, y1))


def _other_colour(label: ObjectLabel) -> str:
    return "green" if label.colour != "green" else "red"


def _swap_ids(sample: TrainingSample) -> TrainingSample:
    """Rename the first instance of the target that image 1 shows too, labels and all."""
    assert sample.ids is not None
    both = {label.instance_id for label in sample.image_objects[0]}
    label = next(label for label in sample.objects if label.instance_id in both)
    ids = sample.ids.copy()
    ids[ids == label.instance_id] = 99
    renamed = tuple(
        dataclasses.replace(one, instance_id=99) if one is label else one for one in sample.objects
    )
    renamed_source = tuple(
        dataclasses.replace(one, instance_id=99, name="cat") if one.instance_id == label.instance_id else one
        for one in sample.image_objects[0]
    )
    source_ids = sample.image_ids[0]
    assert source_ids is not None
    source_ids = np.where(source_ids == label.instance_id, 99, source_ids)
    return _change(
        sample,
        ids=ids,
        objects=renamed,
        image_objects=(renamed_source, *sample.image_objects[1:]),
        image_ids=(source_ids, *sample.image_ids[1:]),
    )


def _shrunk(sample: TrainingSample) -> TrainingSample:
    """Take the upper half of a thing that stays out of the target's id map, and label the rest rightly."""
    assert sample.ids is not None
    both = {label.instance_id for label in sample.image_objects[0]}
    label = next(label for label in sample.objects if label.instance_id in both)
    ids = sample.ids.copy()
    rows = np.arange(ids.shape[0])[:, None]
    ids[(ids == label.instance_id) & (rows < (label.box.y0 + label.box.y1) // 2)] = 0
    return _change(sample, ids=ids)


def _move_drag(**fields: float) -> Damage:
    def damage(sample: TrainingSample) -> TrainingSample:
        drag = sample.drags[0]
        moved = {name: round(getattr(drag, name) + change, 6) for name, change in fields.items()}
        return _change(sample, drags=(dataclasses.replace(drag, **moved), *sample.drags[1:]))

    return damage


def _bend_matrix(row: int, column: int, change: float) -> Damage:
    def bend(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        matrix = [list(line) for line in records[0]["matrix"]]
        matrix[row][column] += change
        return [records[0] | {"matrix": matrix}, *records[1:]]

    return _detail_of("transforms", bend)


def _crop(sample: TrainingSample) -> TrainingSample:
    return _change(sample, images=(sample.images[0][:-2], *sample.images[1:]))


def _swap_subjects(sample: TrainingSample) -> TrainingSample:
    """Give every subject another image number."""
    images = len(sample.images)
    records = [record | {"image": record["image"] % images + 1} for record in sample.details["subjects"]]
    return _details(sample, subjects=records)


def _grey_subject(sample: TrainingSample) -> TrainingSample:
    """Paint the first subject of the target over with gray."""
    number = sample.details["subjects"][0]["target_instance"]
    assert sample.ids is not None
    target = sample.target.copy()
    target[sample.ids == number] = 120
    return _change(sample, target=target)


def _blob_subject(sample: TrainingSample) -> TrainingSample:
    """Make the id map say that every subject fills its box."""
    assert sample.ids is not None
    ids = sample.ids.copy()
    for label in sample.objects:
        ids[label.box.y0 : label.box.y1, label.box.x0 : label.box.x1] = label.instance_id
    return _change(sample, ids=ids)


def _hold_out(sample: TrainingSample) -> TrainingSample:
    """Give the first thing a name that makes a held-out combination with its colour."""
    rule = _RULE["rule"]
    for number in range(10_000):
        if is_held_out(rule, ("colour", f"thing{number}", str(sample.objects[0].colour))):
            return _label(sample, name=f"thing{number}")
    raise AssertionError("nothing is held out")


_RULE: dict[str, Any] = {}

# (check, kind, damage); the sample is the first of its kind that the damage fits.
MUTATIONS: tuple[tuple[str, str, Damage], ...] = (
    ("form", "single", lambda sample: _change(sample, target=sample.target.astype(np.int32))),
    ("form", "single", lambda sample: _change(sample, ids=sample.ids[:-1])),
    ("form", "replace", _mask_value),
    ("sizes", "replace", lambda sample: _change(sample, mask=None)),
    ("sizes", "single", lambda sample: _change(sample, images=(sample.target,))),
    ("sizes", "segment", lambda sample: _change(sample, image_ids=())),
    ("changed mask", "replace", _flip_mask),
    ("changed mask", "remove", _target_dot("outside")),
    ("changed mask", "multi_edit", _source_dot("outside")),
    ("changed mask", "drag_move", _target_dot("outside")),
    ("changed mask", "segment", _target_dot("outside")),
    ("changed mask", "detect", _target_dot("outside")),
    ("changed mask", "combined", _target_dot("outside")),
    ("outside the hole", "inpaint", _target_dot("outside")),
    ("outside the hole", "outpaint", _source_dot("outside")),
    ("inside the hole", "inpaint", _source_dot("inside")),
    ("inside the hole", "outpaint", _detail_of("fill", lambda fill: [fill[0] ^ 1, *fill[1:]])),
    ("inside the hole", "inpaint", lambda sample: _details(sample, hole="round")),
    ("outpainted edges", "outpaint", _flip_mask),
    ("instances in the hole", "inpaint", lambda sample: _change(sample, image_ids=(sample.ids,))),
    ("instances", "two", _new_id),
    ("instances", "two", _hide_instance),
    ("instances", "two", lambda sample: _change(sample, objects=sample.objects[1:])),
    ("instances", "two", lambda sample: _change(sample, objects=(*sample.objects, sample.objects[0]))),
    ("boxes", "two", _move_box),
    ("areas", "two", lambda sample: _label(sample, area=sample.objects[0].area + 1)),
    ("visibility", "single", lambda sample: _label(sample, visibility=0.5)),
    ("visibility", "single", lambda sample: _label(sample, visibility=1.2)),
    ("visibility", "single", lambda sample: _label(sample, visibility=0.0)),
    ("label kinds", "single", lambda sample: _label(sample, kind="ghost")),
    ("colours", "colors", lambda sample: _label(sample, colour=_other_colour(sample.objects[0]))),
    ("colours", "colors", lambda sample: _label(sample, colour="mauve")),
    ("relations", "position", lambda sample: _change(sample, relations=sample.relations[1:])),
    (
        "relations",
        "position",
        lambda sample: _change(sample, relations=(*sample.relations, Relation(1, "above", 1))),
    ),
    ("things that stay", "add", _swap_ids),
    ("things that stay", "add", _shrunk),
    ("drag points", "drag_move", _move_drag(dx=0.5)),
    ("drag points", "drag_scale", _move_drag(x=0.00004)),
    ("drag points", "drag_rotate", _move_drag(x=-0.003)),
    ("drag points", "drag_move", lambda sample: _change(sample, drags=())),
    (
        "drag points",
        "drag_move",
        lambda sample: _change(sample, drags=(dataclasses.replace(sample.drags[0], instance_id=88),)),
    ),
    ("drag transforms", "drag_move", _bend_matrix(0, 2, 3.0)),
    ("drag transforms", "drag_scale", _bend_matrix(0, 0, 0.5)),
    ("drag transforms", "drag_rotate", _bend_matrix(0, 1, 0.3)),
    ("drag transforms", "drag_rotate", _first_of("transforms", operation="move")),
    ("drag transforms", "drag_rotate", _detail_of("transforms", lambda records: [])),
    ("drag numbers in words", "drag_move", _words(r"\(0\.(\d)", r"(0.9\1")),
    ("edge map", "canny", _source_dot("corner")),
    ("edge map", "canny", _detail_of("low", lambda low: low * 4)),
    ("depth map", "depth", _source_dot("corner")),
    ("depth map", "depth", _detail_of("levels", lambda levels: dict.fromkeys(levels, 99))),
    ("region map", "segmentation", _source_dot("corner")),
    ("region map", "segmentation", lambda sample: _change(sample, image_ids=(sample.ids * 0,))),
    ("subjects", "subject", _first_of("subjects", name="ghost")),
    ("subjects", "subject", _detail_of("subjects", lambda records: records[1:])),
    ("likeness of subjects", "subject", _grey_subject),
    ("likeness of subjects", "subject", _blob_subject),
    ("sources as said", "subject", _swap_subjects),
    ("places of subjects", "subject", _words(r"\babove\b", "below")),
    ("filled region", "segment", _target_dot("inside")),
    ("filled region", "segment", _detail_of("fill", lambda fill: [fill[0] ^ 1, *fill[1:]])),
    ("filled region", "segment", _detail_of("fill_colour", lambda name: "mauve")),
    ("drawn boxes", "detect", _detail_of("boxes", lambda boxes: [[boxes[0][0] + 1, *boxes[0][1:]]])),
    ("drawn boxes", "detect", _detail_of("stroke", lambda stroke: stroke + 1)),
    ("drawn boxes", "detect", _target_dot("inside")),
    ("words written", "single", lambda sample: _change(sample, instruction="a  cat", caption="a  cat")),
    ("words written", "replace", lambda sample: _change(sample, instruction="")),
    ("words written", "single", lambda sample: _change(sample, caption="")),
    ("words written", "single", lambda sample: _details(sample, description=None)),
    ("words written", "remove", _words(r"^", "{d} ")),
    ("grammar", "counting", _caption(r"\btwo (\w+)s\b", r"two \1")),
    ("grammar", "replace", _words(r"\ba (?=[a-z])", "an ")),
    ("numbers, names, colours", "counting", _caption(r"\bthree\b", "four")),
    ("numbers, names, colours", "colors", _caption(r"\bred\b", "green")),
    ("numbers, names, colours", "two", _caption(r" and (?:a|an) .*", "")),
    ("numbers, names, colours", "scene", _caption(r"^", "a red rocket, ")),
    ("quoted words", "text", _caption(r'"[^"]+"', '"other"')),
    ("quoted words", "text", _caption(r'"[^"]+"', "words")),
    ("places and relations", "position", _caption(r"\bto the left of\b", "to the right of")),
    ("places and relations", "add", _words(r"\babove\b", "below")),
    ("places and relations", "description", _caption(r"upper left", "lower right")),
    ("clear references", "remove", _words(r"\bthe \w+( \w+)?", "the purple anchor")),
    ("clear references", "replace", _words(r"\bthe ", "the three ")),
    ("marked as said", "segment", _detail_of("instances", lambda numbers: [*numbers, 250])),
    ("marked as said", "drag_move", _words(r"\bthe [a-z ]+", "the cat ")),
    ("edited as recorded", "add", lambda sample: _details(sample, added=None)),
    ("edited as recorded", "replace", lambda sample: _details(sample, operation=None)),
    ("edited as recorded", "multi_edit", _detail_of("operations", lambda records: records[1:])),
    (
        "edited as said",
        "add",
        _words(r"\b(?:a|an) [a-z ]+?(?= (?:in|to|on|at|above|below|left)\b|$)", "a cat and a dog"),
    ),
    ("edited as said", "remove", _words(r"the (?:\w+ )?\w+", "nothing")),
    (
        "edited as said",
        "multi_edit",
        lambda sample: _change(sample, instruction=f"five edits: {sample.instruction}"),
    ),
    ("moved as said", "drag_move", _words(r"\bto the left\b", "to the right")),
    ("moved as said", "drag_scale", _words(r"\benlarge\b", "shrink")),
    ("moved as said", "drag_rotate", _words(r"\bby \d+ degrees", "by 179 degrees")),
    ("stray colours and numbers", "single", _caption(r"$", " in mint")),
    ("stray colours and numbers", "two", _caption(r"$", " five")),
    (
        "colour of marks",
        "segment",
        _words(r"\b(red|blue|green|yellow|purple|pink|orange|brown)\b(?!.*\1)", "cyan"),
    ),
    ("colour of marks", "detect", _words(r"$", " in cyan")),
    ("marks among edits", "combined", _last_operation(fill=[1, 2, 3], box_rgb=[1, 2, 3])),
    ("image numbers", "subject", _words(r"\bimage \d", "image 9")),
    ("key", "single", lambda sample: _change(sample, key="train.0.1")),
    ("key", "single", lambda sample: _change(sample, index=sample.index + 1)),
    ("key", "single", lambda sample: _details(sample, split="held_out")),
    ("licences", "single", lambda sample: _change(sample, licences=())),
    ("licences", "single", lambda sample: _change(sample, licences=("GPL-3.0",))),
    ("assets", "single", lambda sample: _change(sample, assets=())),
    ("assets", "single", lambda sample: _change(sample, assets=("apple",))),
    ("assets", "text", lambda sample: _change(sample, assets=())),
    ("held-out combinations", "colors", _hold_out),
)


@pytest.mark.parametrize(
    ("check", "kind", "damage"), MUTATIONS, ids=[f"{i}-{m[0]}-{m[1]}" for i, m in enumerate(MUTATIONS)]
)
def test_damage_is_caught(
    check: str,
    kind: str,
    damage: Damage,
    audit_engine: CollageEngine,
    vocabulary: Vocabulary,
    held_out: tuple[str, float],
) -> None:
    _RULE["rule"] = audit_engine.recipe.held_out
    # Words differ from sample to sample: take one that the damage fits.
    tried = 0
    for index in range(400):
        sample = audit_engine.sample(3, index, kind)
        try:
            damaged = damage(sample)
        except (AssertionError, KeyError, StopIteration, IndexError):
            continue
        found, asked = audit_sample(damaged, vocabulary, held_out)
        if check not in asked:
            continue
        tried += 1
        if check in {one.check for one in found}:
            clean, _ = audit_sample(sample, vocabulary, held_out)
            assert not clean
            return
        if tried >= 3:
            break
    pytest.fail(f"{check} did not notice what was done to {tried} samples")


def test_every_check_has_a_mutation() -> None:
    assert {check.name for check in CHECKS} == {check for check, _, _ in MUTATIONS}
