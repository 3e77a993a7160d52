"""Ways to damage a sample with several references, each of which one check of the audit must notice."""

import copy
import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from damage import Damage, changed, detail_of, other_words

from dreamomni.tasks.sample import TrainingSample


def exchanged(sample: TrainingSample) -> TrainingSample:
    """The pictures of the first two references change places, with all that is known of them."""
    assert len(sample.images) > 2 or sample.task == "subject"

    def turned(items: tuple[Any, ...]) -> tuple[Any, ...]:
        order = [0, 2, 1, *range(3, len(items))] if sample.task == "edit" else [1, 0, *range(2, len(items))]
        return tuple(items[index] for index in order)

    return changed(
        sample,
        images=turned(sample.images),
        image_ids=turned(sample.image_ids),
        image_objects=turned(sample.image_objects),
    )


def reference(change: Callable[[dict[str, Any]], None]) -> Damage:
    """Change what the details say of the reference."""

    def apply(record: Mapping[str, Any]) -> dict[str, Any]:
        own = copy.deepcopy(dict(record))
        change(own)
        return own

    return detail_of("reference", apply)


def another_subject(record: dict[str, Any]) -> None:
    record["uses"][0]["subject_instance"] = 200


def another_finish(record: dict[str, Any]) -> None:
    use = record["uses"][0]
    use["value"] = {"border": "outline", "outline": "neon", "neon": "border"}[use["value"]]


def another_pattern(record: dict[str, Any]) -> None:
    use = record["uses"][0]
    use["value"] = {"stripes": "checks", "checks": "dots", "dots": "stripes"}[use["value"]]


def target_label(**fields: Any) -> Damage:
    def damage(sample: TrainingSample) -> TrainingSample:
        number = sample.details["reference"]["uses"][0].get("target_instance")
        objects = tuple(
            dataclasses.replace(one, **fields) if one.instance_id == number else one for one in sample.objects
        )
        assert objects != sample.objects
        return changed(sample, objects=objects)

    return damage


def dimmed(sample: TrainingSample) -> TrainingSample:
    """The references are darker than they were."""
    darker = tuple(np.asarray(image // 2, np.uint8) for image in sample.images[1:])
    return changed(sample, images=(sample.images[0], *darker))


def standard_words(pattern: str, new: str) -> Damage:
    def change(words: Mapping[str, str]) -> dict[str, str]:
        text, count = re.subn(pattern, new, words["instruction"])
        assert count
        return {**words, "instruction": text}

    return detail_of("standard", change)


REFERENCE_MUTATIONS: tuple[tuple[str, str, Damage], ...] = (
    ("images as said", "reference_add", other_words(r"(image|picture|photo|pic|[Ff]igure) [2-4]\b", r"\1 5")),
    ("images as said", "subject_scene", other_words(r"(image|picture|photo|pic|[Ff]igure) [1-4]\b", r"\1 5")),
    ("references as said", "reference_replace", exchanged),
    ("references as said", "subject_scene", exchanged),
    ("references as said", "reference_colour", other_words(r"[Cc]olou?r", "shade")),
    ("pointed at in image 1", "reference_colour", reference(another_subject)),
    ("pointed at in image 1", "reference_replace", reference(another_subject)),
    ("comes where said", "reference_add", other_words(r"\babove\b", "below")),
    ("comes where said", "subject_scene", other_words(r"\bto the left of\b", "to the right of")),
    ("stray colours", "reference_colour", other_words(r"$", " and red")),
    ("taken from references", "reference_add", exchanged),
    ("taken from references", "reference_colour", exchanged),
    ("taken from references", "reference_replace", target_label(colour="mauve")),
    ("coloured anew", "subject_colour", lambda sample: changed(sample, objects=())),
    ("patterns and styles", "reference_style", reference(another_finish)),
    ("patterns and styles", "reference_pattern", reference(another_pattern)),
    ("backgrounds of references", "reference_background", dimmed),
    ("letters", "reference_font", target_label(name="other")),
    ("standard words", "reference_add", standard_words(r"image_[2-5]", "image_9")),
    ("standard words", "reference_replace", standard_words(r"the (\w+) [\w ]+ \(", r"the \1 thing (")),
)
