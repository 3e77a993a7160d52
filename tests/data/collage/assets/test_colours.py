"""Colour words for pictures: one, two, or none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamomni.data.collage.assets.colours import measure_colour
from dreamomni.data.collage.palette import PALETTE, delta_e


def striped(*parts: tuple[tuple[int, int, int], int]) -> np.ndarray:
    rows = [np.full((count, 10, 4), (*colour, 255), np.uint8) for colour, count in parts]
    return np.concatenate(rows)


@given(st.sampled_from(sorted(PALETTE)), st.integers(-6, 6))
def test_a_colour_of_the_palette_has_its_word(word: str, off: int) -> None:
    near = tuple(int(np.clip(value + off, 0, 255)) for value in PALETTE[word])
    measured = measure_colour(striped((near, 20)))  # type: ignore[arg-type]
    assert measured.name == word
    assert delta_e(measured.rgb, near) < 1


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        ((("red", 60), ("white", 40)), "red and white"),
        ((("white", 65), ("red", 35)), "white and red"),
        ((("red", 80), ("white", 20)), "red"),
        ((("red", 34), ("white", 33), ("blue", 33)), None),
        ((("red", 45), ("white", 25), ("blue", 30)), None),
    ],
)
def test_shares_decide(parts: tuple[tuple[str, int], ...], name: str | None) -> None:
    assert measure_colour(striped(*((PALETTE[word], count) for word, count in parts))).name == name


def test_a_colour_far_from_all_words_has_none() -> None:
    olive = (120, 120, 0)
    assert min(float(delta_e(olive, rgb)) for rgb in PALETTE.values()) > 32
    measured = measure_colour(striped((olive, 20)))
    assert measured.name is None
    assert measured.rgb == olive


def test_clear_pixels_do_not_count() -> None:
    picture = striped((PALETTE["red"], 10), (PALETTE["blue"], 90))
    picture[10:] //= 4
    assert measure_colour(picture).name == "red"
    assert measure_colour(np.zeros((4, 4, 4), np.uint8)).name is None
