"""Every format, written by the tool that people write it with, comes back as the same samples."""

import csv
import json
import tarfile
from collections.abc import Callable, Sequence
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from tiny_pictures import picture, png

from dreamomni.data.external.formats import detect_format
from dreamomni.data.external.table import TableSet
from dreamomni.errors import DataError
from dreamomni.tasks.geometry import Size

Put = Callable[[str, bytes | str], Path]
EDITS = [
    {"source": 2 * number, "target": 2 * number + 1, "words": f"make it number {number}"}
    for number in range(5)
]


def jsonl(rows: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def check_edits(samples: TableSet, count: int = 5) -> None:
    assert len(samples) == count
    bucket = Size(*reversed(samples[0].target.shape[:2]))
    for index in range(count):
        sample, edit = samples[index], EDITS[index]
        assert (sample.task, sample.kind, sample.index) == ("edit", "edit", index)
        assert sample.instruction == edit["words"]
        for pixels, number in ((sample.images[0], edit["source"]), (sample.target, edit["target"])):
            expected = np.asarray(picture(int(number)).resize(bucket)).astype(int)
            assert np.abs(pixels.astype(int) - expected).mean() < 4
        shape = samples.shape(index)
        assert shape == ("edit", bucket, (bucket,))
    assert len({samples[index].key for index in range(count)}) == count
    assert all("." not in samples[index].key for index in range(count))
    with pytest.raises(IndexError):
        samples[count]


@pytest.mark.parametrize("form", ["jsonl", "json", "csv", "tsv"])
def test_text_tables_with_paths(put: Put, form: str) -> None:
    for number in range(10):
        put(f"pictures/{number}.png", png(number))
    rows = [
        {
            "source_image": f"pictures/{edit['source']}.png",
            "edited_image": f"pictures/{edit['target']}.png",
            "edit_prompt": edit["words"],
        }
        for edit in EDITS
    ]
    if form == "jsonl":
        path = put("edits.jsonl", jsonl(rows).replace("\n", "\n\n", 2))
    elif form == "json":
        path = put("edits.json", json.dumps(rows))
    else:
        buffer = StringIO()
        writer = csv.DictWriter(buffer, list(rows[0]), dialect="excel" if form == "csv" else "excel-tab")
        writer.writeheader()
        writer.writerows(rows)
        path = put(f"edits.{form}", buffer.getvalue())
    samples = TableSet(path, base=64)
    check_edits(samples)
    assert samples.shape(0).target == Size(80, 48)
    assert TableSet(path, base=64, num_samples=2).identity != samples.identity
    if form != "json":
        check_edits(TableSet(path.parent, base=64))


def omni_edit_rows() -> list[dict[str, Any]]:
    return [
        {
            "omni_edit_id": str(number),
            "task": "swap",
            "src_img": {"bytes": png(int(edit["source"])), "path": None},
            "edited_img": {"bytes": png(int(edit["target"])), "path": "x.png"},
            "edited_prompt_list": [edit["words"]],
            "o_score": 9.0,
        }
        for number, edit in enumerate(EDITS)
    ]


def test_parquet_as_omni_edit_ships_it(put: Put) -> None:
    rows = omni_edit_rows()
    for part, name in enumerate(("dev-00000-of-00001", "train-00000-of-00002", "train-00001-of-00002")):
        path = put(f"hub/data/{name}.parquet", b"")
        pq.write_table(pa.Table.from_pylist([rows[:1], rows[:3], rows[3:]][part]), path, row_group_size=2)
    folder = path.parents[1]
    assert detect_format(folder) == "parquet"
    samples = TableSet(folder, base=64)
    check_edits(samples)
    assert samples[4].details["values"] == {"omni_edit_id": "4", "task": "swap", "o_score": 9.0}
    assert len(TableSet(folder, base=64, split="dev")) == 1
    assert len(TableSet(folder, base=64, split="all")) == 6
    with pytest.raises(DataError, match="no split 'test': it has dev, train"):
        TableSet(folder, base=64, split="test")


def test_what_datasets_saves_to_disk(put: Put) -> None:
    rows = [
        {
            "input_image": picture(int(edit["source"])),
            "edit_prompt": edit["words"],
            "edited_image": picture(int(edit["target"])),
        }
        for edit in EDITS
    ]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    features = datasets.Features(
        input_image=datasets.Image(), edit_prompt=datasets.Value("string"), edited_image=datasets.Image()
    )
    data = datasets.Dataset.from_dict(columns, features=features)
    folder = put("saved/x", "").parent
    data.save_to_disk(folder / "one", num_shards=2)
    check_edits(TableSet(folder / "one", base=64))
    datasets.DatasetDict(train=data, test=data.select([0, 1])).save_to_disk(folder / "two")
    check_edits(TableSet(folder / "two", base=64))
    check_edits(TableSet(folder / "two", base=64, split="test"), 2)
    with pytest.raises(DataError, match="no split 'dev': it has"):
        TableSet(folder / "two", base=64, split="dev")
    data.to_parquet(folder / "three.parquet")
    check_edits(TableSet(folder / "three.parquet", base=64))


def test_webdataset_tars(put: Put) -> None:
    folder = put("tars/x.md", "").parent
    pattern = str(folder / "edits-%03d.tar")
    with webdataset.ShardWriter(pattern, maxcount=2, verbose=0) as writer:
        for number, edit in enumerate(EDITS):
            writer.write(
                {
                    "__key__": f"{number:05d}",
                    "source.png": png(int(edit["source"])),
                    "target.png": png(int(edit["target"])),
                    "txt": edit["words"],
                    "json": {"license": "CC0-1.0", "embedding": [1, 2]},
                    "npy": np.zeros(2),
                }
            )
    assert [path.name for path in sorted(folder.glob("*.tar"))] == [f"edits-00{n}.tar" for n in range(3)]
    samples = TableSet(folder, base=64)
    check_edits(samples)
    assert samples[0].licences == ("CC0-1.0",)
    assert samples[2].key == "edits-001-00002"
    assert len(TableSet(folder / "edits-001.tar", base=64)) == 2


def test_img2dataset_tars(put: Put) -> None:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for number in range(3):
            record = {"url": "http://x", "caption": f"picture {number}", "width": 96}
            members = {
                "jpg": png(number),
                "txt": f"picture {number}".encode(),
                "json": json.dumps(record).encode(),
            }
            for suffix, content in members.items():
                info = tarfile.TarInfo(f"00000/{number:09d}.{suffix}")
                info.size = len(content)
                tar.addfile(info, BytesIO(content))
    path = put("00000.tar", buffer.getvalue())
    samples = TableSet(path, base=64)
    assert [samples[index].caption for index in range(3)] == ["picture 0", "picture 1", "picture 2"]
    assert samples[0].task == "text_to_image"
    assert samples[0].images == ()
    assert samples[1].details["values"]["url"] == "http://x"


def test_folders_of_pairs(put: Put) -> None:
    for number, edit in enumerate(EDITS):
        put(f"by-name/{number}.source.png", png(int(edit["source"])))
        put(f"by-name/{number}.target.png", png(int(edit["target"])))
        put(f"by-name/{number}.txt", str(edit["words"]))
        put(f"by-folder/input/{number}.png", png(int(edit["source"])))
        put(f"by-folder/output/{number}.PNG", png(int(edit["target"])))
        folder = put(f"by-folder/prompt/{number}.txt", str(edit["words"])).parents[2]
    put("by-folder/README.md", "# nothing")
    assert detect_format(folder / "by-name") == "folder"
    check_edits(TableSet(folder / "by-name", base=64))
    check_edits(TableSet(folder / "by-folder", base=64))


def test_folder_of_captioned_pictures(put: Put, caplog: pytest.LogCaptureFixture) -> None:
    put("a/cat.v2.png", png(1))
    put("a/cat.v2.txt", "a cat")
    put("a/deep/dog.webp", png(2))
    put("a/deep/dog.caption", "a dog")
    put("a/deep/emu.png", png(3))
    put("a/deep/emu.json", json.dumps({"prompt": "an emu", "licence": "CC-BY-4.0"}))
    put("a/notes.txt", "not a caption")
    put("a/.hidden/ape.png", png(4))
    samples = TableSet(put("a/x.md", "").parent, base=64)
    assert {samples[index].caption for index in range(len(samples))} == {"a cat", "a dog", "an emu"}
    assert all(samples[index].instruction == samples[index].caption for index in range(3))
    assert [samples[index].licences for index in range(3)].count(("CC-BY-4.0",)) == 1
    assert "1 texts have no picture, such as 'notes'" in caplog.text


def test_image_folder_of_hugging_face(put: Put) -> None:
    put("hf/train/1.png", png(1))
    put("hf/train/2.png", png(2))
    rows = [
        {"file_name": "1.png", "text": "one"},
        {"file_name": "2.png", "text": "two"},
    ]
    put("hf/train/metadata.jsonl", jsonl(rows))
    put("hf/train/other.jsonl", "no data")
    samples = TableSet(put("hf/train/x.md", "").parent, base=64)
    assert [samples[0].caption, samples[1].caption] == ["one", "two"]
    pair = [{"input_image_file_name": "1.png", "output_image_file_name": "2.png", "edit_prompt": "go"}]
    put("hf/train/metadata.jsonl", jsonl(pair))
    assert TableSet(put("hf/train/x.md", "").parent, base=64)[0].instruction == "go"


def test_shards_of_ours_are_tars_like_others(put: Put) -> None:
    from dreamomni.config import load_recipe
    from dreamomni.data.collage.engine import CollageEngine
    from dreamomni.data.collage.recipe import CollageRecipe
    from dreamomni.data.shards.members import encode_sample

    engine = CollageEngine(load_recipe("mini-world", CollageRecipe))
    made = [engine.sample(0, index) for index in range(6)]
    path = put("ours.tar", b"")
    with webdataset.TarWriter(str(path)) as writer:
        for sample in made:
            writer.write({"__key__": sample.key, **encode_sample(sample)})
    read = TableSet(path, base=64)
    for index, sample in enumerate(made):
        assert read[index].task == sample.task
        assert read[index].instruction == sample.instruction
        np.testing.assert_array_equal(read[index].target, sample.target)
        for found, expected in zip(read[index].images, sample.images, strict=True):
            np.testing.assert_array_equal(found, expected)
        if sample.mask is not None:
            np.testing.assert_array_equal(read[index].mask, sample.mask)


def test_formats_are_found_by_looking(put: Put) -> None:
    assert detect_format(put("x.tsv", "")) == "csv"
    assert detect_format(put("x.arrow", "")) == "hf"
    with pytest.raises(DataError, match=r"x\.xyz ends in none of"):
        detect_format(put("x.xyz", ""))
    with pytest.raises(DataError, match="there is no file or folder"):
        detect_format(Path("/nowhere/at/all"))
    with pytest.raises(DataError, match="holds no tar, parquet, jsonl, csv or picture file"):
        detect_format(put("empty/x.md", "").parent)
