"""A model folder with a rewriter: which requests it rewrites, and what the result says of it."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dreamomni import DreamOmniPipeline
from dreamomni.errors import ModelError, RequestError
from dreamomni.models.chat import Answer, ChatVLM
from dreamomni.models.vlm import build_mini_vlm
from dreamomni.tasks.request import DragRequest, EditRequest, SubjectRequest, TextToImageRequest
from dreamomni.tasks.standard import standard_edit, standard_generation, wrap

SIZES = {"hidden_size": 32, "num_layers": 2, "num_heads": 2, "num_key_value_heads": 1, "vision_depth": 1}
EDIT = standard_edit("Give the red star in image_1 the color of the blue house (image_2).", "A blue star.")
SCENE = standard_generation("A red star (image_1) above a blue house (image_2), on a white background.")


def picture(seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


PAIR = (picture(), picture(1))


@pytest.fixture(scope="module")
def folder(every_task_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "with-rewriter"
    shutil.copytree(every_task_dir, folder)
    build_mini_vlm(["a red star"], **SIZES).save_pretrained(folder / "rewriter")
    return folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The messages that any VLM is asked; its answers are good ones."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    asked: list[str] = []

    def reply(self: ChatVLM, prompts: list[str], *rest: object, **options: object) -> list[Answer]:
        asked.extend(prompts)
        return [Answer(wrap(EDIT if "editing" in prompts[0] else SCENE), True)]

    monkeypatch.setattr(ChatVLM, "reply", reply)
    return asked


@pytest.fixture
def pipe(folder: Path, asked: list[str]) -> DreamOmniPipeline:
    pipe = DreamOmniPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_requests_with_references_are_rewritten_and_no_others(
    pipe: DreamOmniPipeline, asked: list[str]
) -> None:
    assert pipe.rewriter is not None
    assert not pipe.rewriter.loaded
    requests = [
        TextToImageRequest(prompt="a red star"),
        EditRequest(prompt="make it blue", images=PAIR[:1]),
        EditRequest(prompt="make it like that", images=PAIR),
        SubjectRequest(prompt="both of them", images=PAIR),
        EditRequest(prompt="make it like this", images=PAIR, rewrite=False),
        DragRequest(prompt="move it", images=PAIR, drags=((0.2, 0.2, 0.1, 0.1),)),
    ]
    results = pipe.run_batch(requests)
    assert asked == ["make it like that It is editing task.", "both of them It is generation task."]
    revised = [result.provenance.revised_prompt for result in results]
    assert revised == [None, None, EDIT, SCENE, None, None]
    assert [result.provenance.words for result in results[1:4]] == [None, None, None]
    assert [result.provenance.prompt for result in results] == [request.prompt for request in requests]
    assert all(result.provenance.warnings == () for result in results)


def test_the_network_reads_the_revised_words(pipe: DreamOmniPipeline, asked: list[str]) -> None:
    rewritten = pipe.run(EditRequest(prompt="make it like that", images=PAIR))
    said = pipe.run(EditRequest(prompt=EDIT, images=PAIR, rewrite=False))
    own = pipe.run(EditRequest(prompt="make it like that", images=PAIR, rewrite=False))
    assert rewritten.images[0].tobytes() == said.images[0].tobytes()
    assert rewritten.images[0].tobytes() != own.images[0].tobytes()
    raw = pipe("make it like that", list(PAIR), output_type="np")
    assert raw.provenance[0].revised_prompt == EDIT


def test_drags_stay_in_the_words(pipe: DreamOmniPipeline, asked: list[str]) -> None:
    request = EditRequest(prompt="make it like that", images=PAIR, drags=((0.25, 0.25, 0.5, 0.0),))
    provenance = pipe.run(request).provenance
    assert provenance.revised_prompt == EDIT
    assert provenance.words is not None
    assert EDIT in provenance.words
    assert "0.25" in provenance.words


def test_a_bad_answer_is_said_and_the_own_words_are_read(
    pipe: DreamOmniPipeline,
    asked: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad = Answer(wrap(EDIT.replace("image_2", "image_3")), True)
    monkeypatch.setattr(ChatVLM, "reply", lambda *args, **options: [bad])
    with caplog.at_level(logging.WARNING):
        result = pipe.run(EditRequest(prompt="make it like that", images=PAIR))
    assert result.provenance.revised_prompt is None
    (warning,) = result.provenance.warnings
    assert "names image_3, but there are 2 images" in warning
    assert warning in caplog.text
    own = pipe.run(EditRequest(prompt="make it like that", images=PAIR, rewrite=False))
    assert own.images[0].tobytes() == result.images[0].tobytes()


def test_an_image_that_is_not_there_is_refused_before_anything_runs(
    pipe: DreamOmniPipeline, asked: list[str]
) -> None:
    with pytest.raises(RequestError, match="speaks of 'image 3', but the request has 2 images"):
        pipe.run(EditRequest(prompt="make it like image 3", images=PAIR))
    assert asked == []


def test_a_real_untrained_rewriter_does_no_harm(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    pipe = DreamOmniPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    assert pipe.rewriter is not None
    pipe.rewriter.max_new_tokens = 8
    provenance = pipe.run(EditRequest(prompt="make it like that", images=PAIR)).provenance
    assert provenance.revised_prompt is None
    assert len(provenance.warnings) == 1


def test_a_model_may_be_opened_without_its_rewriter(folder: Path, every_task_dir: Path) -> None:
    assert DreamOmniPipeline.from_pretrained(folder, rewriter=False).rewriter is None
    assert DreamOmniPipeline.from_pretrained(every_task_dir).rewriter is None


def test_a_saved_model_keeps_its_rewriter(pipe: DreamOmniPipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path / "saved")
    again = DreamOmniPipeline.from_pretrained(tmp_path / "saved", torch_dtype=torch.bfloat16)
    assert again.rewriter is not None
    assert pipe.rewriter is not None
    assert again.rewriter.weights_hash == pipe.rewriter.weights_hash
    assert again.rewriter.dtype == torch.bfloat16


def test_a_rewriter_without_its_processor_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    for path in (copy / "rewriter").iterdir():
        if path.name.startswith(("tokenizer", "preprocessor", "processor")):
            path.unlink()
    assert json.loads((copy / "rewriter" / "config.json").read_text())
    with pytest.raises(ModelError, match="holds a VLM but not its processor"):
        DreamOmniPipeline.from_pretrained(copy)
