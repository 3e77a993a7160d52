"""LoRA training on FLUX.1-Kontext: batches, what the network is told, what learns and what is shipped."""

import math
from pathlib import Path

import pytest
import torch
from diffusers import FluxKontextPipeline
from PIL import Image
from safetensors.torch import load_file
from tiny_dit import losses, metrics, run, state
from tiny_kontext import write_tiny_kontext
from toy_training import toy_recipe

from dreamomni.errors import CheckpointError, ConfigError
from dreamomni.inference.kontext.pipeline import KontextPipeline
from dreamomni.models import adapters
from dreamomni.models.packing import Grid, build_image_ids, pack_latents
from dreamomni.runtime import cpu_generator
from dreamomni.tasks.request import EditRequest
from dreamomni.training.config import TrainRecipe
from dreamomni.training.kontext_task import KontextTask
from dreamomni.training.run import build_task
from dreamomni.training.task import Part

WORLD = """
size: [32x32, 48x32]
names: [star, heart]
colours: [red, blue]
backgrounds: [white]
background_styles: {plain: 1.0}
mixture: {reference_colour: 1.0, single: 0.5}
object_sizes: {1: [0.6, 0.7], 2: [0.42, 0.48]}
arrangement: slots
max_count: 2
held_out: {fraction: 0}
multi_reference: {num_references: {1: 1.0, 2: 0.5}, reference_objects: {1: 1.0}}
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_tiny_kontext(tmp_path_factory.mktemp("kontext"))
    (folder / "world.yaml").write_text(WORLD)
    return folder


def recipe(
    model: Path, max_steps: int = 4, training: dict[str, object] | None = None, **task: object
) -> TrainRecipe:
    base = toy_recipe(decay={"type": "constant"}, sample_every=100).training.model_dump()
    settings = {
        "type": "kontext",
        "data": {"type": "collage", "recipe": str(model / "world.yaml"), "num_samples": 60},
        "base": str(model / "base"),
        "lora": {"name": "edit", "rank": 4},
        "words": "mixed",
        "frozen_precision": "fp32",
        "sample_steps": 2,
    }
    own = {"max_steps": max_steps, "warmup_steps": 0, "batch_size": 2, "learning_rate": 1e-2}
    return TrainRecipe.model_validate(
        {
            "name": "tiny-kontext",
            "task": settings | task,
            "training": base | own | (training or {}),
        }
    )


@pytest.fixture(scope="module")
def task(model: Path, tmp_path_factory: pytest.TempPathFactory) -> KontextTask:
    built = build_task(recipe(model, training={"batch_size": 4}))
    assert isinstance(built, KontextTask)
    torch.manual_seed(0)
    built.prepare(tmp_path_factory.mktemp("run"))
    return built


def test_batches_hold_one_shape_and_the_network_is_told_what_inference_tells_it(
    task: KontextTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = task.networks.transformer
    seen: list[dict[str, torch.Tensor]] = []
    forward = network.forward
    monkeypatch.setattr(network, "forward", lambda **given: seen.append(given) or forward(**given))
    shapes = set()
    for step in range(12):
        batch = task.batch(step)
        shapes.add((batch.target.shape, *(own.shape for own in batch.images)))
        assert len(batch.keys) == 4
        with torch.no_grad():
            output = task.loss(batch, cpu_generator(step))
        given = seen[-1]
        grids = [(own.shape[1] // 16, own.shape[2] // 16) for own in (batch.target, *batch.images)]
        expected = build_image_ids(Grid(*grids[0]), [Grid(*grid) for grid in grids[1:]])
        assert torch.equal(given["img_ids"], expected)
        assert given["hidden_states"].shape[1] == sum(math.prod(grid) for grid in grids)
        assert given["guidance"].tolist() == [3.5] * 4
        assert ((given["timestep"] >= 0) & (given["timestep"] <= 1)).all()
        # Input images are modes of the posterior behind the noise, the same in every step.
        first = math.prod(grids[0])
        for number, image in enumerate(batch.images):
            count = math.prod(grids[1 + number])
            latents = task.networks.autoencoder.encode(image.permute(0, 3, 1, 2) / 127.5 - 1)
            tokens = given["hidden_states"][:, first : first + count]
            torch.testing.assert_close(tokens, pack_latents(latents), atol=5e-3, rtol=5e-3)
            first += count
        assert output.metrics["tflop_per_sample"] > 0
    assert {len(shape) for shape in shapes} >= {1, 3}
    assert len(shapes) >= 4


def test_parts_of_a_step_make_up_its_loss(task: KontextTask) -> None:
    with torch.no_grad():
        whole = task.loss(task.batch(1), cpu_generator(1)).loss
        parts = [task.loss(task.batch(1, Part(n, 2)), cpu_generator(1)).loss for n in range(2)]
    torch.testing.assert_close(sum(parts) / 2, whole, atol=1e-5, rtol=1e-5)


def test_only_the_lora_learns_and_it_is_shipped(model: Path, tmp_path: Path) -> None:
    ours = recipe(model, 12, {"ema_decay": 0.5, "sample_every": 12}, feature_cache={"num_samples": 30})
    before = {path.name: path.read_bytes() for path in (model / "base" / "transformer").iterdir()}
    run(ours, tmp_path)
    saved = state(tmp_path)
    assert saved
    assert all("lora_" in name for name in saved)
    rows = metrics(tmp_path)
    assert all(math.isfinite(row["loss"]) for row in rows)
    assert any("loss_edit" in row for row in rows)
    assert any("loss_text_to_image" in row for row in rows)
    assert before == {path.name: path.read_bytes() for path in (model / "base" / "transformer").iterdir()}

    export = tmp_path / "export"
    assert [path.name for path in export.iterdir()] == ["edit_lora"]
    stored = load_file(export / "edit_lora" / adapters.WEIGHTS_NAME)
    assert {value.dtype for value in stored.values()} == {torch.bfloat16}
    assert all(value.any() for name, value in stored.items() if "lora_B" in name)

    # Our pipeline and diffusers' own read it, every key of it.
    pipe = KontextPipeline.from_pretrained(export, base_model=str(model / "base"))
    pipe.set_progress_bar_config(disable=True)
    assert pipe.adapters == {"edit": True, "generate": False}
    image = Image.new("RGB", (32, 32), "red")
    result = pipe.run(EditRequest(prompt="make it blue", images=(image, image), num_inference_steps=1))
    assert result.provenance.adapter == "edit"
    theirs = FluxKontextPipeline.from_pretrained(str(model / "base"))
    theirs.load_lora_weights(str(export / "edit_lora"), adapter_name="edit")
    found = adapters.weights_of(theirs.transformer, "edit").layers
    assert found.keys() == adapters.read_adapter(export / "edit_lora").layers.keys()
    assert all(
        (layer.up == stored[f"transformer.{path}.lora_B.weight"].float()).all()
        for path, layer in found.items()
    )


def test_it_learns(model: Path, tmp_path: Path) -> None:
    """On one sample, over and over: rates that a real run would not take."""
    task = build_task(recipe(model, lora={"name": "edit", "rank": 8}))
    torch.manual_seed(0)
    task.prepare(tmp_path)
    network = task.networks.transformer
    plain = {n: p.clone() for n, p in network.named_parameters() if "lora_" not in n}
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=2e-3)
    batch, found = task.batch(0), []
    for _ in range(24):
        output = task.loss(batch, cpu_generator(0))
        output.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        found.append(output.loss.item())
    assert found[-1] < 0.8 * found[0]
    assert all(torch.equal(p, plain[n]) for n, p in network.named_parameters() if n in plain)
    with torch.no_grad(), adapters.using(network, None):
        assert task.loss(batch, cpu_generator(0)).loss.item() == pytest.approx(found[0], abs=1e-6)


def test_a_resumed_run_ends_bit_equal(model: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(recipe(model, 4), whole)
    run(recipe(model, 2, {"checkpoint_every": 2}), parts)
    run(recipe(model, 4), parts, resume=True)
    assert losses(whole) == losses(parts)
    ours, theirs = state(whole), state(parts)
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_activation_checkpointing_changes_no_gradient(model: Path, tmp_path: Path) -> None:
    found = []
    for checkpointing in (False, True):
        folder = tmp_path / str(checkpointing)
        run(recipe(model, 2, {"activation_checkpointing": checkpointing}), folder)
        found.append(losses(folder))
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_what_cannot_be_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keeps moments and no text"):
        recipe(model, feature_cache={"text": True})
    with pytest.raises(ValueError, match="task kontext trains a part"):
        TrainRecipe.model_validate(recipe(model).model_dump() | {"validation": [{"prompt": "a"}]})
    odd = model / "odd.yaml"
    odd.write_text(WORLD.replace("[32x32, 48x32]", "[40x32]"))
    with pytest.raises(
        ConfigError, match=r"sizes of the data, such as 40x32, are not in multiples of 16 pixels"
    ):
        build_task(recipe(model, data=str(odd))).prepare(tmp_path / "odd")
    targets = {"name": "edit", "targets": ["attention.to_q"]}
    with pytest.raises(
        ConfigError, match=r"1 of 1 targets fit no linear layer of Flux.*: attention.to_q; there"
    ):
        build_task(recipe(model, lora=targets)).prepare(tmp_path / "targets")
    run(recipe(model, 1), tmp_path / "run")
    other = write_tiny_kontext(tmp_path / "other", seed=1)
    for source, part in ((other, "vae"), (other, "transformer")):
        for path in (source / "base" / part).glob("*.safetensors"):
            (model / "base" / part / path.name).rename(tmp_path / f"{part}-{path.name}")
            path.rename(model / "base" / part / path.name)
        with pytest.raises(CheckpointError, match="base holds other weights than those this run began with"):
            run(recipe(model, 2), tmp_path / "run", resume=True)
        for path in tmp_path.glob(f"{part}-*.safetensors"):
            path.rename(model / "base" / part / path.name.removeprefix(f"{part}-"))
    run(recipe(model, 2), tmp_path / "run", resume=True)
