import json
from pathlib import Path

import pytest
from PIL import Image

from dreamomni.errors import OutputError
from dreamomni.inference.output import (
    REQUEST_KEY,
    check_outputs,
    make_folder,
    output_paths,
    save_result,
)
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.request import EditRequest
from dreamomni.tasks.result import PNG_KEY, ImageResult, Provenance


def test_several_outputs_are_numbered_from_one() -> None:
    assert output_paths(Path("a/out.png"), 1) == [Path("a/out.png")]
    assert output_paths(Path("a/out.v2.png"), 2) == [Path("a/out.v2-1.png"), Path("a/out.v2-2.png")]


def test_paths_that_cannot_be_written_are_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.png").mkdir()
    for path, words in [
        (tmp_path / "missing" / "out.png", "so make it first"),
        (tmp_path / "file" / "out.png", "is not a folder"),
        (tmp_path / "folder.png", "name a file in it"),
        (tmp_path / "out.jpg", r"out\.png"),
        (tmp_path / "out", r"out\.png"),
        (Path("/proc/out.png"), "no file can be made"),
    ]:
        with pytest.raises(OutputError, match=words):
            check_outputs([path])
    check_outputs([tmp_path / "out.png", tmp_path / "UPPER.PNG"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]


def test_a_folder_is_made_with_its_parents_or_refused(tmp_path: Path) -> None:
    assert make_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="not a directory"):
        make_folder(tmp_path / "file" / "b")


def test_the_picture_carries_request_and_provenance_and_nothing_of_the_input(tmp_path: Path) -> None:
    source = Image.new("RGB", (32, 32), "red")
    source.info["Comment"] = "private"
    request = EditRequest(prompt="gr\u00fcn", images=(source,), seed=3, num_images=2)
    provenance = Provenance(
        model="tiny",
        model_hash="ab",
        task="edit",
        prompt=request.prompt,
        images=("32x32 sha256:00",),
        seed=3,
        size=Size(32, 32),
        num_images=2,
        num_inference_steps=1,
        guidance_scale=1.0,
        versions={},
        licence="Apache-2.0",
    )
    paths = output_paths(tmp_path / "out.png", 2)
    result = ImageResult((Image.new("RGB", (32, 32)), Image.new("RGB", (32, 32), "blue")), provenance)
    save_result(result, request, paths)
    with Image.open(paths[1]) as image:
        texts = dict(image.text)  # type: ignore[attr-defined]
    assert set(texts) == {REQUEST_KEY, PNG_KEY}
    asked = json.loads(texts[REQUEST_KEY])
    assert asked == {
        "task": "edit",
        "prompt": "gr\u00fcn",
        "images": ["32x32 sha256:00"],
        "seed": 4,
    }
    assert Provenance.model_validate_json(texts[PNG_KEY]) == provenance
    assert b"private" not in paths[1].read_bytes()
