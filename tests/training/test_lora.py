"""Training a LoRA of our network: what learns, what stays, what is saved, and what is shipped."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_dit import losses, run, state, tiny_dit
from tiny_model import build_tiny_model

from dreamomni import DreamOmniPipeline
from dreamomni.errors import CheckpointError, ConfigError, DataError
from dreamomni.models import adapters
from dreamomni.runtime import cpu_generator
from dreamomni.training.config import TrainRecipe, check_same_run, identity
from dreamomni.training.dit_task import DitTask
from dreamomni.training.run import build_task
from dreamomni.training.trainer import train
from dreamomni.training.words import standard_words, words_of

WORLD = """
size: 32x32
names: [star, heart]
colours: [red, blue]
backgrounds: [white]
background_styles: {plain: 1.0}
mixture: {reference_colour: 1.0}
object_sizes: {1: [0.6, 0.7], 2: [0.42, 0.48]}
arrangement: slots
max_count: 2
held_out: {fraction: 0}
multi_reference: {num_references: {1: 1.0}, reference_objects: {1: 1.0}}
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, in which another LoRA lies already, and a world with references."""
    folder = build_tiny_model(tmp_path_factory.mktemp("lora") / "model", max_images=1)
    network = DreamOmniPipeline.from_pretrained(folder).transformer
    adapters.add_adapter(network, "generate", rank=2)
    weights = adapters.weights_of(network, "generate")
    adapters.write_adapter(folder / "gen_lora" / adapters.WEIGHTS_NAME, weights)
    (folder.parent / "world.yaml").write_text(WORLD)
    return folder


def recipe(
    base: Path, max_steps: int = 5, training: dict[str, object] | None = None, **task: object
) -> TrainRecipe:
    settings = {
        "data": {"type": "collage", "recipe": str(base.parent / "world.yaml"), "num_samples": 60},
        "init_from": str(base / "transformer"),
        "autoencoder": str(base / "vae"),
        "text_encoder": str(base / "text_encoder"),
        "text_encoder_mode": "frozen",
        "feature_cache": {"num_samples": 24},
        "lora": {"name": "edit", "rank": 4},
        "words": "standard",
        "image_dropout": 0.0,
        "text_dropout": 0.0,
    }
    return tiny_dit(base.parent, max_steps, {"warmup_steps": 0, **(training or {})}, **(settings | task))


def mean_loss(task: DitTask, adapter: str | None) -> float:
    """Over the same samples with the same noise."""
    with torch.no_grad(), adapters.using(task.networks.transformer, adapter):
        return sum(task.loss(task.batch(step), cpu_generator(step)).loss.item() for step in range(8))


def test_it_learns_and_only_it_changes_and_it_is_shipped(base: Path, tmp_path: Path) -> None:
    targets = ["attention.to_v", "ffn_image.linear_out", "unpatchify", "modulation_out"]
    ours = recipe(
        base,
        30,
        {"learning_rate": 2e-2, "sample_every": 30, "ema_decay": 0.5},
        lora={"name": "edit", "rank": 4, "targets": targets},
    )
    task = build_task(ours)
    train(ours, task, tmp_path, resume=False)
    before, after = (mean_loss(task, name) for name in (None, "edit"))
    assert after < 0.995 * before  # a random network has little to gain from so few layers
    names = state(tmp_path)
    assert {name.partition(":")[0] for name in names} == {"modules", "ema", "optimizer"}
    assert all("lora_" in name for name in names)

    export = tmp_path / "export"
    for component, file in (
        ("transformer", "diffusion_pytorch_model.safetensors"),
        ("vae", "diffusion_pytorch_model.safetensors"),
        ("text_encoder", "model.safetensors"),
        ("gen_lora", adapters.WEIGHTS_NAME),
    ):
        assert (export / component / file).read_bytes() == (base / component / file).read_bytes()
    stored = load_file(export / "edit_lora" / adapters.WEIGHTS_NAME)
    assert {value.dtype for value in stored.values()} == {torch.bfloat16}
    lora = adapters.read_adapter(export / "edit_lora")
    for path, layer in lora.layers.items():
        assert layer.up.any(), path
        average = names[f"ema:transformer.{path}.lora_B.edit.weight"]
        assert torch.equal(layer.up, average.to(torch.bfloat16))
    card = json.loads((export / "card.json").read_text())
    assert (card["name"], card["max_images"], card["tasks"]) == ("tiny", 2, ["edit", "text_to_image"])
    assert card["training"]["lora"]["lora"] == {
        "name": "edit",
        "rank": 4,
        "alpha": None,
        "targets": targets,
    }
    pipe = DreamOmniPipeline.from_pretrained(export)
    assert pipe.adapters == {"edit": True, "generate": True}
    plain_network = DreamOmniPipeline.from_pretrained(base).transformer
    for network in (plain_network, pipe.transformer):
        adapters.unload(network)
    plain = plain_network.state_dict()
    assert all(torch.equal(value, plain[name]) for name, value in pipe.transformer.state_dict().items())


def test_a_resumed_run_ends_bit_equal(base: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(recipe(base, 8), whole)
    run(recipe(base, 3, {"checkpoint_every": 3}), parts)
    run(recipe(base, 8), parts, resume=True)
    assert {step: loss for step, loss in losses(whole).items()} == losses(parts)
    ours, theirs = state(whole), state(parts)
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_a_base_in_bf16_keeps_a_lora_in_fp32(base: Path, tmp_path: Path) -> None:
    task = build_task(recipe(base, 4, {"batch_size": 1}, feature_cache=None, frozen_precision="bf16"))
    task.prepare(tmp_path)
    output = task.loss(task.batch(0), cpu_generator(0))
    output.loss.backward()
    network = task.networks.transformer
    assert network.text_in.weight.dtype == torch.bfloat16
    for name, parameter in network.named_parameters():
        assert parameter.requires_grad == ("lora_" in name)
        assert (parameter.grad is not None) == parameter.requires_grad
        if parameter.requires_grad:
            assert parameter.dtype == parameter.grad.dtype == torch.float32


def test_what_cannot_be_is_refused(base: Path, tmp_path: Path) -> None:
    for changes, sentence in (
        ({"lora": {"name": "edit"}, "init_from": None}, "lora adapts a trained network and nothing else"),
        ({"text_encoder_mode": "joint"}, "lora adapts a trained network and nothing else"),
        ({"lora": {"name": "other"}}, "lora.name"),
    ):
        with pytest.raises(ValueError, match=sentence):
            recipe(base, **changes)
    targets = recipe(base, lora={"name": "edit", "targets": ["attn.to_q"]})
    with pytest.raises(
        ConfigError, match=r"1 of 1 targets fit no linear layer of Dream.*: attn.to_q; there are"
    ):
        build_task(targets).prepare(tmp_path / "a")
    run(recipe(base, 2), tmp_path / "b")
    other = shutil.copytree(base, tmp_path / "model")
    torch.manual_seed(1)
    network = DreamOmniPipeline.from_pretrained(other).transformer
    with torch.no_grad():
        network.text_in.weight.add_(1)
    with adapters.detached(network):
        network.save_pretrained(other / "transformer")
    moved = recipe(base, 3, init_from=str(other / "transformer"))
    with pytest.raises(CheckpointError, match=r"task.init_from was"):
        run(moved, tmp_path / "b", resume=True)
    shutil.copytree(other / "transformer", tmp_path / "kept")
    swapped = recipe(base, 2, init_from=str(tmp_path / "kept"))
    run(swapped, tmp_path / "c")
    shutil.copytree(base / "transformer", tmp_path / "kept", dirs_exist_ok=True)
    with pytest.raises(CheckpointError, match="kept holds other weights than those this run began with"):
        run(recipe(base, 3, init_from=str(tmp_path / "kept")), tmp_path / "c", resume=True)


def test_words(base: Path, tmp_path: Path) -> None:
    task = build_task(recipe(base))
    samples = [task.mixture.sets[0][index] for index in range(24)]
    standard = [standard_words(sample) for sample in samples]
    assert all(words.startswith("[instruction]: ") and ", [caption]: " in words for words in standard)
    assert [words_of(sample, "user") for sample in samples] == [sample.instruction for sample in samples]
    assert [words_of(sample, "standard") for sample in samples] == standard
    mixed = [words_of(sample, "mixed") for sample in samples]
    assert 4 < sum(own == said for own, said in zip(mixed, standard, strict=True)) < 20
    assert mixed == [words_of(sample, "mixed") for sample in samples]

    keys = set()
    for words in ("user", "standard", "mixed"):
        run(recipe(base, 1, words=words), tmp_path / words)
        keys |= {path.name for path in (tmp_path / words / "features").iterdir()}
    assert len(keys) == 3  # a cache belongs to its words
    (base.parent / "plain.yaml").write_text("size: 32x32\nnames: [star]\nmixture: {single: 1.0}\n")
    plain = recipe(base, data=str(base.parent / "plain.yaml"), feature_cache=None)
    with pytest.raises(
        DataError, match="of kind single has no words in the standard format: say words: user"
    ):
        run(plain, tmp_path / "plain")


def test_a_checkpoint_from_before_these_settings_goes_on(base: Path) -> None:
    now = recipe(base, words="user", lora=None)
    saved = identity(now)
    for name in ("words", "lora"):
        del saved["task"][name]
    check_same_run({"identity": saved}, now)
    with pytest.raises(CheckpointError, match=r"task\.words was None and is 'mixed'"):
        check_same_run({"identity": saved}, recipe(base, words="mixed", lora=None))
