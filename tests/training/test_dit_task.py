"""The DiT task: every kind of data, slices of a batch, kills and resumes, what it shows and what it ships."""

import json
import logging
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_dit import build_parts, build_vlm, losses, metrics, prepared, run, state, tiny_dit
from toy_training import toy_recipe

from dreamomni.errors import CheckpointError, ConfigError
from dreamomni.models.autoencoder import Autoencoder
from dreamomni.runtime import cpu_generator
from dreamomni.training.config import TrainRecipe
from dreamomni.training.dit_batch import check_shapes
from dreamomni.training.rows import Feed
from dreamomni.training.run import build_task
from dreamomni.training.task import Part

TASKS = ("control", "detect", "drag", "edit", "inpaint", "outpaint", "segment", "subject", "text_to_image")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_parts(tmp_path_factory.mktemp("parts"))


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


@pytest.mark.parametrize("cache", [None, {"num_samples": 200}])
def test_every_task_trains_and_is_exported(parts: Path, tmp_path: Path, cache: object) -> None:
    data = {"type": "collage", "recipe": str(parts / "everything.yaml"), "num_samples": 200}
    recipe = tiny_dit(
        parts,
        24,
        training={"batch_size": 2, "num_workers": 1, "sample_every": 24},
        data=data,
        feature_cache=cache,
        text_encoder_mode="frozen",
        image_dropout=0.2,
        both_dropout=0.1,
        sample_image_guidance_scale=1.5,
    )
    run(recipe, tmp_path)
    rows = metrics(tmp_path)
    logged = {name for row in rows for name in row}
    assert len({f"loss_{task}" for task in TASKS} & logged) >= 6
    assert {"loss_sigma_0.3_0.7", "tflop_per_sample"} <= logged
    assert len({row["tflop_per_sample"] for row in rows}) > 3  # sizes and numbers of images differ
    card = json.loads((tmp_path / "export" / "card.json").read_text())
    assert tuple(card["tasks"]) == TASKS
    assert (card["max_images"], card["base_size"], card["image_guidance_scale"]) == (2, 72, 1.5)
    assert 0 < len(set(card["controls"]) & {"canny", "depth", "segmentation"}) == len(card["controls"])
    weights = load_file(tmp_path / "export" / "transformer" / "diffusion_pytorch_model.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.bfloat16}


def test_a_batch_holds_one_shape_and_is_pure(parts: Path, tmp_path: Path) -> None:
    task = prepared(
        parts,
        tmp_path,
        data={"type": "collage", "recipe": str(parts / "everything.yaml"), "num_samples": 400},
        feature_cache=None,
        image_dropout=0.0,
    )
    shapes = set()
    for step in range(20):
        batch, again = task.batch(step), task.batch(step)
        assert batch.keys == again.keys
        assert torch.equal(batch.target, again.target)
        assert len(batch.keys) == 4
        shapes.add((batch.target.shape, *(image.shape for image in batch.images)))
        own = [task.mixture.sets[0][int(key.rpartition("-")[2])] for key in batch.keys]
        assert [sample.task for sample in own] == batch.tasks
        for row, sample in enumerate(own):
            assert torch.equal(batch.target[row], torch.from_numpy(sample.target))
            assert [image[row].tolist() for image in batch.images] == [i.tolist() for i in sample.images]
    assert len(shapes) >= 4


@pytest.mark.parametrize("mode", ["joint", "frozen"])
def test_parts_of_a_step_make_up_its_loss(parts: Path, tmp_path: Path, mode: str) -> None:
    task = prepared(
        parts, tmp_path, training={"batch_size": 8}, text_encoder_mode=mode, feature_cache={"num_samples": 60}
    )
    for parameter in task.networks.transformer.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))  # the first velocity is 0 for everybody
    for step in range(6):
        whole = task.loss(task.batch(step), cpu_generator(step))
        for count in (2, 4):
            outputs = [
                task.loss(task.batch(step, Part(number, count)), cpu_generator(step))
                for number in range(count)
            ]
            assert [key for output in outputs for key in output.keys] == whole.keys
            mean = sum(output.loss * output.weight for output in outputs) / whole.weight
            torch.testing.assert_close(mean, whole.loss, rtol=1e-5, atol=1e-6)


def test_parts_of_the_data_have_their_shares(parts: Path, tmp_path: Path) -> None:
    other = tmp_path / "edits.yaml"
    other.write_text("size: 32x32\nnames: [star, heart]\nmixture: {remove: 1.0}\nheld_out: {fraction: 0}\n")
    data = [
        {"type": "collage", "recipe": str(parts / "world.yaml"), "weight": 3, "num_samples": 64},
        {"type": "collage", "recipe": str(other), "weight": 1, "num_samples": 64},
    ]
    task = prepared(parts, tmp_path / "run", data=data, feature_cache=None)
    kinds = [task.batches.order.batch(step).feeds for step in range(500)]
    share = sum(int((feeds == 1).sum()) for feeds in kinds) / 2000
    assert abs(share - 0.25) < 0.03
    assert task.card().world is None


def test_what_learns_depends_on_the_mode(parts: Path, tmp_path: Path) -> None:
    frozen = prepared(parts, tmp_path / "frozen", text_encoder_mode="frozen")
    assert list(frozen.modules()) == ["transformer"]
    joint = prepared(parts, tmp_path / "joint", text_encoder_mode="joint")
    encoder = joint.modules()["text_encoder"]
    learning = {name for name, value in encoder.named_parameters() if value.requires_grad}
    assert learning
    assert not any(".visual." in name or ".layers.1." in name for name in learning)
    assert len(joint.blocks()) == len(frozen.blocks()) + 1
    assert joint.pipeline_parts()["transformer"] is joint.networks.transformer


def test_words_and_images_are_dropped_as_often_as_asked(parts: Path, tmp_path: Path) -> None:
    task = prepared(
        parts,
        tmp_path,
        text_encoder_mode="frozen",
        feature_cache={"num_samples": 60, "moments": False},
        text_dropout=0.3,
        image_dropout=0.2,
        both_dropout=0.1,
    )
    null = len(task.batches.null)
    seen = {"both kept": 0, "no words": 0, "no images": 0, "neither": 0}
    for step in range(600):
        batch = task.batch(step)
        if len(task.batches.order.batch(step).key) == 2:
            continue
        images = len(batch.images)
        for row in batch.text.attention_mask.sum(1).tolist():
            short = row <= (6 if images else null)  # 4 image tokens and their borders
            name = ("no words" if short else "both kept") if images else "neither" if short else "no images"
            seen[name] += 1
    total = sum(seen.values())
    shares = {name: count / total for name, count in seen.items()}
    expected = {"both kept": 0.4, "no words": 0.3, "no images": 0.2, "neither": 0.1}
    assert all(abs(shares[name] - share) < 0.06 for name, share in expected.items()), shares


def test_the_ablation_switches_reach_the_network(parts: Path, tmp_path: Path) -> None:
    switches = {"reference_attention": "isolated", "long_skips": False}
    task = prepared(parts, tmp_path / "one", model=switches)
    network = task.networks.transformer
    assert network.config.reference_attention == "isolated"
    assert len(network.fusions) == 0
    assert len(prepared(parts, tmp_path / "two").networks.transformer.fusions) == 2
    network.save_pretrained(tmp_path / "start")
    start = {"init_from": str(tmp_path / "start")}
    again = prepared(parts, tmp_path / "three", model={"reference_attention": "joint"}, **start)
    assert again.networks.transformer.config.reference_attention == "joint"
    with pytest.raises(ConfigError, match=r"model\.long_skips is True, but .* was built with False"):
        prepared(parts, tmp_path / "four", model={"long_skips": True}, **start)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"model": {"depth": 3}}, "model has no setting 'depth'; it has .*variant"),
        ({"model": {"variant": "v9"}}, "variant must be v1, v2 or v3"),
        ({"preset": "giant"}, "no preset 'giant'; the presets are"),
        ({"model": {"text_width": 32}}, "reads 32 text features, but .*vlm has 64"),
        (
            {"model": {"variant": "v1"}, "data": "odd"},
            "1 of 1 sizes of the data, such as 48x48, .* multiples of 32",
        ),
        (
            {"data": {"type": "collage", "recipe": "small", "num_samples": 3}},
            "3 samples cannot fill a batch of 4",
        ),
        ({"feature_cache": {"num_samples": 6}}, "shapes have fewer samples than a batch of 4: of 32x32"),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_step(
    parts: Path, tmp_path: Path, task: dict[str, object], message: str
) -> None:
    (tmp_path / "odd").write_text((parts / "world.yaml").read_text().replace("32x32", "48x48"))
    (tmp_path / "small").write_text((parts / "world.yaml").read_text())
    if task.get("data") == "odd":
        task = {**task, "data": str(tmp_path / "odd")}
    elif "data" in task:
        task = {**task, "data": {**task["data"], "recipe": str(tmp_path / "small")}, "feature_cache": None}
    with pytest.raises(ConfigError, match=message):
        prepared(parts, tmp_path / "run", **task)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"text_dropout": 0.6, "image_dropout": 0.3, "both_dropout": 0.2}, "add up to 1.1"),
        ({"data": []}, "data is empty"),
        ({"feature_cache": {"moments": False, "text": False}}, "keeps nothing"),
        ({"feature_cache": {"text": True}}, "text_encoder_mode is joint"),
        ({"feature_cache": None, "like_lengths": True}, "like_lengths needs a feature_cache"),
    ],
)
def test_impossible_values_are_refused_with_the_recipe(
    parts: Path, task: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_dit(parts, **task)


def test_other_weights_are_refused_when_a_run_goes_on(parts: Path, tmp_path: Path) -> None:
    mine = build_parts(tmp_path / "mine")
    run(tiny_dit(mine, 4), tmp_path / "run")
    build_vlm(mine / "vlm", hidden_size=96)
    with pytest.raises(CheckpointError, match="vlm holds other weights than those this run began with"):
        run(tiny_dit(mine, 6), tmp_path / "run", resume=True)


def test_a_grid_shows_every_task(parts: Path, tmp_path: Path) -> None:
    task = prepared(parts, tmp_path, data=str(parts / "everything.yaml"), feature_cache=None)
    with torch.no_grad():
        grid = task.sample_grid(0)
    assert task.mixture.tasks == TASKS
    # Nine blocks of three columns; text to image has two rows, the others three, subject four.
    assert grid.width == 3 * 96
    assert grid.height == 9 * 14 + (2 + 7 * 3 + 4) * 96


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


def test_a_recipe_without_a_task_of_that_data_says_so(parts: Path) -> None:
    with pytest.raises(ConfigError, match="no recipe at 'nowhere'"):
        build_task(tiny_dit(parts, data="nowhere"))


def test_a_rare_shape_waits_instead_of_being_refused(caplog: pytest.LogCaptureFixture) -> None:
    class Sizes:
        """One sample in forty is wide."""

        def __len__(self) -> int:
            return 400

        def keys(self, indices: np.ndarray) -> list[tuple[int, ...]]:
            return [(64, 16) if index % 40 == 0 else (32, 32) for index in indices.tolist()]

    with caplog.at_level("INFO"):
        check_shapes([cast(Feed, Sizes())], 16)
    assert "1 of 2 shapes have fewer samples than a batch of 16: of 64x16 there are 10 of 400" in caplog.text
    with pytest.raises(ConfigError, match="give more samples, lower batch_size"):
        check_shapes([cast(Feed, Sizes())], 399)
