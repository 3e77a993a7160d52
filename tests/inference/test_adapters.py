"""Which LoRA serves which request, and model folders with LoRAs."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_loras import random_lora

from dreamomni import DreamOmniPipeline
from dreamomni.errors import ModelError, RequestError
from dreamomni.inference.adapters import choose_adapter
from dreamomni.inference.loading import hash_model
from dreamomni.models import adapters
from dreamomni.models.adapters import WEIGHTS_NAME, write_adapter
from dreamomni.tasks.request import EditRequest, SubjectRequest, TextToImageRequest, parse_request
from dreamomni.tasks.result import ImageResult

IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
EDIT = {"prompt": "replace the car with a green tree", "num_inference_steps": 2, "guidance_scale": 1}


@pytest.fixture(scope="module")
def folder(every_task_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with both LoRAs."""
    path = tmp_path_factory.mktemp("loras") / "model"
    shutil.copytree(every_task_dir, path)
    network = DreamOmniPipeline.from_pretrained(path).transformer
    write_adapter(path / "edit_lora" / WEIGHTS_NAME, random_lora(network, seed=1))
    write_adapter(path / "gen_lora" / WEIGHTS_NAME, random_lora(network, seed=2, ranks=(2, 4), alpha=3.0))
    return path


@pytest.fixture(scope="module")
def pipe(folder: Path) -> DreamOmniPipeline:
    pipe = DreamOmniPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def edit(count: int, **more: object) -> EditRequest:
    return EditRequest.model_validate({**EDIT, "images": (IMAGE,) * count, **more})


def pixels(result: ImageResult) -> bytes:
    return b"".join(image.tobytes() for image in result.images)


@pytest.mark.parametrize(
    ("request_of", "wanted"),
    [
        (TextToImageRequest(prompt="a star"), None),
        (edit(1), None),
        (edit(2), "edit"),
        (edit(3), "edit"),
        (SubjectRequest(prompt="the star of image 1", images=(IMAGE,)), "generate"),
        (
            parse_request({"task": "inpaint", "prompt": "a", "images": (IMAGE,), "mask": IMAGE.convert("L")}),
            None,
        ),
    ],
)
def test_auto_goes_by_the_request(request_of: EditRequest, wanted: str | None) -> None:
    assert choose_adapter(request_of, ("edit", "generate")) == wanted
    assert choose_adapter(request_of, ()) is None
    forced = request_of.model_copy(update={"adapter": "none"})
    assert choose_adapter(forced, ("edit", "generate")) is None
    forced = request_of.model_copy(update={"adapter": "generate"})
    assert choose_adapter(forced, ("edit", "generate")) == "generate"
    with pytest.raises(RequestError, match=r"no LoRA 'generate' \(it has edit\): leave the adapter to auto"):
        choose_adapter(forced, ("edit",))
    with pytest.raises(RequestError, match=r"no LoRA 'generate' \(it has none\)"):
        choose_adapter(forced, ())


def test_references_bring_the_lora_on_and_all_else_is_the_base(
    pipe: DreamOmniPipeline, every_task_dir: Path
) -> None:
    base = DreamOmniPipeline.from_pretrained(every_task_dir)
    base.set_progress_bar_config(disable=True)
    assert (pipe.adapters, base.adapters) == (
        {"edit": True, "generate": True},
        {"edit": False, "generate": False},
    )
    subject = SubjectRequest(prompt="the star of image 1", images=(IMAGE,), num_inference_steps=2)
    requests = [TextToImageRequest(prompt="a blue house"), edit(1), edit(2, adapter="none"), edit(2), subject]
    ours, theirs = pipe.run_batch(requests), base.run_batch(requests)
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        same = number < 3
        assert (pixels(one) == pixels(other)) is same, number
        assert one.provenance.adapter == (None if same else ("edit" if number == 3 else "generate"))
        assert other.provenance.adapter is None
    assert adapters.active(pipe.transformer) is None
    for number in (3, 4):  # alone as in a batch
        assert pixels(pipe.run(requests[number])) == pixels(ours[number])
    forced = pipe.run(edit(2, adapter="generate"))
    assert forced.provenance.adapter == "generate"
    assert pixels(forced) not in (pixels(ours[3]), pixels(ours[2]))
    assert pipe([EDIT["prompt"]], [[IMAGE, IMAGE]], adapter="none").provenance[0].adapter is None


def test_a_pipeline_leaves_on_what_was_on(folder: Path) -> None:
    pipe = DreamOmniPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    adapters.activate(pipe.transformer, "edit")
    pipe.run(edit(1))
    assert adapters.active(pipe.transformer) == "edit"


def test_loras_are_saved_and_hashed_with_the_model(
    pipe: DreamOmniPipeline, folder: Path, every_task_dir: Path, tmp_path: Path
) -> None:
    before = pixels(pipe.run(edit(2)))
    pipe.save_pretrained(tmp_path / "saved")
    again = DreamOmniPipeline.from_pretrained(tmp_path / "saved")
    again.set_progress_bar_config(disable=True)
    assert again.adapters == pipe.adapters
    difference = np.frombuffer(pixels(again.run(edit(2))), np.uint8).astype(int) - np.frombuffer(
        before, np.uint8
    )
    assert abs(difference).max() <= 1  # weights lie elsewhere in memory
    assert pixels(pipe.run(edit(2))) == before
    assert again.card == pipe.card
    for name in ("edit", "generate"):
        ours, theirs = (adapters.weights_of(p.transformer, name).layers for p in (pipe, again))
        assert ours.keys() == theirs.keys()
        assert all((ours[p].up == theirs[p].up).all() and ours[p].alpha == theirs[p].alpha for p in ours)
    saved = json.loads((tmp_path / "saved" / "model_index.json").read_text())
    assert saved["transformer"] == json.loads((folder / "model_index.json").read_text())["transformer"]
    assert hash_model(folder) != hash_model(every_task_dir)
    assert pipe.model_hash == hash_model(folder)


def test_a_lora_of_another_model_stops_the_load(every_task_dir: Path, tmp_path: Path) -> None:
    from tiny_loras import tiny_flux

    shutil.copytree(every_task_dir, tmp_path / "model")
    write_adapter(tmp_path / "model" / "edit_lora" / WEIGHTS_NAME, random_lora(tiny_flux()))
    with pytest.raises(
        ModelError, match=r"edit_lora does not fit DreamOmniTransformer2DModel: .* it is for FLUX\.1"
    ):
        DreamOmniPipeline.from_pretrained(tmp_path / "model")
