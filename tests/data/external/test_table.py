"""What is refused, what is left out, and how pictures of every kind come in."""

import json
import os
import pickle
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw
from tiny_pictures import encode, picture, png

from dreamomni.data.external import decode
from dreamomni.data.external.decode import MAX_PIXELS
from dreamomni.data.external.table import TableSet
from dreamomni.errors import ConfigError, DataError
from dreamomni.tasks.geometry import Size

Put = Callable[[str, bytes | str], Path]
EDIT = {"input_images": ["1.png"], "output_image": "2.png", "instruction": "go", "task_type": "edit"}


@pytest.fixture
def table(put: Put) -> Callable[..., Path]:
    """A JSONL file of rows, beside the pictures 1.png, 2.png and 3.png."""

    def write(*rows: Any) -> Path:
        for number in (1, 2, 3):
            put(f"{number}.png", png(number))
        return put("rows.jsonl", "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows))

    return write


def broken(row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**row, **changes}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "is not JSON"),
        ("[1]", "is a JSON list, not an object"),
        ({"picture": "1.png"}, "no known set of columns fits picture: name yours"),
        (broken(EDIT, output_image=None), "column 'output_image' is empty"),
        (broken(EDIT, output_image=["1.png", "2.png"]), "column 'output_image' holds 2 pictures"),
        (broken(EDIT, output_image=7), "column 'output_image' holds 7, which is no picture"),
        (broken(EDIT, output_image="9.png"), r"9\.png does not exist"),
        (broken(EDIT, output_image="rows.jsonl"), r"target \(.*rows\.jsonl\) is not a PNG, JPEG"),
        (broken(EDIT, output_image="http://x/1.png"), "download the pictures first"),
        (broken(EDIT, instruction=" "), "has no words: column 'instruction' is empty"),
        (broken(EDIT, instruction=4), "column 'instruction' holds 4, which is no text"),
        (broken(EDIT, input_images=[]), "has no input image, but its task is edit"),
        (broken(EDIT, task_type="t2i"), "has 1 input images, but its task is text_to_image"),
        (broken(EDIT, task_type="drag"), "is a drag, and its points are in no column"),
        (
            broken(EDIT, output_image="tall.png"),
            "image 1 is 96x64 and the target 64x96: an edit keeps the shape",
        ),
        (broken(EDIT, output_image="tiny.png"), r"tiny\.png\) is too small: 8x8"),
    ],
)
def test_a_row_that_cannot_be_used(table: Callable[..., Path], put: Put, row: Any, message: str) -> None:
    put("tall.png", png(5, (64, 96)))
    put("tiny.png", png(5, (8, 8)))
    path = table(EDIT, "", row, EDIT)
    with pytest.raises(DataError, match=message) as raised:
        TableSet(path, base=64)
    text = str(raised.value)
    assert text.startswith(f"{path}, line 3: ")
    assert text.endswith("(1 row of 3 cannot be used; `skip_bad: 1` leaves them out, now it is 0)")
    assert "\n" not in text
    samples = TableSet(path, base=64, skip_bad=1)
    assert len(samples) == 2
    assert [samples[0].key, samples[1].key] == ["rows-000000001", "rows-000000004"]
    assert samples.skipped == [text.partition(" (1 row")[0]]


def test_more_bad_rows_than_allowed(table: Callable[..., Path]) -> None:
    path = table(EDIT, *[broken(EDIT, output_image="9.png")] * 3)
    with pytest.raises(
        DataError, match="the first of 3 rows of 4 that cannot be used; `skip_bad: 3` leaves them"
    ):
        TableSet(path, skip_bad=2)
    assert len(TableSet(path, skip_bad=3)) == 1
    with pytest.raises(DataError, match=r"does not exist \(1 row of 1 cannot be used\)"):
        TableSet(table(broken(EDIT, output_image="9.png")), skip_bad=5)


def test_mended_pictures_are_seen_again(table: Callable[..., Path], put: Put, cache: Path) -> None:
    path = table(EDIT, broken(EDIT, output_image="9.png"))
    with pytest.raises(DataError, match=r"9\.png does not exist"):
        TableSet(path)
    put("9.png", png(9))
    assert len(TableSet(path)) == 2
    kept = {file.name: file.stat().st_mtime_ns for file in cache.iterdir()}
    assert len(TableSet(path)) == 2
    assert {file.name: file.stat().st_mtime_ns for file in cache.iterdir()} == kept
    assert sorted(item.name for item in path.parent.iterdir()) == [
        "1.png",
        "2.png",
        "3.png",
        "9.png",
        "rows.jsonl",
    ]


def test_a_changed_table_is_read_again(table: Callable[..., Path]) -> None:
    path = table(EDIT)
    first = TableSet(path)
    os.utime(table(EDIT, broken(EDIT, instruction="stop")), ns=(1, 1))
    second = TableSet(path)
    assert [len(first), len(second)] == [1, 2]
    assert second[1].instruction == "stop"
    assert first.identity != second.identity


def test_a_picture_that_changed_its_size_after_it_was_measured(table: Callable[..., Path], put: Put) -> None:
    path = table(EDIT)
    TableSet(path)
    put("2.png", png(2, (90, 60)))
    with pytest.raises(DataError, match=r"line 1: target is 90x60, but it was 96x64 .* delete .*tables"):
        TableSet(path)[0]


def test_a_damaged_cache_is_made_again(
    table: Callable[..., Path], cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = table(EDIT)
    expected = TableSet(path).identity
    for file in cache.iterdir():
        file.write_bytes(file.read_bytes()[:-40])
    assert TableSet(path).identity == expected
    assert "is damaged" in caplog.text


def test_a_cache_that_cannot_be_written_only_costs_time(
    table: Callable[..., Path], cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")
    assert len(TableSet(table(EDIT))) == 1
    assert "it will be read again next time" in caplog.text


def test_files_that_are_cut_short(table: Callable[..., Path], put: Put) -> None:
    put("short.png", png(4)[:-60])
    path = table(EDIT, broken(EDIT, output_image="short.png"))
    samples = TableSet(path)
    with pytest.raises(
        DataError, match=r"line 2: target \(.*short\.png\) is damaged or cut short.*check: pixels"
    ):
        samples[1]
    with pytest.raises(DataError, match=r"line 2: target .* is damaged or cut short.*skip_bad: 1"):
        TableSet(path, check="pixels")
    assert len(TableSet(path, check="pixels", skip_bad=1)) == 1


def test_empty_and_wrong_data(put: Put) -> None:
    with pytest.raises(DataError, match=r"empty\.jsonl holds no rows"):
        TableSet(put("empty.jsonl", "\n\n"))
    with pytest.raises(DataError, match="there is no file or folder"):
        TableSet("/nowhere.jsonl")
    with pytest.raises(ConfigError, match="there is no format 'xml': the formats are auto, folder, jsonl"):
        TableSet(put("x.jsonl", "{}"), format="xml")
    with pytest.raises(DataError, match=r"x\.parquet cannot be read"):
        TableSet(put("x.parquet", "no parquet"))
    with pytest.raises(DataError, match=r"x\.arrow cannot be read"):
        TableSet(put("x.arrow", "no arrow"))
    with pytest.raises(DataError, match=r"x\.tar is no plain tar"):
        TableSet(put("x.tar", "no tar, but long enough to look like one" * 40))
    with pytest.raises(DataError, match=r"x\.json is a JSON dict, not a list of rows"):
        TableSet(put("x.json", "{}"))
    with pytest.raises(DataError, match="needs a folder"):
        TableSet(put("x.jsonl", "{}"), format="folder")
    with pytest.raises(DataError, match=r"state\.json is not what `save_to_disk`"):
        TableSet(put("x/state.json", "{}").parent)


def test_files_that_vanish_or_cannot_be_opened(table: Callable[..., Path], put: Put) -> None:
    samples = TableSet(table(EDIT))
    samples.path.unlink()
    with pytest.raises(DataError, match="line 1: cannot be read any more: no such file"):
        samples[0]
    (samples.path.parent / "loop.jsonl").symlink_to(samples.path.parent)
    with pytest.raises(DataError, match=r"loop\.jsonl cannot be read: is a directory"):
        TableSet(samples.path.parent / "loop.jsonl", format="jsonl")
    path = put("wide.csv", "image,text\n1.png,a cat, a dog\n")
    with pytest.raises(DataError, match="row 1: has more cells than the header has names"):
        TableSet(path)


def test_too_few_rows_and_rows_without_hope(table: Callable[..., Path], put: Put) -> None:
    with pytest.raises(DataError, match="has 1 rows, not num_samples 2"):
        TableSet(table(EDIT), num_samples=2)
    with pytest.raises(DataError, match="none of the first 512 rows can be used"):
        TableSet(put("many.jsonl", '{"a": 1}\n' * 600), skip_bad=10_000)


def test_a_tar_that_is_cut_short(put: Put) -> None:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in {"1.png": png(1), "1.txt": b"one", "2.png": png(2), "2.txt": b"two"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, BytesIO(content))
    whole = buffer.getvalue()
    assert len(TableSet(put("whole.tar", whole))) == 2
    with pytest.raises(DataError, match=r"short\.tar is no plain tar, or is cut short"):
        TableSet(put("short.tar", whole[: whole.index(b"2.txt") - 700]))


def test_references_keep_their_own_shape(table: Callable[..., Path], put: Put) -> None:
    put("tall.png", png(5, (64, 200)))
    path = table(
        broken(EDIT, input_images=["1.png", "tall.png"]),
        broken(EDIT, input_images=["tall.png", "1.png"], task_type="in_context_generation"),
        {"output_image": "3.png", "instruction": "a picture"},
    )
    samples = TableSet(path, base=64)
    wide, tall = Size(80, 48), Size(32, 112)
    assert samples.shape(0) == ("edit", wide, (wide, tall))
    assert samples.shape(1) == ("subject", wide, (tall, wide))
    assert samples.shape(2) == ("text_to_image", wide, ())
    for index in range(3):
        sample, shape = samples[index], samples.shape(index)
        assert sample.kind == shape.kind
        assert sample.target.shape == (shape.target.height, shape.target.width, 3)
        assert [image.shape[1::-1] for image in sample.images] == [tuple(size) for size in shape.images]


@pytest.mark.parametrize("form", ["grey", "alpha", "painted"])
def test_masks_of_every_kind_lie_where_the_change_is(put: Put, form: str) -> None:
    source = picture(1)
    target, mask = source.copy(), Image.new("L", source.size)
    box = (40, 10, 70, 50)
    ImageDraw.Draw(target).rectangle(box, fill=(255, 0, 255))
    ImageDraw.Draw(mask).rectangle(box, fill=255)
    if form == "alpha":
        mask_file = source.copy()
        mask_file.putalpha(mask.point(lambda value: 255 - value))
    elif form == "painted":
        mask_file = source.copy()
        mask_file.paste((255, 255, 255), mask=mask)
    else:
        mask_file = mask
    rows = [
        {
            "source_img": {"bytes": encode(source), "path": None},
            "mask_img": {"bytes": encode(mask_file), "path": None},
            "target_img": {"bytes": encode(target), "path": None},
            "instruction": "paint it",
        }
    ]
    path = put("magic.parquet", b"")
    pq.write_table(pa.Table.from_pylist(rows), path)
    sample = TableSet(path, base=96)[0]
    assert sample.task == "edit"
    assert sample.mask is not None
    assert sample.mask.shape == sample.target.shape[:2]
    assert set(np.unique(sample.mask)) == {0, 255}
    changed = np.abs(sample.target.astype(int) - sample.images[0]).max(axis=2) > 60
    assert (changed != (sample.mask > 0)).mean() < 0.04
    assert changed.any()


def test_masks_that_mean_nothing(table: Callable[..., Path]) -> None:
    row = {"source": "1.png", "target": "2.png", "prompt": "go"}
    with pytest.raises(DataError, match="a coloured picture that differs from image 1 in 100% of its pixels"):
        TableSet(table({**row, "mask": "3.png"}))[0]
    path = table({**row, "mask": "3.png"})
    Image.open(path.parent / "3.png").resize((48, 48)).save(path.parent / "3.png")
    with pytest.raises(DataError, match="the mask is 48x48, but image 1 is 96x64; make their shapes equal"):
        TableSet(path)


def test_pictures_come_upright_opaque_and_in_8_bits(put: Put) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    put("turned.jpg", encode(picture(1, (64, 96)), "JPEG", exif=exif.tobytes(), quality=95))
    put("turned.txt", "turned")
    clear = picture(2).convert("RGBA")
    clear.putalpha(0)
    put("clear.png", encode(clear))
    put("clear.txt", "clear")
    put("deep.png", encode(Image.fromarray(np.full((64, 96), 40_000, np.uint16))))
    samples = TableSet(put("deep.txt", "deep").parent, base=64)
    found = {samples[index].caption: samples[index].target for index in range(3)}
    assert {pixels.shape for pixels in found.values()} == {(48, 80, 3)}
    assert (found["clear"] == 255).all()
    assert (found["deep"] == round(40_000 / 257)).all()
    upright = np.asarray(picture(1, (64, 96)).transpose(Image.Transpose.ROTATE_270).resize((80, 48))).astype(
        int
    )
    assert np.abs(found["turned"] - upright).mean() < 4


def test_pictures_that_are_too_large_are_refused_by_their_header(
    put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_PIXELS > 50_000_000
    monkeypatch.setattr(decode, "MAX_PIXELS", 6143)
    put("large.png", png(1))
    with pytest.raises(DataError, match="is too large: 96x64 is 6,144 pixels and the limit is 6,143"):
        TableSet(put("large.txt", "a large one").parent)


def test_options_of_the_user(table: Callable[..., Path]) -> None:
    path = table({"pic": "1.png", "was": "2.png", "words": ["do this"], "image": "3.png", "text": "a thing"})
    plain = TableSet(path)[0]
    assert (plain.task, plain.caption, plain.licences) == ("text_to_image", "a thing", ())
    own = TableSet(
        path, columns={"target": "pic", "source": "was", "instruction": "words"}, licence="CC0-1.0"
    )[0]
    assert (own.task, own.instruction, own.licences) == ("edit", "do this", ("CC0-1.0",))
    other = TableSet(path, columns={"target": "pic", "images": ("was", "image"), "instruction": "words"})
    assert len(other[0].images) == 2
    assert TableSet(path, columns={"source": "was"}, task="subject")[0].task == "subject"
    with pytest.raises(DataError, match="there is no column 'nope' for the target"):
        TableSet(path, columns={"target": "nope"})


def test_a_copy_in_another_process_reads_the_same(put: Put) -> None:
    path = put("t2i.parquet", b"")
    rows = [{"image": png(number), "text": f"number {number}"} for number in range(7)]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
    samples = TableSet(path, base=64)
    expected = [samples[index].target for index in range(7)]
    copy = pickle.loads(pickle.dumps(samples))
    assert copy.identity == samples.identity
    for index in (6, 0, 5, 1, 3):
        np.testing.assert_array_equal(copy[index].target, expected[index])
    pid = os.fork()
    if pid == 0:
        os._exit(0 if np.array_equal(samples[4].target, expected[4]) else 1)
    assert os.waitpid(pid, 0)[1] == 0
