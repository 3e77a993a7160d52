"""Ways to damage a sample of the collage engine, each of which one check of the audit must notice."""

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from dreamomni.data.collage.held_out import is_held_out
from dreamomni.tasks.geometry import Box
from dreamomni.tasks.sample import ObjectLabel, TrainingSample

Damage = Callable[[TrainingSample], TrainingSample]

RULE: dict[str, Any] = {}
"""The rule of held-out combinations that `hold_out` breaks."""


def changed(sample: TrainingSample, **fields: Any) -> TrainingSample:
    return dataclasses.replace(sample, **fields)


def with_label(sample: TrainingSample, **fields: Any) -> TrainingSample:
    first = sample.objects[0]
    return changed(sample, objects=(dataclasses.replace(first, **fields), *sample.objects[1:]))


def with_details(sample: TrainingSample, **fields: Any) -> TrainingSample:
    return changed(sample, details={**json.loads(json.dumps(dict(sample.details))), **fields})


def detail_of(name: str, change: Callable[[Any], Any]) -> Damage:
    def damage(sample: TrainingSample) -> TrainingSample:
        details = json.loads(json.dumps(dict(sample.details)))
        return changed(sample, details=details | {name: change(details[name])})

    return damage


def first_of(name: str, /, **fields: Any) -> Damage:
    return detail_of(name, lambda records: [records[0] | fields, *records[1:]])


def last_operation(**fields: Any) -> Damage:
    return detail_of("operations", lambda records: [*records[:-1], records[-1] | fields])


def other_words(pattern: str, new: str) -> Damage:
    def damage(sample: TrainingSample) -> TrainingSample:
        new_text, count = re.subn(pattern, new, sample.instruction, count=1)
        assert count, sample.instruction
        return changed(sample, instruction=new_text)

    return damage


def other_caption(pattern: str, new: str) -> Damage:
    def damage(sample: TrainingSample) -> TrainingSample:
        new_text, count = re.subn(pattern, new, sample.caption, count=1)
        assert count, sample.caption
        return changed(sample, caption=new_text)

    return damage


def dot(image: np.ndarray, row: int, column: int) -> np.ndarray:
    image = image.copy()
    image[row, column] = image[row, column] ^ 0x40
    return image


def target_dot(where: str) -> Damage:
    """Change one pixel of the target: in or out of the mask, or in a corner."""

    def damage(sample: TrainingSample) -> TrainingSample:
        row, column = place(sample, where)
        return changed(sample, target=dot(sample.target, row, column))

    return damage


def source_dot(where: str) -> Damage:
    def damage(sample: TrainingSample) -> TrainingSample:
        row, column = place(sample, where)
        return changed(sample, images=(dot(sample.images[0], row, column), *sample.images[1:]))

    return damage


def place(sample: TrainingSample, where: str) -> tuple[int, int]:
    if where == "corner":
        return 0, 0
    assert sample.mask is not None
    rows, columns = np.nonzero((sample.mask == 255) == (where == "inside"))
    return int(rows[len(rows) // 2]), int(columns[len(columns) // 2])


def flip_mask(sample: TrainingSample) -> TrainingSample:
    assert sample.mask is not None
    mask = sample.mask.copy()
    mask[-1, -1] ^= 255
    return changed(sample, mask=mask)


def mask_value(sample: TrainingSample) -> TrainingSample:
    assert sample.mask is not None
    mask = sample.mask.copy()
    mask[0, 0] = 7
    return changed(sample, mask=mask)


def new_id(sample: TrainingSample) -> TrainingSample:
    assert sample.ids is not None
    ids = sample.ids.copy()
    ids[0, 0] = 77
    return changed(sample, ids=ids)


def hide_instance(sample: TrainingSample) -> TrainingSample:
    assert sample.ids is not None
    ids = sample.ids.copy()
    ids[ids == sample.objects[0].instance_id] = 0
    return changed(sample, ids=ids)


def move_box(sample: TrainingSample) -> TrainingSample:
    x0, y0, x1, y1 = sample.objects[0].box
    return with_label(sample, box=Box(x0, y0, x1 + 1, y1))


def other_colour(label: ObjectLabel) -> str:
    return "green" if label.colour != "green" else "red"


def swap_ids(sample: TrainingSample) -> TrainingSample:
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
    return changed(
        sample,
        ids=ids,
        objects=renamed,
        image_objects=(renamed_source, *sample.image_objects[1:]),
        image_ids=(source_ids, *sample.image_ids[1:]),
    )


def shrunk(sample: TrainingSample) -> TrainingSample:
    """Take the upper half of a thing that stays out of the target's id map, and label the rest rightly."""
    assert sample.ids is not None
    both = {label.instance_id for label in sample.image_objects[0]}
    label = next(label for label in sample.objects if label.instance_id in both)
    ids = sample.ids.copy()
    rows = np.arange(ids.shape[0])[:, None]
    ids[(ids == label.instance_id) & (rows < (label.box.y0 + label.box.y1) // 2)] = 0
    return changed(sample, ids=ids)


def move_drag(**fields: float) -> Damage:
    def damage(sample: TrainingSample) -> TrainingSample:
        drag = sample.drags[0]
        moved = {name: round(getattr(drag, name) + change, 6) for name, change in fields.items()}
        return changed(sample, drags=(dataclasses.replace(drag, **moved), *sample.drags[1:]))

    return damage


def bend_matrix(row: int, column: int, change: float) -> Damage:
    def bend(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        matrix = [list(line) for line in records[0]["matrix"]]
        matrix[row][column] += change
        return [records[0] | {"matrix": matrix}, *records[1:]]

    return detail_of("transforms", bend)


def crop(sample: TrainingSample) -> TrainingSample:
    return changed(sample, images=(sample.images[0][:-2], *sample.images[1:]))


def swap_subjects(sample: TrainingSample) -> TrainingSample:
    """Give every subject another image number."""
    images = len(sample.images)
    records = [record | {"image": record["image"] % images + 1} for record in sample.details["subjects"]]
    return with_details(sample, subjects=records)


def grey_subject(sample: TrainingSample) -> TrainingSample:
    """Paint the first subject of the target over with gray."""
    number = sample.details["subjects"][0]["target_instance"]
    assert sample.ids is not None
    target = sample.target.copy()
    target[sample.ids == number] = 120
    return changed(sample, target=target)


def blob_subject(sample: TrainingSample) -> TrainingSample:
    """Make the id map say that every subject fills its box."""
    assert sample.ids is not None
    ids = sample.ids.copy()
    for label in sample.objects:
        ids[label.box.y0 : label.box.y1, label.box.x0 : label.box.x1] = label.instance_id
    return changed(sample, ids=ids)


def hold_out(sample: TrainingSample) -> TrainingSample:
    """Give the first thing a name that makes a held-out combination with its colour."""
    rule = RULE["rule"]
    for number in range(10_000):
        if is_held_out(rule, ("colour", f"thing{number}", str(sample.objects[0].colour))):
            return with_label(sample, name=f"thing{number}")
    raise AssertionError("nothing is held out")
