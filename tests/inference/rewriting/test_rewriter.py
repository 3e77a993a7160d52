"""A rewriter trusts no answer, remembers what it was told, and confuses nothing with anything else."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_kontext import write_tiny_qwen

from dreamomni.errors import ModelError
from dreamomni.inference.rewriting.cache import AnswerCache, rewrites_folder
from dreamomni.inference.rewriting.rewriter import Job, Rewriter
from dreamomni.models.chat import Answer, ChatVLM
from dreamomni.models.kontext.resolutions import nearest_kontext_size
from dreamomni.models.vlm import build_mini_vlm
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.standard import standard_edit, wrap

SIZES = {"hidden_size": 32, "num_layers": 2, "num_heads": 2, "num_key_value_heads": 1, "vision_depth": 1}
CONTENT = standard_edit("Put the hat (image_2) on the dog in image_1", "A dog with a hat.")


class Scripted(ChatVLM):
    """A tiny model that is asked as any other and then says what a test wants."""

    says = Answer(wrap(CONTENT), True)

    def reply(
        self,
        prompts: Sequence[str],
        images: Sequence[Sequence[Image.Image]] | None = None,
        *,
        max_new_tokens: int = 512,
    ) -> list[Answer]:
        self.asked = [*getattr(self, "asked", []), (prompts[0], [i.size for i in (images or [[]])[0]])]
        super().reply(prompts, images, max_new_tokens=1)
        return [self.says] * len(prompts)


def picture(width: int = 32, height: int = 32, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


PAIR = (picture(), picture(seed=1))


@pytest.fixture
def vlm() -> Scripted:
    encoder = build_mini_vlm(["put the hat on the dog"], **SIZES)
    return Scripted(encoder.model, encoder.processor)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rewriter")
    torch.manual_seed(0)
    write_tiny_qwen(folder)
    return folder


@pytest.fixture(autouse=True)
def cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_good_answer_becomes_the_prompt(vlm: Scripted) -> None:
    done = Rewriter(vlm).rewrite("put that hat there", PAIR, task="edit")
    assert done.prompt == done.revised_prompt == CONTENT
    assert (done.warnings, done.repairs, done.answer) == ((), (), wrap(CONTENT))
    assert vlm.asked == [("put that hat there It is editing task.", [(32, 32), (32, 32)])]
    Rewriter(vlm).rewrite("a hat", PAIR, task="generate")
    assert vlm.asked[-1][0] == "a hat It is generation task."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("I cannot help with that.", "neither"),
        (wrap(CONTENT.replace("image_2", "image_3")), "names image_3, but there are 2 images"),
        ("<gen> [instruction]: Put the", "first sentence"),
    ],
)
def test_an_unusable_answer_leaves_the_users_words(vlm: Scripted, text: str, said: str) -> None:
    vlm.says = Answer(text, True)
    done = Rewriter(vlm).rewrite("put that hat there", PAIR, task="edit")
    assert (done.prompt, done.revised_prompt, done.answer) == ("put that hat there", None, text)
    assert len(done.warnings) == 1
    assert said in done.warnings[0]
    assert "read as it stands" in done.warnings[0]


def test_an_answer_that_was_cut_off_is_not_taken_for_whole(vlm: Scripted) -> None:
    vlm.says = Answer("[instruction]: Put the hat (image_2) on the", False)
    assert Rewriter(vlm).rewrite("that hat", PAIR, task="edit").warnings
    vlm.says = Answer(f"{CONTENT} It stan", False)
    assert Rewriter(vlm).rewrite("that hat", PAIR, task="edit").prompt == CONTENT


def test_a_request_that_the_vlm_cannot_read_is_left_as_it_is(vlm: Scripted) -> None:
    done = Rewriter(vlm).rewrite("a " * 5000, PAIR, task="edit")
    assert done.revised_prompt is None
    assert "tokens" in done.warnings[0]


def test_images_are_shown_whole_or_as_the_published_release_shows_them(vlm: Scripted) -> None:
    wide = picture(1600, 900)
    Rewriter(vlm).rewrite("that hat", [wide, PAIR[0]], task="edit")
    (width, height), small = vlm.asked[-1][1]
    assert width * height <= 1024 * 1024
    assert width / height == pytest.approx(16 / 9, rel=0.01)
    assert small == (32, 32)
    Rewriter(vlm, official=True).rewrite("that hat", [wide, PAIR[0]], task="edit")
    assert vlm.asked[-1][1] == [nearest_kontext_size(Size(1600, 900)), (1024, 1024)]


def test_a_model_without_files_is_asked_each_time(vlm: Scripted, cache_home: Path) -> None:
    rewriter = Rewriter(vlm)
    for _ in range(2):
        rewriter.rewrite("that hat", PAIR, task="edit")
    assert len(vlm.asked) == 2
    assert not cache_home.exists()


def opened(folder: Path, **options: Any) -> tuple[Rewriter, list[str]]:
    """A rewriter of a real folder, and the words it asks its model with."""
    rewriter, asked = Rewriter.open(folder, **{"max_new_tokens": 6} | options), []
    load = rewriter.load

    def counting(device: str | torch.device | None = None) -> ChatVLM:
        vlm = load(device)
        reply = vlm.reply

        def replying(prompts: Sequence[str], *rest: Any, **more: Any) -> list[Answer]:
            asked.extend(prompts)
            vlm.reply = reply  # type: ignore[method-assign]
            return reply(prompts, *rest, **more)

        vlm.reply = replying  # type: ignore[method-assign]
        return vlm

    rewriter.load = counting  # type: ignore[method-assign]
    return rewriter, asked


def test_answers_are_remembered_also_by_the_next_process(folder: Path) -> None:
    first, asked = opened(folder)
    done = first.rewrite("that hat", PAIR, task="edit")
    assert first.rewrite("that hat", [image.copy() for image in PAIR], task="edit") == done
    assert asked == ["that hat It is editing task."]
    again, asked_again = opened(folder)
    assert again.rewrite("that hat", PAIR, task="edit") == done
    assert (asked_again, again.loaded) == ([], False)


def test_answers_are_shared_by_nothing_else(folder: Path, tmp_path: Path) -> None:
    rewriter, asked = opened(folder)
    changed = picture()
    changed.putpixel((31, 31), (1, 2, 3))
    jobs = [
        ("that hat", PAIR, "edit"),
        ("that hat", PAIR, "generate"),
        ("that hat.", PAIR, "edit"),
        ("that hat", PAIR[::-1], "edit"),
        ("that hat", PAIR[:1], "edit"),
        ("that hat", (changed, PAIR[1]), "edit"),
        ("that hat", (PAIR[0].resize((64, 16)), PAIR[1]), "edit"),
    ]
    for prompt, images, task in jobs:
        rewriter.rewrite(prompt, images, task=task)  # type: ignore[arg-type]
    assert len(asked) == len(jobs)
    for options in ({"max_new_tokens": 7}, {"dtype": torch.bfloat16}, {"official": True}):
        other, asked = opened(folder, **options)
        other.rewrite("that hat", PAIR, task="edit")
        assert len(asked) == 1, options
    copy = shutil.copytree(folder, tmp_path / "other")
    settings = copy / "preprocessor_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"max_pixels": 28 * 28 * 4}))
    other, asked = opened(copy)
    other.rewrite("that hat", PAIR, task="edit")
    assert len(asked) == 1


def test_the_same_words_with_and_without_the_suffix_differ(folder: Path) -> None:
    rewriter, asked = opened(folder)
    rewriter.rewrite("that hat", PAIR, task="edit")
    rewriter.rewrite("that hat It is editing task.", PAIR, task="edit")
    assert len(asked) == 2


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"key": "x", "text": "a", "ended": true}', '{"text": 3}'])
def test_a_damaged_memory_is_no_memory(folder: Path, damage: str) -> None:
    first, _ = opened(folder)
    done = first.rewrite("that hat", PAIR, task="edit")
    (file,) = rewrites_folder().iterdir()
    file.write_text(damage)
    again, asked = opened(folder)
    assert again.rewrite("that hat", PAIR, task="edit") == done
    assert len(asked) == 1
    assert json.loads(file.read_text())["key"] == file.stem


def test_a_cache_that_cannot_be_written_costs_only_time(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    rewriter, asked = opened(folder, cache=AnswerCache(tmp_path / "file" / "below"))
    done = rewriter.rewrite("that hat", PAIR, task="edit")
    assert rewriter.rewrite("that hat", PAIR, task="edit") == done
    assert len(asked) == 1


def test_memory_is_given_back_when_asked(folder: Path) -> None:
    rewriter = Rewriter.open(folder, keep_loaded=False, max_new_tokens=2)
    assert not rewriter.loaded
    rewriter.rewrite_all([Job("a hat", PAIR, "edit"), Job("a dog", PAIR, "generate")])
    assert not rewriter.loaded
    kept = Rewriter.open(folder, max_new_tokens=2)
    kept.rewrite("a tree", PAIR, task="edit")
    assert kept.loaded
    kept.free()
    assert not kept.loaded
    assert kept.load("cpu").model.dtype == torch.float32


def test_what_is_saved_is_opened_again(folder: Path, vlm: Scripted, tmp_path: Path) -> None:
    Rewriter.open(folder).save(tmp_path / "copied")
    assert Rewriter.open(tmp_path / "copied").weights_hash == Rewriter.open(folder).weights_hash
    Rewriter(vlm).save(tmp_path / "written")
    assert Rewriter.open(tmp_path / "written").load().processor.chat_template is None


def test_folders_that_cannot_work_are_refused_before_anything_is_loaded(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json"):
        Rewriter.open(tmp_path)
    copy = shutil.copytree(folder, tmp_path / "bare")
    for path in copy.glob("*.safetensors"):
        path.unlink()
    with pytest.raises(ModelError, match="no weights"):
        Rewriter.open(copy)
    (copy / "tokenizer_config.json").unlink()
    with pytest.raises(ModelError, match="not its processor"):
        Rewriter.open(copy)
