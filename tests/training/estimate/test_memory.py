"""The memory table against the tensors of a real step on `mini`, and the arithmetic of sharding."""

from itertools import chain

import pytest
import torch
from torch import Tensor, nn

from dreamomni.models.presets import build_transformer
from dreamomni.training.config import TrainingConfig
from dreamomni.training.ema import Ema
from dreamomni.training.estimate.activations import Saved, saved_bytes
from dreamomni.training.estimate.memory import Memory, optimizer_bytes, step_memory
from dreamomni.training.estimate.networks import Shape, blocks_of, dit_saved
from dreamomni.training.optim import Optimizers
from dreamomni.training.task import named_parameters

SHAPE, BATCH = Shape(20, (8, 8), ((8, 8),)), 2


def config(**changes: object) -> TrainingConfig:
    return TrainingConfig.model_validate({"max_steps": 1, "batch_size": BATCH, "warmup_steps": 0, **changes})


def estimated(training: TrainingConfig, **options: object) -> Memory:
    with torch.device("meta"):
        model = build_transformer("mini")
    saved = dit_saved(model, SHAPE, BATCH, "fp32")
    given = {"processes": 1, "bf16": False, "frozen": 0, **options}
    return step_memory({"transformer": model}, blocks_of(model), saved, training, **given)


def nbytes(tensors: object) -> int:
    return sum(tensor.nbytes for tensor in tensors)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_real_step_of_mini_holds_these_bytes(optimizer: str) -> None:
    training = config(optimizer=optimizer)
    model = build_transformer("mini").train()
    modules: dict[str, nn.Module] = {"transformer": model}
    optimizers, ema = Optimizers(modules, training), Ema(named_parameters(modules), 0.9)
    latents, losses = torch.randn(BATCH, 16, 8, 8), []

    def forward() -> Tensor:
        out = model(latents, torch.rand(BATCH), torch.randn(BATCH, 20, 128), None, [latents]).sample
        losses.append(out.square().mean())
        return losses[-1]

    saved = saved_bytes(forward, [model])
    losses[-1].backward()
    gradients = nbytes(parameter.grad for parameter in model.parameters())
    optimizers.step()
    state = nbytes(tensor for tensor in optimizers.state_tensors().values() if tensor.ndim)

    found = estimated(training)
    assert found.weights == nbytes(model.parameters())
    assert found.gradients == gradients
    assert found.optimizer == state
    assert found.average == nbytes(ema.averages.values())
    assert found.activations == pytest.approx(saved.activations, rel=2e-3)
    assert found.total == sum(found)


def test_shards_and_what_stays_whole() -> None:
    alone = estimated(config())
    sharded = estimated(config(parallel="fsdp"), processes=4)
    for name in ("weights", "gradients", "optimizer", "average"):
        assert getattr(sharded, name) == pytest.approx(getattr(alone, name) / 4, rel=1e-4)
    assert 0 < sharded.weight_copies < alone.weights
    copied = estimated(config(parallel="ddp"), processes=4)
    assert copied == alone
    # Until the last part of a step, gradients are whole.
    parts = estimated(config(parallel="fsdp", gradient_accumulation_steps=2), processes=4)
    assert parts.gradients == sharded.gradients + alone.gradients


def test_checkpointing_and_eight_bits_save_memory() -> None:
    plain, checkpointed = estimated(config()), estimated(config(activation_checkpointing=True))
    assert checkpointed.activations < plain.activations / 2
    with torch.device("meta"):
        modules = {"net": nn.Sequential(nn.Linear(256, 256), nn.Linear(2, 2))}
    sizes = list(chain.from_iterable(module.parameters() for module in modules.values()))
    big, small = sizes[0].numel(), sum(parameter.numel() for parameter in sizes[1:])
    assert optimizer_bytes(modules, config(optimizer="adamw8bit")) == round(
        big * 2 * (1 + 4 / 256) + small * 8
    )


def test_frozen_weights_lie_on_every_gpu() -> None:
    sharded = step_memory(
        {"net": nn.Linear(4, 4, device="meta")}, (), Saved(8, 4, 0), config(parallel="fsdp"), processes=4,
        bf16=True, frozen=100,
    )  # fmt: skip
    assert (sharded.frozen, sharded.activations) == (100, 8)
