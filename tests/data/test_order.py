"""Order as a pure function: exact shares, every sample once an epoch, like lengths together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamomni.data.order import PERIOD, batch_indices, draw_counts, group_of_step
from dreamomni.errors import ConfigError

weights = st.lists(st.floats(0, 10), min_size=1, max_size=4).filter(lambda values: sum(values) > 0.1)


@given(weights, st.integers(0, 500))
def test_counts_add_up_and_are_within_one_of_their_share(values: list[float], total: int) -> None:
    counts = draw_counts(values, total)
    assert sum(counts) == total
    for value, count in zip(values, counts, strict=True):
        assert abs(count - value / sum(values) * total) < 1 + 1e-9


@settings(max_examples=20)
@given(weights, st.integers(0, 2**40))
def test_groups_have_exact_shares_and_are_numbered_without_gaps(values: list[float], seed: int) -> None:
    drawn = [group_of_step(step, values, seed) for step in range(2 * PERIOD)]
    for group, count in enumerate(draw_counts(values, PERIOD)):
        numbers = [nth for number, nth in drawn if number == group]
        assert numbers == list(range(2 * count))


@settings(max_examples=20, deadline=None)
@given(num_samples=st.integers(3, 90), batch_size=st.integers(1, 9), seed=st.integers(0, 99))
def test_every_sample_comes_once_an_epoch(num_samples: int, batch_size: int, seed: int) -> None:
    if num_samples < batch_size:
        return
    lengths = np.arange(num_samples) % 7
    window = 8 * batch_size
    epochs = window  # num_samples * window positions are whole epochs and whole windows
    batches = num_samples * epochs // batch_size
    seen = np.concatenate(
        [batch_indices(num_samples, batch_size, n, seed, lengths) for n in range(min(batches, 400))]
    )
    if batches <= 400:
        assert (np.bincount(seen, minlength=num_samples) == epochs).all()
    again = batch_indices(num_samples, batch_size, 5, seed, lengths)
    assert np.array_equal(again, seen[5 * batch_size : 6 * batch_size])


def test_batches_hold_prompts_of_like_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 20, 1000)
    spread = [np.ptp(lengths[batch_indices(1000, 32, n, 0, lengths)]) for n in range(20)]
    assert np.mean(spread) < 6 < np.ptp(lengths)


def test_bad_numbers_are_refused() -> None:
    for bad in ([], [0, 0], [-1, 2], [float("nan")]):
        with pytest.raises(ConfigError, match="weights"):
            draw_counts(bad, 10)
    with pytest.raises(ConfigError, match="3 samples cannot fill a batch of 4"):
        batch_indices(3, 4, 0, 0, np.ones(3))
