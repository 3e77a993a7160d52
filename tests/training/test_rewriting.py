"""Training a VLM to rewrite: what it is asked, what counts as right, and what comes out of a run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_kontext import write_tiny_qwen
from toy_training import Losses, toy_recipe

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.errors import ConfigError
from dreamomni.models.chat import ChatVLM
from dreamomni.models.processor import IGNORED_LABEL
from dreamomni.models.vlm import VLMEncoder, build_mini_vlm
from dreamomni.tasks.standard import EDIT_SUFFIX, GENERATE_SUFFIX, parse_answer
from dreamomni.training import processes
from dreamomni.training.config import TrainRecipe, VlmTaskConfig
from dreamomni.training.pictures import side_by_side
from dreamomni.training.questions import Question, is_right, rewrite_question
from dreamomni.training.run import build_task
from dreamomni.training.trainer import train
from dreamomni.training.vlm_task import VlmTask

WORLD = """
size: 32x32
names: [star, heart, fish, house]
colours: [red, blue, green]
object_sizes: {1: [0.5, 0.6], 2: [0.4, 0.45], 3: [0.35, 0.4]}
mixture: {reference_add: 1.0, reference_colour: 1.0, subject_scene: 1.0}
max_edit_objects: 2
multi_reference: {reference_objects: {1: 1.0}, num_references: {1: 1.0}}
held_out: {fraction: 0}
"""
SMALL = {
    "hidden_size": 32,
    "num_layers": 2,
    "num_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 48,
    "vision_width": 16,
    "vision_depth": 1,
    "vision_heads": 2,
}


def recipe_for(
    folder: Path, *, world: str = WORLD, task: dict[str, object] | None = None, **training: object
) -> TrainRecipe:
    (folder / "world.yaml").write_text(world)
    settings = {
        "type": "vlm",
        "data": str(folder / "world.yaml"),
        "num_corpus_texts": 40,
        "vocab_size": 420,
        "num_probe_questions": 4,
        "mixture": {"rewrite": 1.0},
        "model": SMALL,
    }
    training = {"max_steps": 12, "batch_size": 8, "decay": {"type": "constant"}} | training
    return TrainRecipe(name="tiny", task=settings | (task or {}), training=toy_recipe(**training).training)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> VlmTask:
    folder = tmp_path_factory.mktemp("rewriting")
    task = build_task(recipe_for(folder))
    assert isinstance(task, VlmTask)
    task.prepare(folder)
    return task


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> CollageEngine:
    folder = tmp_path_factory.mktemp("world")
    recipe_for(folder)
    return CollageEngine(load_recipe(str(folder / "world.yaml"), CollageRecipe), split="train")


def test_the_question_is_the_request_and_the_answer_the_standard_form(engine: CollageEngine) -> None:
    edit, scene = (engine.sample(0, 1, kind) for kind in ("reference_colour", "subject_scene"))
    asked = rewrite_question(edit)
    assert asked.text == edit.instruction + EDIT_SUFFIX
    parsed = parse_answer(asked.answer, len(edit.images), "edit")
    standard = edit.details["standard"]
    assert (parsed.problems, parsed.repairs) == ((), ())
    assert parsed.instruction == standard["instruction"].rstrip(".")
    assert parsed.caption == standard["caption"]
    asked = rewrite_question(scene)
    assert asked.text == scene.instruction + GENERATE_SUFFIX
    assert (
        parse_answer(asked.answer, len(scene.images), "generate").content
        == scene.details["standard"]["caption"]
    )


def test_every_standard_form_of_the_data_is_read_back(engine: CollageEngine) -> None:
    for index in range(24):
        sample = engine.sample(3, index)
        parsed = parse_answer(
            rewrite_question(sample).answer,
            len(sample.images),
            "edit" if sample.task == "edit" else "generate",
        )
        assert (parsed.problems, parsed.repairs) == ((), ()), sample.key


def test_a_rewrite_is_right_when_it_reads_the_same() -> None:
    question = Question(
        "rewrite", "", "<gen> [instruction]: Add the cat (image_2) to image_1, [caption]: A cat. </gen>"
    )
    assert is_right(question, question.answer)
    assert is_right(
        question, "<GEN>[instruction]: Add the cat (image 2) to image_1.\n[caption]: A cat.</GEN>"
    )
    assert not is_right(question, question.answer.replace("image_2", "image_3"))
    assert not is_right(question, "Add the cat")


def test_samples_without_standard_form_are_no_question(engine: CollageEngine) -> None:
    recipe = engine.recipe.model_copy(update={"mixture": {"single": 1.0}})
    with pytest.raises(ValueError, match="kind single has no words"):
        rewrite_question(CollageEngine(recipe, split="train").sample(0, 0))


def test_a_batch_is_pure_and_shows_all_images(task: VlmTask) -> None:
    batch, again = task.batch(1), task.batch(1)
    assert (batch.prompts, batch.answers, batch.keys) == (again.prompts, again.answers, again.keys)
    assert all(count >= 2 for count in batch.image_counts)
    assert sum(batch.image_counts) == len(batch.images)
    assert all(prompt.endswith((EDIT_SUFFIX, GENERATE_SUFFIX)) for prompt in batch.prompts)
    assert all(answer.startswith("<gen> ") and answer.endswith(" </gen>") for answer in batch.answers)
    assert {prompt.endswith(EDIT_SUFFIX) for prompt in batch.prompts} == {True, False}


def test_the_loss_is_on_the_answers_alone(task: VlmTask) -> None:
    batch = task.batch(0)
    inputs = task._inputs(batch)
    for row, answer in enumerate(batch.answers):
        asked = inputs["labels"][row] != IGNORED_LABEL
        said = task.encoder.processor.tokenizer.decode(inputs["input_ids"][row][asked])
        assert said == f" {answer}<|im_end|>"


def test_a_rewriter_learns_and_its_export_is_one_to_talk_to(tmp_path: Path) -> None:
    recipe, losses = recipe_for(tmp_path, sample_every=12), Losses()
    outcome = train(recipe, build_task(recipe), tmp_path / "run", resume=False, hooks=[losses])
    assert losses.by_step[12] < 0.9 * losses.by_step[1]
    assert outcome.export is not None
    vlm = ChatVLM.from_pretrained(outcome.export)
    image = np.zeros((32, 32, 3), np.uint8)
    inputs = vlm.tokenize_pixels(["a"], torch.from_numpy(np.stack([image, image])), [2])
    assert vlm.model(**inputs).logits.isfinite().all()


def test_a_chat_model_is_trained_in_its_own_template(tmp_path: Path) -> None:
    torch.manual_seed(0)
    write_tiny_qwen(tmp_path / "qwen")
    task = build_task(
        recipe_for(tmp_path, task={"init_from": str(tmp_path / "qwen"), "num_probe_questions": 2})
    )
    assert isinstance(task, VlmTask)
    task.prepare(tmp_path)
    assert isinstance(task.encoder, ChatVLM)
    batch = task.batch(0)
    # 32 pixels are no multiple of its 28: they are resized as at inference.
    assert not task.encoder.reads(32, 32)
    row = task.encoder.processor.tokenizer.decode(task._inputs(batch)["input_ids"][0])
    assert f"{batch.prompts[0]}<|im_end|>\n<|im_start|>assistant\n{batch.answers[0]}<|im_end|>" in row
    output = task.loss(batch, torch.Generator())
    output.loss.backward()
    assert output.loss.isfinite()
    assert task.sample_grid(1) is not None
    assert task.blocks()


def test_images_of_other_sizes_are_shown_as_at_inference(tmp_path: Path) -> None:
    torch.manual_seed(0)
    write_tiny_qwen(tmp_path / "qwen")
    task = build_task(recipe_for(tmp_path, task={"init_from": str(tmp_path / "qwen")}))
    assert isinstance(task, VlmTask)
    task.prepare(tmp_path)
    batch = task.batch(0)
    own = [[Image.fromarray(image.numpy()) for image in batch.images[: batch.image_counts[0]]]]
    shown = task.encoder.tokenize(batch.prompts[:1], own, batch.answers[:1])
    patches, grid = task._patches(batch.images[: batch.image_counts[0]])
    assert torch.equal(grid, shown["image_grid_thw"])
    assert torch.equal(patches, shown["pixel_values"])


def test_vision_may_come_from_another_model(tmp_path: Path) -> None:
    other = build_mini_vlm(["a red star"], **SMALL, seed=7)
    other.save_pretrained(tmp_path / "other")
    task = build_task(recipe_for(tmp_path, task={"vision_from": str(tmp_path / "other")}))
    assert isinstance(task, VlmTask)
    task.prepare(tmp_path)
    own, given = (vlm.model.model.visual.state_dict() for vlm in (task.encoder, other))
    assert all(torch.equal(own[name], given[name]) for name in given)
    wider = build_mini_vlm(["a red star"], **{**SMALL, "vision_width": 24}, seed=7)
    wider.save_pretrained(tmp_path / "wider")
    task = build_task(recipe_for(tmp_path, task={"vision_from": str(tmp_path / "wider")}))
    with pytest.raises(ConfigError, match=r"does not fit task\.model"):
        task.prepare(tmp_path / "run")


def test_the_sheet_scores_rewrites(task: VlmTask) -> None:
    sheet = task.sample_grid(1)
    assert sheet is not None
    metrics = task.loss(task.batch(0), torch.Generator()).metrics
    assert 0 <= float(metrics["right_rewrite"]) <= 1


def test_what_is_encoded_for_a_dit_is_not_talked_to(tmp_path: Path) -> None:
    recipe = recipe_for(tmp_path, task={"mixture": {"caption": 1.0}, "num_probe_questions": 0})
    task = build_task(recipe)
    assert isinstance(task, VlmTask)
    task.prepare(tmp_path)
    assert type(task.encoder) is VLMEncoder


def test_data_without_references_cannot_be_rewritten(tmp_path: Path) -> None:
    world = WORLD.replace("reference_add: 1.0, reference_colour: 1.0, subject_scene: 1.0", "add: 1.0")
    with pytest.raises(ConfigError, match=r"draws nothing with several\s+references"):
        build_task(recipe_for(tmp_path, world=world))


def test_a_mixture_of_nothing_and_two_vision_parts_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one weight above 0"):
        VlmTaskConfig(mixture={"rewrite": 0})
    with pytest.raises(ValueError, match="leave vision_from out"):
        VlmTaskConfig(init_from="a", vision_from="b")


def test_sharded_training_needs_pictures_in_every_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_current", processes.World(0, 2))
    mixed = recipe_for(tmp_path, task={"mixture": {"rewrite": 1.0, "text": 0.1}}, parallel="fsdp")
    with pytest.raises(ConfigError, match=r"or mixture\.text: 0"):
        build_task(mixed).prepare(tmp_path)


def test_pictures_stand_side_by_side() -> None:
    one, two = np.zeros((4, 3, 3), np.uint8), np.full((2, 5, 3), 9, np.uint8)
    row = side_by_side([one, two], gap=1)
    assert row.shape == (4, 9, 3)
    assert (row[:, :3] == 0).all()
    assert (row[:2, 4:] == 9).all()
    assert (row[2:, 4:] == 255).all()
    assert side_by_side([one]) is one
