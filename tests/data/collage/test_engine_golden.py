"""Recorded samples: one recipe, seed and index give the same words, labels and pixels for good.

When a change of the drawing rules is meant, raise `CollageRecipe.version` if a released recipe is touched,
and record again by running this file.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.tasks.sample import TrainingSample

FOLDER = Path(__file__).parents[2] / "golden"
WORLDS = {"mini-world": range(16), "collage-all": range(16)}
NAMES = "names=[apple, bus, cat, dog, fish, heart, house, key, moon, star, tree, umbrella]"


def facts(sample: TrainingSample) -> dict[str, Any]:
    labels = [
        [label.instance_id, label.colour, label.name, *label.box, label.area]
        for label in (*sample.source_objects, *sample.objects)
    ]
    return {
        "key": sample.key,
        "kind": sample.kind,
        "instruction": sample.instruction,
        "caption": sample.caption,
        "labels": labels,
        "details": json.loads(json.dumps(sample.details)),
    }


def digest(sample: TrainingSample) -> str:
    found = hashlib.sha256(sample.target.tobytes())
    for image in (*sample.images, *([] if sample.mask is None else [sample.mask])):
        found.update(image.tobytes())
    return found.hexdigest()


def make(world: str) -> list[TrainingSample]:
    # A pack that grows must not move them.
    fixed = [NAMES] if world == "collage-all" else []
    engine = CollageEngine(load_recipe(world, CollageRecipe, fixed))
    return [engine.sample(0, index) for index in WORLDS[world]]


@pytest.mark.parametrize("world", WORLDS)
def test_words_and_labels_are_as_recorded(world: str) -> None:
    recorded = json.loads((FOLDER / f"samples-{world}.json").read_text())
    for sample, expected in zip(make(world), recorded, strict=True):
        found, stored = facts(sample), dict(expected["facts"])
        labels, stored_labels = found.pop("labels"), stored.pop("labels")
        assert found == stored
        # Another processor may round the edge of a sticker the other way, and move a label by a hair.
        for label, known in zip(labels, stored_labels, strict=True):
            assert label[:3] == known[:3]
            assert np.abs(np.subtract(label[3:7], known[3:7])).max() <= 1
            assert abs(label[7] - known[7]) <= 2 + 0.02 * known[7]


def test_pixels_are_as_recorded() -> None:
    recorded = json.loads((FOLDER / "samples-mini-world.json").read_text())
    strip = np.asarray(Image.open(FOLDER / "samples-mini-world.png").convert("RGB"))
    for place, (sample, expected) in enumerate(zip(make("mini-world"), recorded, strict=True)):
        if digest(sample) == expected["sha256"]:
            continue
        # Another processor may round a resized sticker the other way; nothing else may differ.
        stored = strip[:, place * 64 : (place + 1) * 64].astype(int)
        assert np.abs(stored - sample.target).max() <= 2


def record() -> None:
    for world in WORLDS:
        samples = make(world)
        entries = [{"facts": facts(sample), "sha256": digest(sample)} for sample in samples]
        text = ",\n".join(json.dumps(entry) for entry in entries)
        (FOLDER / f"samples-{world}.json").write_text(f"[\n{text}\n]\n")
        if world == "mini-world":
            strip = np.concatenate([sample.target for sample in samples], axis=1)
            Image.fromarray(strip).save(FOLDER / "samples-mini-world.png")


if __name__ == "__main__":
    record()
