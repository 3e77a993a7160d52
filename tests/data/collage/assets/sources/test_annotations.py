"""COCO, LVIS and Open Images: instances become named cut-outs with the rights of their photographs."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dreamomni.data.collage.assets.build import BuildOptions, BuildReport, build_library
from dreamomni.data.collage.assets.library import AssetLibrary
from dreamomni.data.collage.assets.licences import Rights
from dreamomni.data.collage.assets.sources.annotations import InstanceFilter
from dreamomni.data.collage.assets.sources.find import SourceOptions, find_sources
from dreamomni.data.collage.assets.sources.masks import decode_counts, draw_segmentation
from dreamomni.errors import DataError

PAINT = Callable[..., Image.Image]


def runs_of(mask: np.ndarray) -> list[int]:
    """Run lengths of a mask by columns, zeros first."""
    flat = mask.T.reshape(-1) > 0
    edges = np.flatnonzero(np.diff(flat)) + 1
    bounds = [0, *edges.tolist(), len(flat)]
    runs = np.diff(bounds).tolist()
    return [0, *runs] if flat[0] else runs


def compressed(runs: list[int]) -> str:
    """The string of COCO's own encoder, written down from its description."""
    text = ""
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        more = True
        while more:
            code = value & 0x1F
            value >>= 5
            more = value != -1 if code & 0x10 else value != 0
            text += chr((code | 0x20 if more else code) + 48)
    return text


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_run_lengths_of_any_mask(height: int, width: int, seed: int) -> None:
    mask = np.random.default_rng(seed).integers(0, 2, (height, width)).astype(np.uint8) * 255
    runs = runs_of(mask)
    assert decode_counts(compressed(runs)) == runs
    for counts in (runs, compressed(runs)):
        found = draw_segmentation({"size": [height, width], "counts": counts}, height, width, "it")
        assert (found == mask).all()


def test_compressed_run_lengths_of_large_masks() -> None:
    runs = [100000, 7, 3, 40000, 5, 12, 90000]
    assert decode_counts(compressed(runs)) == runs


def test_polygons_have_their_area_and_soft_edges() -> None:
    mask = draw_segmentation([[2.5, 3.0, 12.5, 3.0, 12.5, 9.0, 2.5, 9.0]], 16, 20, "it")
    assert mask.sum() / 255 == pytest.approx(60, rel=0.08)
    assert 32 <= mask[5, 2] <= 192
    assert mask[5, 5] == 255


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ("x", "neither polygons nor run lengths"),
        ([[1, 2, 3]], "no list of x and y"),
        ({"size": [4, 4], "counts": [3, 4]}, "do not fill 4x4 pixels"),
        ({"size": [5, 4], "counts": [20]}, "segmentation for"),
    ],
)
def test_segmentations_that_are_none(segmentation: Any, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        draw_segmentation(segmentation, 4, 4, "annotation 7")


@pytest.fixture
def coco(tmp_path: Path, noise: PAINT) -> tuple[Path, dict[str, Any]]:
    (tmp_path / "images").mkdir()
    noise(1).save(tmp_path / "images/one.jpg", quality=95)
    noise(2).save(tmp_path / "images/two.jpg", quality=95)
    square = [[20, 20, 60, 20, 60, 60, 20, 60]]
    mask = np.zeros((80, 96), np.uint8)
    mask[10:40, 30:80] = 255
    apart = mask.copy()
    apart[:, 50:60] = 0

    def instance(number: int, image: int, box: list[int], segmentation: Any, **more: Any) -> dict[str, Any]:
        known = {"id": number, "image_id": image, "category_id": 3, "bbox": box}
        return {**known, "segmentation": segmentation, "iscrowd": 0, **more}

    tree = {
        "images": [
            {
                "id": 1,
                "file_name": "one.jpg",
                "width": 96,
                "height": 80,
                "license": 1,
                "flickr_url": "http://f/1",
            },
            {"id": 2, "coco_url": "http://coco/train/two.jpg", "width": 96, "height": 80, "license": 2},
        ],
        "licenses": [
            {"id": 1, "name": "Attribution License", "url": "http://creativecommons.org/licenses/by/2.0/"},
            {"id": 2, "name": "x", "url": "http://creativecommons.org/licenses/by-nc-sa/2.0/"},
        ],
        "categories": [{"id": 3, "name": "bow_(decorative)"}],
        "annotations": [
            instance(10, 1, [20, 20, 40, 40], square),
            instance(11, 2, [30, 10, 50, 30], {"size": [80, 96], "counts": compressed(runs_of(mask))}),
            instance(12, 2, [30, 10, 50, 30], {"size": [80, 96], "counts": runs_of(apart)}),
            instance(13, 1, [0, 20, 40, 40], [[0, 20, 40, 20, 40, 60, 0, 60]]),
            instance(14, 1, [20, 20, 8, 8], [[20, 20, 28, 20, 28, 28, 20, 28]]),
            instance(15, 1, [20, 20, 40, 40], {"size": [80, 96], "counts": runs_of(mask)}, iscrowd=1),
        ],
    }
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(tree))
    return path, tree


def make(path: Path, **options: Any) -> tuple[BuildReport, AssetLibrary]:
    chosen = SourceOptions(instances=InstanceFilter(min_px=16), **options)
    out = path.parent / "made.assets"
    report = build_library(find_sources([path], chosen), out, "made", BuildOptions(min_px=8, held_out=0.0))
    return report, AssetLibrary.open(out)


def test_instances_become_named_cut_outs_with_rights(coco: tuple[Path, dict[str, Any]]) -> None:
    report, library = make(coco[0])
    infos = {info.id: info for info in library.assets()}
    assert dict(report.skipped) == {"in pieces": 1, "truncated": 1, "too small": 1, "crowd": 1}
    assert {info.name for info in infos.values()} == {"bow"}
    assert (infos["1/10"].licence, infos["1/10"].attribution) == ("CC-BY-2.0", "http://f/1")
    assert (infos["2/11"].licence, infos["2/11"].attribution) == (
        "CC-BY-NC-SA-2.0",
        "http://coco/train/two.jpg",
    )
    photo = np.asarray(Image.open(coco[0].parent / "images/one.jpg"))
    drawn = library.render("1/10", (0, 0, 0), max(infos["1/10"].width, infos["1/10"].height))
    middle = drawn.shape[0] // 2
    inside = drawn[middle - 5 : middle + 5, middle - 5 : middle + 5, :3].astype(int)
    assert np.abs(inside - photo[35:45, 35:45]).max() <= 6


def test_annotations_that_lead_nowhere(coco: tuple[Path, dict[str, Any]]) -> None:
    path, tree = coco
    (path.parent / "images/one.jpg").rename(path.parent / "images/away.jpg")
    with pytest.raises(DataError, match=r"annotation 10 of .*annotations\.json needs the image .*one\.jpg"):
        make(path)
    for change, reason in (
        ({"image_id": 9}, "annotation 10 of .* is of image 9, which the file does not list"),
        ({"category_id": 9}, "annotation 10 of .* is of category 9"),
    ):
        damaged = {**tree, "annotations": [{**tree["annotations"][0], **change}]}
        path.write_text(json.dumps(damaged))
        with pytest.raises(DataError, match=reason):
            make(path)
    path.write_text(json.dumps({"annotations": [], "images": []}))
    with pytest.raises(DataError, match="not an annotation file of COCO or LVIS: it lacks 'categories'"):
        make(path)
    path.write_text("{")
    with pytest.raises(DataError, match=r"annotations\.json is not JSON"):
        make(path)
    path.write_text(json.dumps({**tree, "annotations": tree["annotations"][2:]}))
    (path.parent / "images/away.jpg").rename(path.parent / "images/one.jpg")
    with pytest.raises(DataError, match=r"no asset is left for .* \(.*crowd: 1, in pieces: 1"):
        make(path)


def test_a_photograph_of_another_size_is_refused(coco: tuple[Path, dict[str, Any]], noise: PAINT) -> None:
    noise(1, 100, 80).save(coco[0].parent / "images/one.jpg")
    with pytest.raises(DataError, match=r"one\.jpg is 100x80, but .* says 96x80"):
        make(coco[0])


def write_table(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def test_open_images(tmp_path: Path, noise: PAINT) -> None:
    folder = tmp_path / "oi"
    (folder / "train").mkdir(parents=True)
    noise(1).save(folder / "train/abc.jpg", quality=95)
    mask = np.zeros((40, 48), np.uint8)
    mask[10:30, 15:35] = 255
    Image.fromarray(mask).save(folder / "train/abc_m1.png")
    sides = {"BoxXMin": "0.31", "BoxXMax": "0.73", "BoxYMin": "0.25", "BoxYMax": "0.75"}
    write_table(
        folder / "train-annotations-object-segmentation.csv",
        [
            {"MaskPath": "abc_m1.png", "ImageID": "abc", "LabelName": "/m/1", **sides},
            {"MaskPath": "abc_m2.png", "ImageID": "abc", "LabelName": "/m/1", **sides, "BoxXMin": "0.0"},
        ],
    )
    (folder / "class-descriptions-boxable.csv").write_text("/m/1,Tortoise\n/m/2,Tree\n")
    licence = "https://creativecommons.org/licenses/by/2.0/"
    write_table(
        folder / "image_ids.csv",
        [
            {
                "ImageID": "abc",
                "License": licence,
                "Author": "Ann",
                "Title": "Slow",
                "OriginalLandingURL": "http://x",
            }
        ],
    )
    report, library = make(folder)
    (info,) = library.assets()
    assert (info.name, info.licence, info.attribution) == ("tortoise", "CC-BY-2.0", "Slow, by Ann, http://x")
    assert dict(report.skipped) == {"truncated": 1}
    # The mask is half as large as its photograph.
    assert info.width == pytest.approx(42, abs=2)
    (folder / "train/abc_m1.png").unlink()
    with pytest.raises(DataError, match=r"needs abc_m1\.png, which is nowhere below"):
        make(folder)
    (folder / "class-descriptions-boxable.csv").write_text("/m/2,Tree\n")
    with pytest.raises(DataError, match="is of class /m/1, which no class-descriptions table names"):
        make(folder)


def test_a_licence_that_nobody_says(coco: tuple[Path, dict[str, Any]]) -> None:
    path, tree = coco
    path.write_text(json.dumps({**tree, "licenses": []}))
    with pytest.raises(DataError, match="nobody says the licence of annotation 10"):
        make(path)
    _, library = make(path, rights=Rights("CC0-1.0"))
    assert {info.licence for info in library.assets()} == {"CC0-1.0"}
