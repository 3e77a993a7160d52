import dataclasses
import json

import numpy as np
import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import KINDS, CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.shards.members import (
    decode_sample,
    encode_sample,
    flatten,
    record,
    schema_name,
)
from dreamomni.errors import DataError
from dreamomni.tasks.sample import TrainingSample


@pytest.fixture(scope="module")
def samples() -> dict[str, TrainingSample]:
    """One sample of every kind that the engine makes."""
    engine = CollageEngine(load_recipe("collage-all", CollageRecipe, ["size=96x64"]))
    return {kind: engine.sample(0, index, kind) for index, kind in enumerate(KINDS)}


def same_pixels(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.dtype == other.dtype and np.array_equal(one, other)


def assert_equal(one: TrainingSample, other: TrainingSample) -> None:
    for field in dataclasses.fields(TrainingSample):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        if field.name in ("target", "mask", "ids"):
            assert same_pixels(mine, theirs), field.name
        elif field.name in ("images", "image_ids"):
            assert len(mine) == len(theirs)
            assert all(same_pixels(a, b) for a, b in zip(mine, theirs, strict=True)), field.name
        elif field.name == "details":
            assert json.loads(json.dumps(dict(mine))) == json.loads(json.dumps(dict(theirs)))
        else:
            assert mine == theirs, field.name


def test_every_kind_comes_back_as_it_was(samples: dict[str, TrainingSample]) -> None:
    for kind, sample in samples.items():
        members = encode_sample(sample, "png")
        assert_equal(decode_sample(members, kind), sample)
        assert list(members)[-2:] == ["txt", "json"]
        assert members["txt"].decode() == sample.instruction


def test_the_record_in_a_shard_is_flat(samples: dict[str, TrainingSample]) -> None:
    schemas = {
        tuple((name, type(value)) for name, value in flatten(record(sample, ())).items())
        for sample in samples.values()
    }
    assert len(schemas) == 1
    assert all(kind in (str, int, float) for _, kind in schemas.pop())


def test_samples_of_one_schema_have_the_same_members(samples: dict[str, TrainingSample]) -> None:
    found: dict[str, set[tuple[str, ...]]] = {}
    for sample in samples.values():
        for image_format in ("png", "jpeg", "jpeg420"):
            name = schema_name(sample, image_format)
            assert "." not in name
            assert name.startswith(sample.task)
            found.setdefault(name, set()).add(tuple(encode_sample(sample, image_format)))
    assert all(len(members) == 1 for members in found.values()), found
    assert schema_name(samples["replace"], "png") == "edit"
    assert schema_name(samples["single"], "auto") == "text_to_image"
    assert schema_name(samples["replace"], "jpeg") == "edit-jpeg"


def test_what_is_unusual_gets_a_schema_of_its_own(samples: dict[str, TrainingSample]) -> None:
    edit = samples["replace"]
    variants = {
        "edit-nomask": dataclasses.replace(edit, mask=None),
        "edit-noids": dataclasses.replace(edit, ids=None),
        "edit-noids1": dataclasses.replace(edit, image_ids=(None,)),
        "edit-2": dataclasses.replace(edit, images=edit.images * 2, image_ids=edit.image_ids * 2),
        "subject-1-mask": dataclasses.replace(edit, task="subject"),
        "control-mask-jpeg": dataclasses.replace(
            edit, task="control", details={"background": {"style": "photo"}}
        ),
    }
    for name, sample in variants.items():
        assert schema_name(sample, "auto") == name
        assert_members_match(sample)


def assert_members_match(sample: TrainingSample) -> None:
    members = encode_sample(sample, "png")
    back = decode_sample(members, "x")
    assert len(back.images) == len(sample.images)
    assert [ids is None for ids in back.image_ids] == [ids is None for ids in sample.image_ids]


def test_photographs_are_jpeg_and_maps_are_never(samples: dict[str, TrainingSample]) -> None:
    photo = dataclasses.replace(samples["replace"], details={"background": {"style": "photo"}})
    assert {"target.jpg", "image1.jpg", "mask.png", "ids.png"} <= encode_sample(photo, "auto").keys()
    assert "target.png" in encode_sample(photo, "png")
    control = dataclasses.replace(photo, task="control")
    assert {"target.jpg", "image1.png"} <= encode_sample(control, "auto").keys()
    assert "target.png" in encode_sample(samples["replace"], "auto")


def test_members_that_are_missing_or_of_another_version_are_refused(
    samples: dict[str, TrainingSample],
) -> None:
    members = encode_sample(samples["replace"])
    for member in ("mask.png", "image1.png", "target.png", "ids.png", "txt"):
        rest = {name: content for name, content in members.items() if name != member}
        with pytest.raises(DataError, match=member):
            decode_sample(rest, "s")
    with pytest.raises(DataError, match="not the record"):
        decode_sample({"json": b"{}"}, "s")
    facts = json.loads(members["json"]) | {"version": 99}
    with pytest.raises(DataError, match="format 99"):
        decode_sample(members | {"json": json.dumps(facts).encode()}, "s")
    facts = json.loads(members["json"]) | {"width": 5}
    with pytest.raises(DataError, match="is not 5x64"):
        decode_sample(members | {"json": json.dumps(facts).encode()}, "s")
