"""The tasks at tiny size: they learn, resume with their caches, and export what others can load."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from toy_training import Losses, toy_recipe

from dreamomni.config import list_recipes, load_recipe
from dreamomni.data.collage.engine import RejectedSampleError
from dreamomni.errors import ConfigError
from dreamomni.models.autoencoder import Autoencoder
from dreamomni.models.vlm import VLMEncoder
from dreamomni.seeding import derive_seed
from dreamomni.training.config import TrainRecipe, identity
from dreamomni.training.run import build_task
from dreamomni.training.task import Part
from dreamomni.training.trainer import train
from dreamomni.training.vlm_task import VlmTask

WORLD = """
size: 32x32
names: [star, heart, fish]
colours: [red, blue]
object_sizes: {1: [0.4, 0.6], 2: [0.35, 0.4]}
mixture: {single: 1.0, two: 1.0, add: 1.0}
max_edit_objects: 1
held_out: {fraction: 0}
"""


def recipe_for(tmp_path: Path, task: dict[str, object], **training: object) -> TrainRecipe:
    (tmp_path / "world.yaml").write_text(WORLD)
    return TrainRecipe(
        name="tiny",
        task={"data": str(tmp_path / "world.yaml"), **task},
        training=toy_recipe(decay={"type": "constant"}, **training).training,
    )


def autoencoder_recipe(tmp_path: Path, **training: object) -> TrainRecipe:
    task = {"type": "autoencoder", "block_out_channels": (8, 8, 8, 8), "num_statistics_images": 32}
    return recipe_for(tmp_path, task, **training)


def vlm_recipe(tmp_path: Path, **training: object) -> TrainRecipe:
    small = {
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 2,
        "num_key_value_heads": 1,
        "intermediate_size": 48,
    }
    small |= {"vision_width": 16, "vision_depth": 1, "vision_heads": 2}
    task = {
        "type": "vlm",
        "num_corpus_texts": 40,
        "vocab_size": 400,
        "num_probe_questions": 4,
        "model": small,
    }
    return recipe_for(tmp_path, task, **training)


def test_the_autoencoder_learns_and_its_export_has_unit_latents(tmp_path: Path) -> None:
    recipe, losses = autoencoder_recipe(tmp_path, max_steps=24, batch_size=8, sample_every=24), Losses()
    task = build_task(recipe)
    outcome = train(recipe, task, tmp_path / "run", resume=False, hooks=[losses])
    assert losses.by_step[24] < 0.8 * losses.by_step[1]
    assert outcome.export is not None
    autoencoder = Autoencoder.from_pretrained(outcome.export)
    pixels = task.batch(1000).pixels
    moments = autoencoder.encode_moments(pixels)
    latents = autoencoder.latents_from_moments(moments, torch.Generator().manual_seed(0))
    assert abs(latents.mean().item()) < 0.1
    assert abs(latents.std().item() - 1) < 0.15
    ema = load_file(tmp_path / "run" / "checkpoints" / "step-00000024" / "ema.safetensors")
    assert torch.equal(ema["vae.encoder.conv_in.weight"], autoencoder.model.encoder.conv_in.weight)


def test_the_vlm_learns_resumes_and_exports(tmp_path: Path) -> None:
    settings = {"batch_size": 8, "sample_every": 12, "checkpoint_every": 6}
    recipe, losses = vlm_recipe(tmp_path, max_steps=12, **settings), Losses()
    outcome = train(recipe, build_task(recipe), tmp_path / "whole", resume=False, hooks=[losses])
    assert losses.by_step[12] < 0.9 * losses.by_step[1]
    assert outcome.export is not None
    short, first, second = vlm_recipe(tmp_path, max_steps=6, **settings), Losses(), Losses()
    train(short, build_task(short), tmp_path / "parts", resume=False, hooks=[first])
    train(recipe, build_task(recipe), tmp_path / "parts", resume=True, hooks=[second])
    assert first.by_step | second.by_step == losses.by_step
    encoder = VLMEncoder.from_pretrained(outcome.export)
    assert encoder(["a red star"]).hidden_states.shape[-1] == encoder.width == 32


@pytest.fixture(scope="module")
def vlm_task(tmp_path_factory: pytest.TempPathFactory) -> VlmTask:
    folder = tmp_path_factory.mktemp("vlm")
    task = build_task(vlm_recipe(folder, batch_size=32))
    assert isinstance(task, VlmTask)
    task.prepare(folder)
    return task


def test_a_conversation_batch_covers_every_form_and_is_pure(vlm_task: VlmTask) -> None:
    batch, again = vlm_task.batch(3), vlm_task.batch(3)
    assert batch.prompts == again.prompts
    assert batch.answers == again.answers
    assert all(torch.equal(one, other) for one, other in zip(batch.images, again.images, strict=True))
    assert sum(batch.image_counts) == len(batch.images)
    assert 0 < len(batch.images) < 32
    assert "Describe the image." in batch.prompts
    assert any(prompt.endswith("?") for prompt in batch.prompts)
    assert all(batch.answers)
    assert vlm_task.batch(4).prompts != batch.prompts


def test_plain_texts_read_as_running_text(vlm_task: VlmTask) -> None:
    batch = vlm_task.batch(0)
    row = batch.image_counts.index(0)
    text = f"{batch.prompts[row]} {batch.answers[row]}".strip()
    tokens = vlm_task.encoder.token_ids([batch.prompts[row]], answers=[batch.answers[row]])
    plain = vlm_task.encoder.token_ids([text])
    assert tokens["input_ids"][0, :-1].tolist() == plain["input_ids"][0].tolist()


def test_the_sheet_scores_the_same_questions_every_time(vlm_task: VlmTask) -> None:
    sheet = vlm_task.sample_grid(1)
    assert sheet is not None
    output = vlm_task.loss(vlm_task.batch(0), torch.Generator())
    assert 0 <= float(output.metrics["answers_right"]) <= 1
    assert vlm_task.sample_grid(2).tobytes() == sheet.tobytes()


def test_an_autoencoder_of_many_canvases_is_refused(tmp_path: Path) -> None:
    recipe = autoencoder_recipe(tmp_path)
    (tmp_path / "world.yaml").write_text(WORLD.replace("32x32", "[32x32, 64x32]"))
    with pytest.raises(ConfigError, match="2 canvas sizes"):
        build_task(recipe)


def test_edits_need_a_world_with_edits(tmp_path: Path) -> None:
    recipe = vlm_recipe(tmp_path)
    (tmp_path / "world.yaml").write_text(WORLD.replace(", add: 1.0", ""))
    with pytest.raises(ConfigError, match=r"mixture\.edit is above 0"):
        build_task(recipe)


def test_a_vlm_reads_every_task_on_canvases_of_several_sizes(tmp_path: Path) -> None:
    recipe = vlm_recipe(tmp_path, batch_size=48)
    more = WORLD.replace("32x32", "[32x32, 64x32]").replace("fish]", "fish, tree, car, cup]")
    world = more.replace(
        "add: 1.0",
        "add: 1.0, text: 1.0, inpaint: 1.0, drag_move: 2.0, canny: 1.0, subject: 12.0, detect: 1.0",
    )
    (tmp_path / "world.yaml").write_text(world)
    task = build_task(recipe)
    assert isinstance(task, VlmTask)
    task.prepare(tmp_path)
    batch = task.batch(0)
    assert sum(batch.image_counts) == len(batch.images)
    assert {tuple(image.shape[:2]) for image in batch.images} == {(32, 32), (32, 64)}
    assert max(batch.image_counts) > 1
    assert all(batch.answers)
    assert torch.isfinite(task.loss(batch, torch.Generator()).loss)


@pytest.mark.parametrize("name", [name for name in list_recipes() if name.startswith("train/")])
def test_shipped_recipes_can_resume_at_another_length(name: str) -> None:
    recipe = load_recipe(name, TrainRecipe)
    assert identity(recipe) == identity(load_recipe(name, TrainRecipe, ["training.max_steps=1000000"]))
    with pytest.raises(ConfigError, match="unknown key"):
        load_recipe(name, TrainRecipe, ["training.surprise=1"])


@pytest.mark.parametrize("make", [autoencoder_recipe, vlm_recipe])
def test_parts_of_a_batch_make_up_the_whole(tmp_path: Path, make: Callable[..., TrainRecipe]) -> None:
    recipe = make(tmp_path, batch_size=8)
    task = build_task(recipe)
    task.prepare(tmp_path)
    whole = task.batch(3)
    parts = [task.batch(3, Part(number, 4)) for number in range(4)]
    assert [key for part in parts for key in part.keys] == list(whole.keys)
    expected = task.loss(whole, torch.Generator().manual_seed(5))
    outputs = [task.loss(part, torch.Generator().manual_seed(5)) for part in parts]
    weights = torch.tensor([output.weight for output in outputs])
    losses = torch.stack([output.loss for output in outputs])
    assert expected.weight in (weights.sum(), 1)
    torch.testing.assert_close((losses * weights).sum() / weights.sum(), expected.loss, rtol=1e-5, atol=0)
    with pytest.raises(ConfigError, match="8 samples does not divide into 3 equal parts"):
        task.batch(3, Part(0, 3))


def test_a_crowded_world_does_not_stop_a_run(tmp_path: Path) -> None:
    world = WORLD.replace("names: [star, heart, fish]", "names: [star]").replace(
        "single: 1.0, two: 1.0", "single: 1.0"
    )
    recipe = autoencoder_recipe(tmp_path, batch_size=64)
    (tmp_path / "world.yaml").write_text(world.replace("add: 1.0", "subject: 1.0"))
    task = build_task(recipe)
    seed = derive_seed(recipe.training.seed, "data")
    rejected = 0
    for index in range(64):
        try:
            task.engine.sample(seed, index)
        except RejectedSampleError:
            rejected += 1
    assert 0 < rejected < 64
    assert task.batch(0).pixels.shape == (64, 3, 32, 32)
