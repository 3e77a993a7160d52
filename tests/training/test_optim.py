"""Learning rates, optimizers whose state is named tensors, and the average of the weights."""

import itertools
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from toy_training import ToyTask, toy_recipe

from dreamomni.config import load_recipe
from dreamomni.errors import CheckpointError, ConfigError
from dreamomni.training import muon
from dreamomni.training.config import ConstantDecay, CosineDecay, TrainingConfig, TrainRecipe, WsdDecay
from dreamomni.training.ema import Ema
from dreamomni.training.optim import Optimizers, learning_rate, muon_names
from dreamomni.training.task import named_parameters, named_tensors

decays = st.one_of(
    st.just(ConstantDecay()), st.just(CosineDecay()), st.builds(WsdDecay, decay_fraction=st.floats(0.05, 1.0))
)


@given(decay=decays, max_steps=st.integers(2, 400), warmup=st.floats(0, 0.9), final=st.floats(0, 1))
def test_the_rate_rises_then_falls_to_its_last_value(
    decay: ConstantDecay | CosineDecay | WsdDecay, max_steps: int, warmup: float, final: float
) -> None:
    config = TrainingConfig(
        max_steps=max_steps,
        batch_size=1,
        learning_rate=0.5,
        warmup_steps=int(warmup * max_steps),
        decay=decay,
        final_lr_fraction=final,
    )
    rates = [learning_rate(config, step) for step in range(max_steps)]
    rising, falling = rates[: config.warmup_steps], rates[config.warmup_steps :]
    assert all(0 < rate <= 0.5 for rate in rising)
    assert rising == sorted(rising)
    assert all(later <= earlier + 1e-12 for earlier, later in itertools.pairwise(falling))
    if isinstance(decay, ConstantDecay):
        assert set(falling) == {0.5}
    else:
        assert falling[-1] == pytest.approx(0.5 * final)


def test_wsd_holds_the_peak() -> None:
    config = TrainingConfig(max_steps=100, batch_size=1, warmup_steps=10, decay=WsdDecay(decay_fraction=0.2))
    assert all(learning_rate(config, step) == config.learning_rate for step in range(10, 80))
    assert learning_rate(config, 90) < config.learning_rate


@pytest.mark.parametrize("shape", [(24, 16), (16, 40), (12, 12)])
def test_muon_equals_torchs_in_its_precision(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(muon, "native_bf16", lambda device: True)
    draws = torch.Generator().manual_seed(0)
    ours = [nn.Parameter(torch.randn(shape, generator=draws)) for _ in range(2)]
    theirs = [nn.Parameter(p.detach().clone()) for p in ours]
    mine = muon.Muon(ours, lr=1e-2, weight_decay=0.1)
    reference = torch.optim.Muon(theirs, lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(shape, generator=draws)
            b.grad = a.grad.clone()
        mine.step()
        reference.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=2e-4)


def test_orthogonalise_brings_singular_values_near_one() -> None:
    matrices = torch.randn(3, 20, 32, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(muon.orthogonalise(matrices))
    assert values.min() > 0.5
    assert values.max() < 1.4


def built(**settings: object) -> tuple[ToyTask, TrainingConfig]:
    training = toy_recipe(**settings).training
    task = ToyTask(training)
    task.prepare(Path())
    return task, training


def test_muon_takes_only_hidden_matrices() -> None:
    task, _ = built()
    assert muon_names(task.modules()) == ["net.blocks.0.weight", "net.blocks.1.weight"]
    assert muon_names(task.modules(), ("*.blocks.1.*",)) == ["net.blocks.0.weight"]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_state_comes_back_by_name_in_the_layout_of_its_parameter(optimizer: str) -> None:
    task, training = built(optimizer=optimizer)
    optimizers = Optimizers(task.modules(), training)
    task.loss(task.batch(0), torch.Generator().manual_seed(0)).loss.backward()
    optimizers.step()
    saved = {
        name: value.clone(memory_format=torch.contiguous_format)
        for name, value in optimizers.state_tensors().items()
    }
    assert saved["net.first.weight/exp_avg"].abs().sum() > 0
    assert all(parameter.grad is None for parameter in task.net.parameters())
    fresh, _ = built(optimizer=optimizer)
    other = Optimizers(fresh.modules(), training)
    other.load_state_tensors(saved)
    restored = other.state_tensors()
    assert restored.keys() == saved.keys()
    assert all(torch.equal(restored[name], saved[name]) for name in saved)
    assert restored["net.first.weight/exp_avg"].stride() == fresh.net.first.weight.stride()


def test_state_of_another_model_is_refused() -> None:
    task, training = built()
    optimizers = Optimizers(task.modules(), training)
    with pytest.raises(CheckpointError, match="belongs to no parameter"):
        optimizers.load_state_tensors({"net.gone/exp_avg": torch.zeros(3)})
    with pytest.raises(CheckpointError, match=r"shape \(7,\), but the parameter \(3,\)"):
        optimizers.load_state_tensors({"net.last.bias/exp_avg": torch.zeros(7)})


def test_vectors_do_not_decay() -> None:
    task, training = built(weight_decay=0.5)
    optimizers = Optimizers(task.modules(), training)
    before = {name: p.detach().clone() for name, p in optimizers.parameters.items()}
    for parameter in optimizers.parameters.values():
        parameter.grad = torch.zeros_like(parameter)
    optimizers.step()
    for name, parameter in optimizers.parameters.items():
        assert torch.equal(parameter, before[name]) == (parameter.ndim < 2)


def test_tied_weights_are_one_tensor() -> None:
    net = nn.Module()
    net.embed, net.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
    net.head.weight = net.embed.weight
    net.register_buffer("kept", torch.zeros(1))
    net.register_buffer("made", torch.zeros(1), persistent=False)
    assert list(named_tensors({"m": net})) == ["m.embed.weight", "m.kept"]
    net.embed.weight.requires_grad_(False)
    assert named_parameters({"m": net}) == {}


def test_the_average_follows_its_formula_and_goes_out_of_the_way() -> None:
    weight = nn.Parameter(torch.tensor([1.0, -2.0]))
    ema = Ema({"w": weight}, decay=0.9)
    expected = weight.detach().double()
    for step in range(30):
        with torch.no_grad():
            weight += 0.1 * step
        ema.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight.detach().double()
    torch.testing.assert_close(ema.averages["w"].double(), expected, rtol=1e-6, atol=0)
    live = weight.detach().clone()
    with ema.applied():
        assert torch.equal(weight, ema.averages["w"])
    assert torch.equal(weight, live)


def test_impossible_lengths_are_refused() -> None:
    for wrong in ({"warmup_steps": 20}, {"betas": (0.9, 1.0)}, {"max_steps": 0}, {"ema_decay": 1.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            toy_recipe(**wrong)
    with pytest.raises(ConfigError, match="max_step"):
        load_recipe("train/mini-vae", TrainRecipe, ["training.max_step=3"])
