import math

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from dreamomni.errors import ConfigError
from dreamomni.flow.schedule import shift_for_tokens, shift_sigma
from dreamomni.flow.timesteps import LogitNormal, Shifted, Timesteps, Uniform, draw_sigmas

ALL = [
    Uniform(),
    LogitNormal(),
    LogitNormal(mean=0.5, std=0.7),
    Shifted(shift=3.0),
    Shifted(base=Uniform(), shift=0.5),
]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("config", ALL, ids=str)
def test_sigmas_are_between_data_and_noise_and_reproducible(config: Timesteps) -> None:
    sigmas = draw_sigmas(config, 1000, seeded())
    assert sigmas.shape == (1000,)
    assert sigmas.dtype == torch.float32
    assert ((sigmas >= 0) & (sigmas <= 1)).all()
    assert torch.equal(sigmas, draw_sigmas(config, 1000, seeded()))
    assert not torch.equal(sigmas, draw_sigmas(config, 1000, seeded(1)))


@pytest.mark.parametrize(
    ("config", "median"),
    [
        (Uniform(), 0.5),
        (LogitNormal(mean=1.0), 1 / (1 + math.exp(-1))),
        (Shifted(base=Uniform(), shift=3.0), 0.75),
    ],
)
def test_medians(config: Timesteps, median: float) -> None:
    assert draw_sigmas(config, 20_000, seeded()).median().item() == pytest.approx(median, abs=0.01)


def test_uniform_fills_the_interval_evenly() -> None:
    counts = torch.histc(draw_sigmas(Uniform(), 20_000, seeded()), 10, 0, 1)
    assert (counts - 2000).abs().max() < 200


def test_logit_normal_has_its_mean_and_spread() -> None:
    logits = torch.logit(draw_sigmas(LogitNormal(mean=-0.4, std=1.3), 20_000, seeded()))
    assert logits.mean().item() == pytest.approx(-0.4, abs=0.03)
    assert logits.std().item() == pytest.approx(1.3, abs=0.03)


def test_shift_follows_the_number_of_tokens() -> None:
    expected = shift_sigma(draw_sigmas(LogitNormal(), 8, seeded()), shift_for_tokens(1024))
    assert torch.equal(draw_sigmas(Shifted(), 8, seeded(), num_tokens=1024), expected)
    with pytest.raises(ConfigError, match="number of tokens"):
        draw_sigmas(Shifted(), 8, seeded())


def test_recipes_choose_by_type() -> None:
    adapter = TypeAdapter(Timesteps)
    assert adapter.validate_python({"type": "uniform"}) == Uniform()
    assert adapter.validate_python({"type": "shifted", "base": {"type": "uniform"}, "shift": 2}) == Shifted(
        base=Uniform(), shift=2.0
    )
    for wrong in ({"type": "cosmap"}, {"type": "logit_normal", "std": 0}, {"type": "uniform", "mean": 1}):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)
