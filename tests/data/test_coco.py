import json
import tarfile
from pathlib import Path
from typing import Literal

import hypothesis.extra.numpy as npst
import numpy as np
import pytest
from hypothesis import given
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from dreamomni.cli.main import main
from dreamomni.config import load_recipe
from dreamomni.data.coco import coco_annotations, encode_mask, write_coco
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.folder import write_samples
from dreamomni.data.shards.generate import generate
from dreamomni.data.shards.job import ShardJob
from dreamomni.errors import DataError
from dreamomni.tasks.sample import TrainingSample

NAMES = "names=[apple, tree, house, fish, car, cup, star, umbrella, heart, moon, flower, cat]"


@pytest.fixture(scope="module")
def samples() -> list[TrainingSample]:
    """Segmentation, detection and one edit, crowded enough that things cover each other."""
    recipe = load_recipe("perception", CollageRecipe, ["size=[96x96, 128x80]", "max_overlap=0.3", NAMES])
    engine = CollageEngine(recipe)
    return [
        *(engine.sample(3, index, "segment" if index % 2 else "detect") for index in range(24)),
        engine.sample(3, 24, "replace"),
    ]


@pytest.fixture(scope="module")
def folder(samples: list[TrainingSample], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("samples")
    write_samples(samples, path)
    return path


def load(path: Path) -> COCO:
    return COCO(str(path))


@given(npst.arrays(bool, npst.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)))
def test_masks_are_encoded_as_pycocotools_does(mask: np.ndarray) -> None:
    theirs = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    ours = encode_mask(mask)
    assert ours == {"size": list(theirs["size"]), "counts": theirs["counts"].decode()}
    assert (coco_mask.decode(ours) == mask).all()


@pytest.mark.parametrize("value", [False, True])
def test_long_runs_are_encoded_too(value: bool) -> None:
    mask = np.full((700, 900), value)
    mask[350:, 400:500] = not value
    theirs = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert encode_mask(mask)["counts"] == theirs["counts"].decode()


def test_pycocotools_sees_the_id_maps(samples: list[TrainingSample], folder: Path, tmp_path: Path) -> None:
    counts = write_coco(folder, tmp_path / "clean.json")
    coco = load(tmp_path / "clean.json")
    by_name = {sample.key: sample for sample in samples}
    assert counts["images"] == len(coco.getImgIds()) == len(samples)
    seen = 0
    for image in coco.loadImgs(coco.getImgIds()):
        key, member, _ = image["file_name"].split(".")
        sample = by_name[key]
        clean = sample.task == "edit"
        assert member == ("target" if clean else "image1")
        assert (folder / image["file_name"]).is_file()
        ids = sample.ids if clean else sample.image_ids[0]
        labels = {label.instance_id: label for label in (sample.objects if clean else sample.source_objects)}
        assert ids is not None
        assert ids.shape == (image["height"], image["width"])
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        assert {annotation["instance_id"] for annotation in annotations} == set(labels)
        for annotation in annotations:
            label = labels[annotation["instance_id"]]
            mask = coco.annToMask(annotation)
            assert (mask == (ids == label.instance_id)).all()
            assert annotation["area"] == mask.sum() == label.area
            assert annotation["bbox"] == list(coco_mask.toBbox(coco_mask.encode(np.asfortranarray(mask))))
            assert coco.loadCats(annotation["category_id"])[0]["name"] == label.name
            seen += 1
    assert seen == counts["annotations"]
    names = [category["name"] for category in coco.loadCats(coco.getCatIds())]
    assert names == sorted(names)
    assert [licence["name"] for licence in coco.dataset["licenses"]] == ["Apache-2.0"]


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_the_truth_measured_against_itself_is_perfect(
    folder: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_coco(folder, tmp_path / "truth.json")
    truth = load(tmp_path / "truth.json")
    results = [
        {key: annotation[key] for key in ("image_id", "category_id", "bbox", "segmentation")} | {"score": 1.0}
        for annotation in truth.dataset["annotations"]
    ]
    measured = COCOeval(truth, truth.loadRes(results), kind)
    measured.evaluate()
    measured.accumulate()
    measured.summarize()
    assert measured.stats[0] == pytest.approx(1.0)
    # One thing less is no longer perfect, so the measure can fail.
    worse = COCOeval(truth, truth.loadRes(results[1:]), kind)
    worse.evaluate()
    worse.accumulate()
    worse.summarize()
    assert worse.stats[0] < 1.0
    capsys.readouterr()


@pytest.mark.parametrize("image_format", ["png", "jpeg"])
def test_shards_give_the_same_annotations_and_the_names_of_their_members(
    tmp_path: Path, image_format: Literal["png", "jpeg"]
) -> None:
    recipe = load_recipe("perception", CollageRecipe, ["size=64x64", NAMES])
    job = ShardJob(recipe, tmp_path / "shards", num_samples=8, shard_size=4, image_format=image_format)
    generate(job)
    write_coco(tmp_path / "shards", tmp_path / "annotations.json")
    written = json.loads((tmp_path / "annotations.json").read_text())
    engine = CollageEngine(recipe)
    drawn = coco_annotations([engine.sample(0, index) for index in range(8)], image_format=image_format)
    assert written == json.loads(json.dumps(drawn))
    members = {
        name
        for path in (tmp_path / "shards").rglob("*.tar")
        for name in tarfile.open(path).getnames()  # noqa: SIM115
    }
    assert {image["file_name"] for image in written["images"]} <= members


def test_other_pictures_can_be_asked_for(samples: list[TrainingSample]) -> None:
    everything = coco_annotations(samples, "all")
    assert len(everything["images"]) == 2 * len(samples)
    assert len(coco_annotations(samples, "target")["images"]) == len(samples)
    inputs = coco_annotations(samples, "inputs")["images"]
    assert all(image["file_name"].endswith(".image1.png") for image in inputs)
    assert [image["id"] for image in everything["images"]] == list(range(1, 2 * len(samples) + 1))


def test_maps_and_written_words_are_no_things() -> None:
    recipe = load_recipe("reference", CollageRecipe, ["size=64x64", NAMES])
    engine = CollageEngine(recipe)
    maps = [engine.sample(0, index, kind) for index, kind in enumerate(("canny", "depth", "segmentation"))]
    listed = coco_annotations(maps, "all")
    assert [image["file_name"].split(".")[1] for image in listed["images"]] == ["target"] * 3
    written = coco_annotations([engine.sample(0, index, "text") for index in range(3)])
    (category,) = [category for category in written["categories"] if category["supercategory"] == "text"]
    assert category["name"] == "text"
    texts = [one for one in written["annotations"] if one["category_id"] == category["id"]]
    assert len(texts) >= 3
    assert all(one["text"] for one in texts)


def test_the_command_writes_them(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], samples: list[TrainingSample]
) -> None:
    out = tmp_path / "annotations.json"
    assert main(["data", "coco", str(folder), "--out", str(out)]) == 0
    assert f"{len(samples)} images" in capsys.readouterr().out
    assert len(json.loads(out.read_text())["images"]) == len(samples)
    assert main(["data", "coco", str(tmp_path / "nowhere"), "--out", str(out)]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_a_folder_without_such_pictures_is_refused(tmp_path: Path) -> None:
    engine = CollageEngine(load_recipe("mini-world", CollageRecipe))
    write_samples([engine.sample(0, 0, "single")], tmp_path)
    with pytest.raises(DataError, match="has no inputs pictures with instances: choose others of clean"):
        write_coco(tmp_path, tmp_path / "x.json", "inputs")
