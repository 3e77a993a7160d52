"""Error bars: known values, and properties that hold for any outcomes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamomni.evaluation.statistics import (
    Estimate,
    mean_of,
    proportion,
    unweighted_mean,
    wilson_interval,
)

outcomes = st.lists(st.sampled_from([True, False, None]), max_size=60)


def test_wilson_interval_known_values() -> None:
    # Newcombe (1998), table I, method 3: 81 of 263 and 15 of 148 at 95%.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=2e-4)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=2e-4)


def test_wilson_interval_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="3 successes of 2 trials"):
        wilson_interval(3, 2)


def test_a_perfect_score_keeps_a_doubt() -> None:
    estimate = proportion([True] * 50)
    assert estimate.mean == 1.0
    assert estimate.stderr is not None
    assert 0.005 < estimate.stderr < 0.02


def test_one_case_has_no_stderr_and_no_case_no_mean() -> None:
    assert proportion([True]) == Estimate(1.0, None, 1, 0)
    assert proportion([]) == Estimate(None, None, 0, 0)
    assert mean_of([3.0, None]) == Estimate(3.0, None, 1, 1)


@given(outcomes)
def test_an_unscored_case_leaves_the_mean_unchanged(values: list[bool | None]) -> None:
    before, after = proportion(values), proportion([*values, None])
    assert (after.mean, after.stderr, after.num_scored) == (before.mean, before.stderr, before.num_scored)
    assert after.num_unscored == before.num_unscored + 1


@given(outcomes)
def test_stderr_is_half_of_the_wilson_interval(values: list[bool | None]) -> None:
    estimate = proportion(values)
    if estimate.stderr is None or estimate.mean is None:
        return
    low, high = wilson_interval(round(estimate.mean * estimate.num_scored), estimate.num_scored, z=1.0)
    assert estimate.stderr == pytest.approx((high - low) / 2)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=40))
def test_mean_of_matches_the_definition(values: list[float]) -> None:
    estimate = mean_of(values)
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values))
    assert estimate.mean == pytest.approx(mean, abs=1e-9)
    assert estimate.stderr == pytest.approx(spread, abs=1e-6)


def test_overall_weighs_tasks_not_cases() -> None:
    overall = unweighted_mean([Estimate(1.0, 0.03, 1000, 1), Estimate(0.0, 0.04, 10, 2)])
    assert overall.mean == 0.5
    assert overall.stderr == pytest.approx(0.025)
    assert (overall.num_scored, overall.num_unscored) == (1010, 3)


def test_overall_is_unknown_when_a_task_is() -> None:
    assert unweighted_mean([Estimate(1.0, 0.1, 9, 0), Estimate(None, None, 0, 4)]).mean is None
