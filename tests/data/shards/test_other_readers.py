"""What `dreamomni data generate` makes, read by webdataset and by Hugging Face datasets."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import KINDS, CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.shards.generate import generate
from dreamomni.data.shards.job import ShardJob
from dreamomni.data.shards.reader import ShardFolder
from dreamomni.tasks.sample import TrainingSample

NUM_SAMPLES = 60
SEED = 6
TASKS = {"text_to_image", "edit", "inpaint", "outpaint", "drag", "control", "subject", "segment", "detect"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with every kind that the engine makes."""
    mixture = ", ".join(f"{kind}: 1" for kind in KINDS)
    recipe = load_recipe("collage-all", CollageRecipe, ["size=64x48", f"mixture={{{mixture}}}"])
    folder = tmp_path_factory.mktemp("shards")
    generate(ShardJob(recipe, folder, num_samples=NUM_SAMPLES, shard_size=40, seed=SEED))
    return folder


@pytest.fixture(scope="module")
def samples(folder: Path) -> dict[str, TrainingSample]:
    return {sample.key: sample for sample in ShardFolder(folder)}


def tars(folder: Path) -> Iterator[tuple[str, list[str]]]:
    for schema in sorted({path.parent for path in folder.glob("*/*.tar")}):
        yield schema.name, [str(path) for path in sorted(schema.glob("*.tar"))]


def pictures_of(sample: TrainingSample) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray | None] = {"target": sample.target, "mask": sample.mask, "ids": sample.ids}
    found |= {f"image{number}": image for number, image in enumerate(sample.images, start=1)}
    found |= {f"ids{number}": ids for number, ids in enumerate(sample.image_ids, start=1)}
    return {name: pixels for name, pixels in found.items() if pixels is not None}


def check(example: dict[str, Any], sample: TrainingSample) -> None:
    """Compare the fields of another reader, pictures as arrays, with what ours gives."""
    assert example["txt"] == sample.instruction
    facts = example["json"]
    for name in ("task", "kind", "caption", "seed", "index"):
        assert facts[name] == getattr(sample, name)
    assert (facts["width"], facts["height"]) == sample.target.shape[1::-1]
    assert [label["name"] for label in json.loads(facts["objects"])] == [one.name for one in sample.objects]
    assert json.loads(facts["details"]) == json.loads(json.dumps(dict(sample.details)))
    for name, pixels in pictures_of(sample).items():
        found = np.asarray(example[f"{name}.png"])
        found = found * 255 if found.dtype == bool else found
        if found.ndim > pixels.ndim:  # webdataset makes everything RGB
            found = found[..., 0]
        assert np.array_equal(found, pixels), name


def test_every_task_is_there(samples: dict[str, TrainingSample]) -> None:
    assert {sample.task for sample in samples.values()} == TASKS


def test_webdataset_reads_every_task(folder: Path, samples: dict[str, TrainingSample]) -> None:
    webdataset = pytest.importorskip("webdataset")
    seen = set()
    for _, paths in tars(folder):
        data = webdataset.WebDataset(paths, shardshuffle=False, empty_check=False).decode("pil")
        for example in data:
            seen.add(example["__key__"])
            check(example, samples[example["__key__"]])
    assert seen == set(samples)


def test_datasets_streams_every_task(
    folder: Path, samples: dict[str, TrainingSample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    seen = set()
    for schema, paths in tars(folder):
        data = datasets.load_dataset(
            "webdataset", data_files=paths, split="train", streaming=True, cache_dir=str(tmp_path)
        )
        pictures = {name for name in data.features if name.endswith((".png", ".jpg"))}
        assert all(isinstance(data.features[name], datasets.Image) for name in pictures), schema
        assert data.features["txt"] == datasets.Value("string")
        kinds = {name: feature.dtype for name, feature in data.features["json"].items()}
        assert set(kinds.values()) == {"string", "int64"}
        assert {name for name, dtype in kinds.items() if dtype == "int64"} == {
            *("version", "seed", "index", "num_images", "width", "height")
        }
        for example in data:
            seen.add(example["__key__"])
            check(example, samples[example["__key__"]])
    assert seen == set(samples)


def test_datasets_loads_a_whole_task_into_arrow(folder: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    paths = dict(tars(folder))["edit"]
    data = datasets.load_dataset("webdataset", data_files=paths, split="train", cache_dir=str(tmp_path))
    # Samples with references lie in a tar of their own, because every sample of a tar has the same members.
    stored = [sample for sample in ShardFolder(folder) if sample.task == "edit" and len(sample.images) == 1]
    assert len(data) == len(stored)
    check(data[0], stored[0])


def test_the_table_tells_what_the_tar_holds(folder: Path, samples: dict[str, TrainingSample]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [
        row for path in sorted(folder.glob("*/*.parquet")) for row in parquet.read_table(path).to_pylist()
    ]
    assert {row["key"] for row in rows} == set(samples)
    for row in rows:
        sample = samples[row["key"]]
        for name in ("task", "kind", "instruction", "caption", "index"):
            assert row[name] == getattr(sample, name)
        assert [tuple(one["box"]) for one in row["objects"]] == [tuple(one.box) for one in sample.objects]
        assert row["assets"] == list(sample.assets)
        assert row["num_images"] == len(sample.images) == len(row["image_objects"])


def test_a_mixture_of_everything_keeps_its_samples(folder: Path) -> None:
    engine = CollageEngine(CollageRecipe.model_validate(ShardFolder(folder).dataset["recipe"]))
    shards = ShardFolder(folder)
    for position in range(0, len(shards), 9):
        sample = shards[position]
        assert np.array_equal(sample.target, engine.sample(SEED, sample.index).target)
