import collections

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamomni.data.collage.draws import Draws


def test_a_stream_repeats_itself_and_differs_from_its_neighbours() -> None:
    def first(*path: str | int) -> list[float]:
        draws = Draws(0, *path)
        return [draws.unit() for _ in range(40)]

    assert first("sample", 1, "layout") == first("sample", 1, "layout")
    assert first("sample", 1, "layout") != first("sample", 1, "words")
    assert first("sample", 1, "layout") != first("sample", 2, "layout")


def test_the_first_draws_are_recorded() -> None:
    draws = Draws(0, "sample", 0, "layout")
    assert [round(draws.unit(), 12) for _ in range(3)] == [0.689221054809, 0.973954066844, 0.14348795831]


@given(st.integers(0, 2**32), st.integers(-50, 50), st.integers(0, 50))
def test_integers_stay_inside_both_ends(seed: int, low: int, span: int) -> None:
    draws = Draws(seed, "integers")
    assert all(low <= draws.integer(low, low + span) <= low + span for _ in range(20))


def test_draws_are_even() -> None:
    draws = Draws(3, "even")
    counts = collections.Counter(draws.integer(1, 6) for _ in range(12_000))
    assert set(counts) == {1, 2, 3, 4, 5, 6}
    assert max(counts.values()) - min(counts.values()) < 300


def test_weights_are_respected_and_zero_is_never_drawn() -> None:
    draws = Draws(4, "weights")
    counts = collections.Counter(draws.weighted({"a": 3.0, "never": 0.0, "b": 1.0}) for _ in range(4000))
    assert set(counts) == {"a", "b"}
    assert counts["a"] / 4000 == pytest.approx(0.75, abs=0.03)


@given(st.integers(0, 2**32), st.lists(st.integers(), max_size=12))
def test_shuffling_keeps_every_item(seed: int, items: list[int]) -> None:
    assert sorted(Draws(seed, "shuffle").shuffled(items)) == sorted(items)
