import re
from pathlib import Path

import numpy as np
from PIL import Image

from dreamomni import DreamOmniPipeline
from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import TASK_OF_KIND, CollageRecipe
from dreamomni.inference.gallery import make_exhibits, picture, questions, write_gallery
from dreamomni.inference.gallery.questions import (
    SECTIONS,
    WORDS,
    ask_samples,
    ask_words,
    load_world,
)
from dreamomni.inference.loading import packaged_models
from dreamomni.models.folder import ModelCard, read_card
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.request import REQUESTS

EDITS = SECTIONS[1]


def card(**values: object) -> ModelCard:
    defaults = {"name": "all", "tasks": tuple(REQUESTS), "base_size": 64, "world": "mini-v1", "max_images": 2}
    return ModelCard.model_validate(defaults | values)


def test_the_fixed_prompts_use_the_words_that_they_are_checked_for() -> None:
    engine = CollageEngine(load_recipe("mini-world", CollageRecipe))
    words = {word.removesuffix("s") for prompt in questions.PROMPTS for word in re.findall(r"\w+", prompt)}
    assert words & set(engine.names) == questions.PROMPT_NAMES
    assert words & set(engine.colours) == questions.PROMPT_COLOURS


def test_a_world_without_those_things_is_asked_for_its_own() -> None:
    recipe = load_recipe("mini-world", CollageRecipe, ["names=[apple, boat, cat, key, moon, flower]"])
    prompts = [one.request.prompt for one in ask_words(recipe, 0)]
    assert len(prompts) == len(questions.PROMPTS)
    assert all(re.search("apple|boat|cat|key|moon|flower", prompt) for prompt in prompts)


def test_a_world_of_single_things_is_asked_for_single_things() -> None:
    recipe = load_recipe("mini-v0-single", CollageRecipe)
    prompts = [one.request.prompt for one in ask_words(recipe, 0)]
    assert prompts == list(questions.SINGLE_PROMPTS)
    edits = ask_samples(recipe, EDITS, card(world="mini-v0-single"), 0)
    assert {one.kind for one in edits} == {"add", "remove", "replace"}
    assert all(len(one.request.images) == 1 for one in edits)


def test_a_model_of_words_and_edits_has_the_rows_of_old() -> None:
    old = ModelCard(
        name="mini", tasks=("edit", "text_to_image"), base_size=64, max_images=1, world="mini-v0-slots"
    )
    world = load_world(old)
    assert world == load_recipe("mini-v0-slots", CollageRecipe)
    assert [one.request.prompt for one in ask_words(world, 0)] == list(questions.PROMPTS)
    asked = {section.title: ask_samples(world, section, old, 0) for section in SECTIONS[1:]}
    assert [one.name for one in asked.pop(EDITS.title)] == [
        f"{kind}-{number:02d}" for number in (1, 2, 3) for kind in ("add", "remove", "replace")
    ]
    assert not any(asked.values())


def test_every_task_of_the_card_has_rows_and_no_more_images_than_it_takes() -> None:
    asked = [one for section in SECTIONS[1:] for one in ask_samples(load_world(card()), section, card(), 0)]
    assert {one.request.task for one in asked} == set(REQUESTS) - {"text_to_image"}
    assert {TASK_OF_KIND[one.kind] for one in asked} == {one.request.task for one in asked}
    assert len({one.name for one in asked}) == len(asked)
    subjects = [len(one.request.images) for one in asked if one.kind == "subject"]
    assert subjects == [1, 2, 1, 2]
    assert max(len(one.request.images) for one in asked) == 2
    some = card(tasks=("edit", "drag"))
    tasks = {
        one.request.task
        for section in SECTIONS[1:]
        for one in ask_samples(load_world(some), section, some, 0)
    }
    assert tasks == {"edit", "drag"}


def test_what_is_asked_has_the_truth_for_an_answer() -> None:
    """A model that gave the truth would give the size asked for, and keep what is kept."""
    world = load_world(card())
    for section in SECTIONS[1:]:
        for one in ask_samples(world, section, card(), 0):
            assert one.truth is not None
            assert one.truth.size == (64, 64)
            if one.request.task == "outpaint":
                left, top, right, bottom = one.request.margins
                kept = one.truth.crop((left, top, 64 - right, 64 - bottom))
                assert kept.tobytes() == one.request.images[0].tobytes()  # type: ignore[union-attr]


def test_the_world_is_drawn_at_the_size_of_the_model() -> None:
    assert load_world(card(base_size=128)).size == (Size(128, 128),)
    assert load_world(card(base_size=32)).size == (Size(64, 64),)


def test_the_packaged_model_has_a_world_to_ask() -> None:
    own = read_card(packaged_models()["mini"])
    world = load_world(own)
    assert ask_words(world, 0)
    for section in SECTIONS[1:]:
        assert all(one.request.task in own.tasks for one in ask_samples(world, section, own, 0))


def test_the_gallery_of_every_task_is_written_with_all_its_pictures(
    every_task_pipe: DreamOmniPipeline, tmp_path: Path
) -> None:
    seen: list[tuple[str, int, int]] = []
    exhibits = make_exhibits(every_task_pipe, on_progress=lambda *step: seen.append(step))
    assert {one.request.task for one in exhibits} == set(REQUESTS)
    assert all(one.result.images[0].size == (64, 64) for one in exhibits if one.section is not WORDS)
    for step in {what for what, _, _ in seen}:
        assert [done for what, done, _ in seen if what == step] == list(
            range(next(total for what, _, total in seen if what == step) + 1)
        )
    gallery = write_gallery(exhibits, tmp_path, "tiny <model>")
    page = gallery.page.read_text()
    assert "tiny &lt;model&gt;" in page
    linked = [part.split('"')[0] for part in page.split('<img src="')[1:]]
    assert len(linked) == len(set(linked)) == sum(len(one.pictures) for one in exhibits)
    assert all((tmp_path / name).is_file() for name in linked)
    for section in SECTIONS:
        assert all(f"<h2>{heading}</h2>" in page for heading in section.headings)
    with Image.open(gallery.picture) as whole:
        assert whole.width > 1000


def test_arrows_show_on_the_sources_of_drags() -> None:
    asked = ask_samples(load_world(card()), SECTIONS[3], card(), 0)
    assert asked
    for one in asked:
        (label, shown), plain = one.inputs[0], one.request.images[0]
        assert label == "source"
        assert isinstance(plain, Image.Image)
        changed = np.asarray(shown) != np.asarray(plain.resize(shown.size, Image.Resampling.NEAREST))
        assert 0.001 < changed.any(-1).mean() < 0.2


def test_long_words_are_wrapped_and_cut() -> None:
    font = picture._font(16)
    lines = picture._wrap("many " * 40, font, 100)
    assert len(lines) == picture._MAX_LINES
    assert lines[-1].endswith("...")
    assert all(font.getlength(line) <= 130 for line in lines)
