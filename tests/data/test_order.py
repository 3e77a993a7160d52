"""Order as a pure function: exact shares, every sample once an epoch, one key a batch, nothing lost."""

import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamomni.data import order
from dreamomni.data.order import PERIOD, BatchOrder, DrawStream, draw_counts, permuted
from dreamomni.errors import ConfigError

weights = st.lists(st.floats(0, 10), min_size=1, max_size=4).filter(lambda values: sum(values) > 0.1)


@given(weights, st.integers(0, 500))
def test_counts_add_up_and_are_within_one_of_their_share(values: list[float], total: int) -> None:
    counts = draw_counts(values, total)
    assert sum(counts) == total
    for value, count in zip(values, counts, strict=True):
        assert abs(count - value / sum(values) * total) < 1 + 1e-9


@given(st.integers(1, 3000), st.integers(0, 2**40), st.integers(0, 2**30))
def test_permutations_are_permutations(length: int, seed: int, epoch: int) -> None:
    there = permuted(np.arange(length), np.full(length, epoch), length, seed)
    assert sorted(there) == list(range(length))
    some = np.random.default_rng(seed).integers(0, length, 5)
    epochs = np.array([epoch, epoch, epoch + 1, epoch, epoch])
    again = permuted(some, epochs, length, seed)
    assert np.array_equal(again[epochs == epoch], there[some][epochs == epoch])


def test_permutations_mix_and_differ() -> None:
    places, epoch = np.arange(4096), np.zeros(4096, dtype=int)
    orders = [permuted(places, epoch, 4096, 1), permuted(places, epoch, 4096, 2)]
    orders += [permuted(places, epoch + number, 4096, 1) for number in (1, 2)]
    for number, mixed in enumerate(orders):
        assert abs(np.corrcoef(places, mixed)[0, 1]) < 0.05
        assert abs(np.corrcoef(mixed[:-1], mixed[1:])[0, 1]) < 0.05
        assert (np.diff(mixed) == 1).sum() < 10
        assert all((mixed == other).sum() < 10 for other in orders[:number])
    huge = permuted(np.arange(1000), epoch[:1000], 10**15, 3)
    assert len(set(huge.tolist())) == 1000
    assert huge.max() < 10**15
    assert abs(huge.mean() / 10**15 - 0.5) < 0.05
    # Tiny feeds are mixed too: each of the orders of three samples comes about as often.
    small = permuted(np.tile(np.arange(3), 6000), np.repeat(np.arange(6000), 3), 3, 0).reshape(-1, 3)
    often = Counter(map(tuple, small.tolist()))
    assert len(often) == 6
    assert min(often.values()) > 500


shares = st.lists(st.floats(0.01, 10), min_size=1, max_size=4)


@settings(max_examples=15)
@given(shares, st.integers(0, 2**40), st.data())
def test_draws_have_exact_shares_and_whole_epochs(
    values: list[float], seed: int, data: st.DataObject
) -> None:
    lengths = [data.draw(st.integers(1, 400)) for _ in values]
    stream = DrawStream(lengths, values, seed)
    feeds, indices = stream.draws(0, 2 * PERIOD)
    for feed, length in enumerate(lengths):
        drawn = indices[feeds == feed]
        assert len(drawn) == 2 * draw_counts(values, PERIOD)[feed]
        for first in range(0, len(drawn) - length + 1, length):
            assert sorted(drawn[first : first + length]) == list(range(length))
    first, count = data.draw(st.integers(0, 15_000)), data.draw(st.integers(1, 4000))
    again = stream.draws(first, count)
    assert np.array_equal(again[0], feeds[first : first + count])
    assert np.array_equal(again[1], indices[first : first + count])


def keys_of(feed: int, indices: np.ndarray) -> list[tuple[int, ...]]:
    """Four keys of very unequal shares."""
    return [(feed, 0) if index % 10 < 6 else (7, int(index) % 10) for index in indices]


def lengths_of(feed: int, indices: np.ndarray) -> np.ndarray:
    return indices * 7 % 23


def make(batch_size: int = 8, seed: int = 0, **settings: object) -> BatchOrder:
    stream = DrawStream([3000, 250, 901], [3, 1, 2], seed)
    return BatchOrder(stream, batch_size, keys_of, **settings)  # type: ignore[arg-type]


@settings(max_examples=15)
@given(batch_size=st.integers(1, 70), seed=st.integers(0, 99), sort=st.booleans())
def test_every_draw_ends_in_one_batch_of_its_key(batch_size: int, seed: int, sort: bool) -> None:
    plan = make(batch_size, seed, lengths=lengths_of if sort else None)
    batches = [plan.batch(0)]
    while plan._first + len(plan._planned) < 8 * 1024 // batch_size:
        batches.append(plan.batch(len(batches)))
    batches += [plan.batch(step) for step in range(len(batches), plan._state.step)]
    for batch in batches:
        assert len(batch.feeds) == len(batch.indices) == batch_size
        assert {key for feed in range(3) for key in keys_of(feed, batch.indices[batch.feeds == feed])} == {
            batch.key
        }
    emitted = Counter(
        (int(feed), int(index))
        for batch in batches
        for feed, index in zip(batch.feeds, batch.indices, strict=True)
    )
    waiting = Counter(
        (int(feed), int(index)) for rows in plan._state.waiting.values() for feed, index in rows
    )
    feeds, indices = plan.stream.draws(0, plan._state.window * plan.window)
    assert emitted + waiting == Counter(zip(feeds.tolist(), indices.tolist(), strict=True))
    assert all(len(rows) < batch_size for rows in plan._state.waiting.values())


@settings(max_examples=10)
@given(steps=st.lists(st.integers(0, 600), min_size=1, max_size=6), seed=st.integers(0, 9))
def test_a_batch_does_not_depend_on_what_was_asked_before(steps: list[int], seed: int) -> None:
    straight, jumping = make(seed=seed), make(seed=seed)
    expected = [straight.batch(step) for step in range(max(steps) + 1)]
    for step in steps:
        got = jumping.batch(step)
        assert got.key == expected[step].key
        assert np.array_equal(got.indices, expected[step].indices)
        assert np.array_equal(got.feeds, expected[step].feeds)


def test_within_an_epoch_no_sample_comes_twice_even_across_windows() -> None:
    stream = DrawStream([5000], [1.0], 4)
    plan = BatchOrder(stream, 16, lambda feed, indices: [(int(index) % 3,) for index in indices])
    seen: Counter[int] = Counter()
    for step in range(3 * 5000 // 16):
        seen.update(plan.batch(step).indices.tolist())
        if step % 50 == 0:
            # Some were drawn n times and the others n - 1, give or take what waits.
            assert max(seen.values()) - min(seen[index] for index in range(5000)) <= 2


def test_snapshots_spare_the_way_and_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "_SNAPSHOT_DRAWS", 2 * 1024)
    expected = make()
    remembered = make(snapshots=tmp_path)
    for step in range(900):
        assert np.array_equal(remembered.batch(step).indices, expected.batch(step).indices)
    files = sorted(tmp_path.iterdir())
    assert len(files) >= 3
    looked_up = []

    def counting(feed: int, indices: np.ndarray) -> list[tuple[int, ...]]:
        looked_up.append(len(indices))
        return keys_of(feed, indices)

    resumed = BatchOrder(expected.stream, 8, counting, snapshots=tmp_path)
    assert np.array_equal(resumed.batch(880).indices, expected.batch(880).indices)
    assert sum(looked_up) <= 3 * 1024
    assert np.array_equal(resumed.batch(3).indices, expected.batch(3).indices)
    files[-1].write_text("{")  # only a memory: a damaged one is passed over
    resumed = BatchOrder(expected.stream, 8, counting, snapshots=tmp_path)
    assert np.array_equal(resumed.batch(890).indices, expected.batch(890).indices)
    others = make(seed=1, snapshots=tmp_path)
    assert not np.array_equal(others.batch(880).indices, expected.batch(880).indices)


def test_batches_hold_prompts_of_like_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 20, 4000)
    stream = DrawStream([4000], [1], 0)
    plan = BatchOrder(
        stream,
        32,
        lambda feed, indices: [(0,)] * len(indices),
        lengths=lambda feed, indices: lengths[indices],
    )
    spread = [np.ptp(lengths[plan.batch(step).indices]) for step in range(20)]
    assert np.mean(spread) < 6 < np.ptp(lengths)


def test_a_hundred_million_samples_cost_one_window() -> None:
    looked_up = []

    def keys(feed: int, indices: np.ndarray) -> list[tuple[int, ...]]:
        looked_up.append(len(indices))
        return [(int(index) % 31,) for index in indices]

    start = time.process_time()
    plan = BatchOrder(DrawStream([125_000_000, 12_000_000], [125, 12], 0), 2048, keys)
    assert len(set(plan.batch(0).indices.tolist())) == 2048
    assert time.process_time() - start < 5
    assert sum(looked_up) <= 2 * 32 * 2048


def test_bad_numbers_are_refused() -> None:
    for bad in ([], [0, 0], [-1, 2], [float("nan")]):
        with pytest.raises(ConfigError, match="weights"):
            draw_counts(bad, 10)
    with pytest.raises(ConfigError, match="part 2 of the data has no samples"):
        DrawStream([3, 0], [1, 1], 0)
    with pytest.raises(ConfigError, match=r"weight 1e-05 of 1.00001, which is less than one draw in 10,000"):
        DrawStream([3, 3], [1, 1e-5], 0)
    with pytest.raises(ConfigError, match="a batch of 0 samples"):
        BatchOrder(DrawStream([3], [1], 0), 0, keys_of)
