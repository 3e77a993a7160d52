import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from hypothesis import given
from hypothesis import strategies as st

from dreamomni.errors import RequestError
from dreamomni.flow.schedule import make_sigmas, shift_for_tokens, shift_sigma

STEPS = st.integers(1, 100)
SHIFTS = st.floats(0.05, 20)


@given(STEPS, SHIFTS)
def test_sigmas_fall_from_one_to_zero(steps: int, shift: float) -> None:
    sigmas = make_sigmas(steps, shift)
    assert len(sigmas) == steps + 1
    assert (sigmas[0], sigmas[-1]) == (1.0, 0.0)
    assert all(before > after for before, after in pairwise(sigmas))


@given(STEPS, SHIFTS)
def test_equal_to_diffusers(steps: int, shift: float) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps))
    np.testing.assert_allclose(make_sigmas(steps, shift), scheduler.sigmas.numpy(), rtol=1e-5, atol=1e-7)


@given(st.floats(0, 1), SHIFTS)
def test_shift_and_its_reciprocal_undo_each_other(sigma: float, shift: float) -> None:
    shifted = shift_sigma(sigma, shift)
    assert 0 <= shifted <= 1 + 1e-12
    assert shift_sigma(shifted, 1 / shift) == pytest.approx(sigma, abs=1e-9)
    assert shift_sigma(sigma, 1.0) == sigma


def test_shift_takes_tensors() -> None:
    torch.testing.assert_close(
        shift_sigma(torch.tensor([0.0, 0.5, 1.0]), 3.0), torch.tensor([0.0, 0.75, 1.0])
    )


def test_shift_for_tokens_goes_through_the_points_of_flux() -> None:
    assert shift_for_tokens(256) == pytest.approx(math.exp(0.5))
    assert shift_for_tokens(4096) == pytest.approx(math.exp(1.15))
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    scheduler.set_timesteps(sigmas=[1.0, 0.5], mu=math.log(shift_for_tokens(1000)))
    assert scheduler.sigmas[1].item() == pytest.approx(shift_sigma(0.5, shift_for_tokens(1000)), rel=1e-5)


@pytest.mark.parametrize(
    ("steps", "shift"), [(0, 1.0), (-3, 1.0), (4, 0.0), (4, -1.0), (4, math.nan), (4, math.inf)]
)
def test_senseless_schedules_are_refused(steps: int, shift: float) -> None:
    with pytest.raises(RequestError):
        make_sigmas(steps, shift)
