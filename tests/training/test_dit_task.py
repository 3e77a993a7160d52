"""The DiT task: its cache, its batches, and a run that is killed with -9 and resumed bit for bit."""

import json
import logging
import os
import signal
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file
from toy_training import toy_recipe

from dreamomni.errors import CheckpointError, ConfigError
from dreamomni.models.autoencoder import MINI_VAE_CONFIG, Autoencoder
from dreamomni.models.vlm import build_mini_vlm
from dreamomni.training.config import TrainRecipe
from dreamomni.training.dit_task import DitTask
from dreamomni.training.hooks import MetricsFile
from dreamomni.training.latent_cache import CHUNK, load_or_build
from dreamomni.training.run import build_task
from dreamomni.training.trainer import train

WORLD = "size: 32x32\nnames: [star, heart]\nmixture: {single: 1.0, add: 1.0}\nheld_out: {fraction: 0}\n"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny autoencoder, a tiny VLM and a tiny world."""
    folder = tmp_path_factory.mktemp("parts")
    (folder / "world.yaml").write_text(WORLD)
    layout = {**MINI_VAE_CONFIG, "block_out_channels": (8, 8, 8, 8)}
    torch.manual_seed(0)
    Autoencoder(AutoencoderKL(**layout)).save_pretrained(folder / "vae")
    sizes = {"hidden_size": 64, "num_heads": 4, "intermediate_size": 64, "num_layers": 2}
    vision = {"vision_width": 32, "vision_depth": 1, "vision_heads": 2}
    build_mini_vlm(["add a red star", "a heart"], vocab_size=320, **sizes, **vision).save_pretrained(
        folder / "vlm"
    )
    return folder


def tiny_dit(parts: Path, max_steps: int, **task: object) -> TrainRecipe:
    settings = {
        "type": "dit",
        "data": str(parts / "world.yaml"),
        "preset": "tiny",
        "autoencoder": str(parts / "vae"),
        "text_encoder": str(parts / "vlm"),
        "text_encoder_mode": "joint",
        "num_cached_samples": 40,
        "sample_steps": 2,
    }
    training = toy_recipe(decay={"type": "constant"}, sample_every=100).training.model_dump()
    return TrainRecipe.model_validate(
        {
            "name": "tiny-dit",
            "task": {**settings, **task},
            "training": {**training, "max_steps": max_steps, "learning_rate": 1e-3},
        }
    )


def run(recipe: TrainRecipe, folder: Path, *, resume: bool = False) -> None:
    hooks = [MetricsFile(folder / "metrics.jsonl", 1)]
    train(recipe, build_task(recipe), folder, resume=resume, hooks=hooks)


def losses(folder: Path) -> dict[int, float]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {row["step"]: row["loss"] for row in rows}


def state(folder: Path) -> dict[str, torch.Tensor]:
    newest = max((folder / "checkpoints").glob("step-*"))
    names = ("modules", "ema", "optimizer")
    return {f"{name}:{k}": v for name in names for k, v in load_file(newest / f"{name}.safetensors").items()}


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_twenty_steps_equal_ten_kill_resume_ten(parts: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run(tiny_dit(parts, 20), whole)
    killed.mkdir()
    pid = os.fork()
    if pid == 0:
        try:
            logging.disable()
            run(tiny_dit(parts, 20), killed)
        except BaseException:  # a forked pytest must never return into pytest
            traceback.print_exc()
        finally:
            os._exit(99)
    deadline = time.monotonic() + 120
    path = killed / "metrics.jsonl"
    while not path.exists() or path.read_bytes().count(b"\n") < 10:
        assert time.monotonic() < deadline, "the run did not get to step 10 in time"
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert not (killed / "export").exists()
    run(tiny_dit(parts, 20), killed, resume=True)
    assert losses(whole) == losses(killed)
    ours, theirs = state(whole), state(killed)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_an_exported_folder_is_a_whole_model(parts: Path, tmp_path: Path) -> None:
    run(tiny_dit(parts, 4), tmp_path / "run")
    export = tmp_path / "run" / "export"
    card = json.loads((export / "card.json").read_text())
    assert card["tasks"] == ["edit", "text_to_image"]
    assert card["base_size"] == 32
    weights = load_file(export / "transformer" / "diffusion_pytorch_model.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.bfloat16}


def prepared(parts: Path, folder: Path, **task: object) -> DitTask:
    recipe = tiny_dit(parts, 5, **task)
    built = build_task(recipe)
    assert isinstance(built, DitTask)
    built.prepare(folder)
    return built


def test_batches_are_pure_and_of_one_shape(parts: Path, tmp_path: Path) -> None:
    task = prepared(parts, tmp_path, prompt_dropout=0.5, image_dropout=0.0)
    kinds = set()
    for step in range(12):
        batch, again = task.batch(step), task.batch(step)
        assert batch.keys == again.keys
        assert all(torch.equal(batch.inputs[name], again.inputs[name]) for name in batch.inputs)
        assert batch.image_moments.shape[1] == (1 if batch.kind == "edit" else 0)
        assert ("pixel_values" in batch.inputs) == (batch.kind == "edit")
        kinds.add(batch.kind)
    assert kinds == {"edit", "text_to_image"}


def test_frozen_means_that_only_the_network_learns(parts: Path, tmp_path: Path) -> None:
    assert list(prepared(parts, tmp_path, text_encoder_mode="frozen").modules()) == ["transformer"]
    joint = prepared(parts, tmp_path, text_encoder_mode="joint").modules()["text_encoder"]
    learning = {name for name, value in joint.named_parameters() if value.requires_grad}
    assert learning
    assert not any(".visual." in name or ".layers.1." in name for name in learning)


def test_the_cache_holds_what_the_autoencoder_says(parts: Path, tmp_path: Path) -> None:
    task = prepared(parts, tmp_path)
    group = task.groups[-1]
    assert group.num_images == 1
    number = int(np.nonzero([kind == "add" for kind in group.kinds])[0][3])
    sample = next(
        task.engine.sample(seed_of(task), index)
        for index in range(40)
        if task.engine.sample(seed_of(task), index).key == group.keys[number]
    )
    assert group.prompts[number] == sample.instruction
    assert np.array_equal(group.image_pixels[number, 0].numpy(), sample.images[0])
    pixels = torch.from_numpy(sample.target.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        moments = task.autoencoder.encode_moments(pixels)
    torch.testing.assert_close(
        group.target_moments[number : number + 1].float(), moments, rtol=2e-3, atol=2e-3
    )


def seed_of(task: DitTask) -> int:
    from dreamomni.seeding import derive_seed

    return derive_seed(task.training.seed, "data")


def test_an_interrupted_cache_goes_on_and_another_is_refused(parts: Path, tmp_path: Path) -> None:
    task = prepared(parts, tmp_path / "run")
    folder = tmp_path / "cache"
    arguments = {"seed": 3, "identity": {"data": "a"}, "num_workers": 0}
    whole = load_or_build(folder, task.engine, task.autoencoder, num_samples=20, **arguments)
    chunk = folder / "chunk-00000000.safetensors"
    before = chunk.read_bytes()
    (folder / "manifest.json").unlink()
    chunk.unlink()
    again = load_or_build(folder, task.engine, task.autoencoder, num_samples=20, **arguments)
    assert [group.keys for group in again] == [group.keys for group in whole]
    assert len(chunk.read_bytes()) == len(before)
    assert CHUNK > 20
    arguments["identity"] = {"data": "b"}
    with pytest.raises(CheckpointError, match="other data"):
        load_or_build(folder, task.engine, task.autoencoder, num_samples=20, **arguments)


def test_several_canvas_sizes_are_refused(parts: Path, tmp_path: Path) -> None:
    world = tmp_path / "two.yaml"
    world.write_text(WORLD.replace("32x32", "[32x32, 64x32]"))
    with pytest.raises(ConfigError, match="2 canvas sizes"):
        build_task(tiny_dit(parts, 5, data=str(world)))


def test_tasks_that_no_network_knows_are_refused(parts: Path, tmp_path: Path) -> None:
    world = tmp_path / "drags.yaml"
    world.write_text(WORLD.replace(", add: 1.0", ", add: 1.0, drag_move: 1.0"))
    with pytest.raises(ConfigError, match="draws drag_move, but training knows only"):
        build_task(tiny_dit(parts, 5, data=str(world)))


def test_only_an_autoencoder_of_the_same_latents_can_be_shipped(parts: Path, tmp_path: Path) -> None:
    other = Autoencoder.from_pretrained(parts / "vae")
    torch.nn.init.zeros_(other.model.decoder.conv_out.weight)
    other.save_pretrained(tmp_path / "decoder")
    prepared(parts, tmp_path, export_autoencoder=str(tmp_path / "decoder")).export(tmp_path / "export")
    shipped = Autoencoder.from_pretrained(tmp_path / "export", subfolder="vae")
    assert shipped.model.decoder.conv_out.weight.abs().max() == 0
    other.model.register_to_config(scaling_factor=0.5)
    other.save_pretrained(tmp_path / "decoder")
    with pytest.raises(ConfigError, match=r"scale 0\.5000"):
        prepared(parts, tmp_path, export_autoencoder=str(tmp_path / "decoder")).export(tmp_path / "export")


def test_a_frozen_encoder_keeps_its_weights_and_its_scale(parts: Path, tmp_path: Path) -> None:
    training = toy_recipe(max_steps=4).training.model_dump()
    task = {"type": "autoencoder", "data": str(parts / "world.yaml"), "init_from": str(parts / "vae")}
    recipe = TrainRecipe.model_validate(
        {"name": "decoder", "task": {**task, "freeze_encoder": True}, "training": training}
    )
    run(recipe, tmp_path)
    before, after = (
        Autoencoder.from_pretrained(parts / "vae"),
        Autoencoder.from_pretrained(tmp_path / "export"),
    )
    assert (before.shift, before.scale) == (after.shift, after.scale)
    changed = {
        name.split(".")[0]
        for name, value in after.model.state_dict().items()
        if not torch.equal(value, before.model.state_dict()[name])
    }
    assert changed == {"decoder"}
