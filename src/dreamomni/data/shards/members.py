"""What one sample is as files: pictures, instance maps, words, labels. Shards and loose files share this.

Members, in this order: `target.png` (or `.jpg`), `image1.png` and on, `mask.png` (one bit), `ids.png`
(instance numbers of the target), `ids1.png` and on (of the input images), `txt` (the instruction), `json`
(all else). In a shard the JSON is flat: every value is a string or a number, and what has structure is JSON
text inside a string. Readers that infer types from the first samples cannot take lists that may be empty.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

from dreamomni.data.shards.codecs import (
    ImageFormat,
    PictureCodec,
    choose_codec,
    decode_grey,
    decode_picture,
    encode_ids,
    encode_mask,
    encode_pictures,
    extension,
)
from dreamomni.errors import DataError
from dreamomni.tasks.geometry import Box
from dreamomni.tasks.sample import DragLabel, ObjectLabel, Relation, TrainingSample

FORMAT_VERSION = 3
_PIXELS = ("target", "images", "mask", "ids", "image_ids")
_STRUCTURED = ("objects", "image_objects", "relations", "drags", "licences", "assets", "details", "members")
_USUAL_IMAGES = {"text_to_image": 0}
_MASKED = ("edit", "inpaint", "outpaint", "drag", "segment", "detect")
_FLAT = (str, int, float)
_FACTS = tuple(field.name for field in dataclasses.fields(TrainingSample) if field.name not in _PIXELS)
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_PICTURE_EXTENSIONS = ("png", "jpg")


def encode_sample(sample: TrainingSample, image_format: ImageFormat = "auto") -> dict[str, bytes]:
    """Turn a sample into members, in the order in which they are written.

    Raises:
        DataError: A mask or an instance map holds values that its file cannot.
    """
    return encode_with_record(sample, image_format)[0]


def encode_with_record(
    sample: TrainingSample, image_format: ImageFormat = "auto"
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """As `encode_sample`, with the record that the JSON member was made from."""
    members = encode_pixels(sample, image_format)
    members["txt"] = sample.instruction.encode("utf-8")
    facts = record(sample, members)
    members["json"] = _dump(flatten(facts)).encode()
    return members, facts


def encode_pixels(sample: TrainingSample, image_format: ImageFormat = "auto") -> dict[str, bytes]:
    """Turn the pictures, the mask and the instance maps of a sample into members.

    Raises:
        DataError: A mask or an instance map holds values that its file cannot.
    """
    target_codec, image_codec = codecs_of(sample, image_format)
    names = [f"image{number}.{extension(image_codec)}" for number in range(1, len(sample.images) + 1)]
    if target_codec == image_codec:
        pictures = encode_pictures((sample.target, *sample.images), target_codec)
    else:
        pictures = encode_pictures([sample.target], target_codec)
        pictures += encode_pictures(sample.images, image_codec)
    members = dict(zip((f"target.{extension(target_codec)}", *names), pictures, strict=True))
    if sample.mask is not None:
        members["mask.png"] = encode_mask(sample.mask)
    maps = {"ids.png": sample.ids}
    maps |= {f"ids{number}.png": ids for number, ids in enumerate(sample.image_ids, start=1)}
    present = {name: ids for name, ids in maps.items() if ids is not None}
    return members | dict(zip(present, encode_ids(list(present.values())), strict=True))


def codecs_of(sample: TrainingSample, image_format: ImageFormat) -> tuple[PictureCodec, PictureCodec]:
    """Choose the codecs of the target and of the input images; maps that condition a task stay exact."""
    codec = choose_codec(image_format, photo=shows_photo(sample))
    return codec, "png" if sample.task == "control" or "control" in sample.details else codec


def shows_photo(sample: TrainingSample) -> bool:
    """Whether the background of the sample is a photograph."""
    background = sample.details.get("background")
    return isinstance(background, Mapping) and background.get("style") == "photo"


def schema_name(sample: TrainingSample, image_format: ImageFormat) -> str:
    """Name the set of members that a sample has; samples of one name go into one tar.

    The task comes first; then the number of input images where it varies; then what is unusual: `mask` or
    `nomask`, `noids` (`noids1` for image 1) and `jpeg`.
    """
    num_images = len(sample.images)
    parts = [sample.task]
    if num_images != _USUAL_IMAGES.get(sample.task, 1) or sample.task == "subject":
        parts.append(str(num_images))
    if (sample.mask is not None) != (sample.task in _MASKED):
        parts.append("nomask" if sample.mask is None else "mask")
    if sample.ids is None:
        parts.append("noids")
    present = dict(enumerate(sample.image_ids, start=1))
    parts += [f"noids{number}" for number in range(1, num_images + 1) if present.get(number) is None]
    if codecs_of(sample, image_format)[0] != "png":
        parts.append("jpeg")
    return "-".join(parts)


def record(sample: TrainingSample, members: Iterable[str]) -> dict[str, Any]:
    """Everything of a sample that is not pixels, as plain JSON values.

    Args:
        sample: The sample.
        members: Names of its other members, so that a reader notices when one is missing.
    """
    facts = {name: getattr(sample, name) for name in _FACTS}
    height, width = sample.target.shape[:2]
    return {
        "version": FORMAT_VERSION,
        **facts,
        "objects": [_as_json(label) for label in sample.objects],
        "image_objects": [[_as_json(label) for label in labels] for labels in sample.image_objects],
        "relations": [_as_json(relation) for relation in sample.relations],
        "drags": [_as_json(drag) for drag in sample.drags],
        "licences": list(sample.licences),
        "assets": list(sample.assets),
        "details": dict(sample.details),
        "members": list(members),
        "num_images": len(sample.images),
        "width": width,
        "height": height,
    }


def flatten(facts: Mapping[str, Any]) -> dict[str, str | int | float]:
    """Replace what has structure by its JSON text, so that every value is a string or a number."""
    return {name: value if isinstance(value, _FLAT) else _dump(value) for name, value in facts.items()}


def decode_sample(members: Mapping[str, bytes], name: str) -> TrainingSample:
    """Turn members back into the sample they were made from; the inverse of `encode_sample` but for JPEG.

    Args:
        members: Content by member name, in any order.
        name: Of the sample, for messages.

    Raises:
        DataError: A member is missing or damaged, or of another version.
    """
    try:
        facts = json.loads(members["json"])
        version = facts.pop("version")
        if version != FORMAT_VERSION:
            raise DataError(f"{name} has format {version}, but this release reads {FORMAT_VERSION}")
        for field in _STRUCTURED:
            if isinstance(facts[field], str):
                facts[field] = json.loads(facts[field])
        missing = [member for member in facts.pop("members") if member not in members]
        if missing:
            raise DataError(
                f"{name} is not whole: {', '.join(missing)} cannot be read, there is no such file"
            )
        num_images = facts.pop("num_images")
        size = (facts.pop("height"), facts.pop("width"))
        target = _picture(members, "target", name)
        if target.shape[:2] != size:
            raise DataError(f"the target of {name} is not {size[1]}x{size[0]} as its record says")
        numbers = range(1, num_images + 1)
        return TrainingSample(
            target=target,
            images=tuple(_picture(members, f"image{number}", name) for number in numbers),
            mask=_grey(members, "mask.png", name),
            ids=_ids(members, "ids.png", name),
            image_ids=tuple(_ids(members, f"ids{number}.png", name) for number in numbers),
            objects=_labels(facts.pop("objects")),
            image_objects=tuple(_labels(labels) for labels in facts.pop("image_objects")),
            drags=tuple(DragLabel(**drag) for drag in facts.pop("drags")),
            relations=tuple(Relation(**relation) for relation in facts.pop("relations")),
            licences=tuple(facts.pop("licences")),
            assets=tuple(facts.pop("assets")),
            **facts,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{name} is not the record of a sample: {error!r}") from None


def _dump(value: Any) -> str:
    return _ENCODER.encode(value)


def _picture(members: Mapping[str, bytes], member: str, name: str) -> Any:
    for suffix in _PICTURE_EXTENSIONS:
        content = members.get(f"{member}.{suffix}")
        if content is not None:
            return decode_picture(content, f"{name}.{member}.{suffix}")
    raise DataError(f"{name} has no picture {member}.png or {member}.jpg")


def _grey(members: Mapping[str, bytes], member: str, name: str) -> Any:
    content = members.get(member)
    return None if content is None else decode_grey(content, f"{name}.{member}")


def _ids(members: Mapping[str, bytes], member: str, name: str) -> Any:
    grey = _grey(members, member, name)
    return None if grey is None else grey.astype("int16")


def _labels(records: list[dict[str, Any]]) -> tuple[ObjectLabel, ...]:
    return tuple(ObjectLabel(**label | {"box": Box(*label["box"])}) for label in records)


def _as_json(label: ObjectLabel | Relation | DragLabel) -> dict[str, Any]:
    # dataclasses.asdict copies deeply, which takes as long as encoding a picture.
    values = {name: getattr(label, name) for name in label.__dataclass_fields__}
    if isinstance(label, ObjectLabel):
        values["box"] = list(label.box)
    return values
