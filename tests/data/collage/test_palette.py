"""The colours can be told apart, and the conversion that says so is right."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamomni.data.collage.palette import BACKGROUNDS, MINI, PALETTE, delta_e, lab, nearest_colour

channel = st.integers(0, 255)
colour = st.tuples(channel, channel, channel)


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        ((255, 255, 255), (100.0, 0.0, 0.0)),
        ((0, 0, 0), (0.0, 0.0, 0.0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
    ],
)
def test_lab_of_known_colours(rgb, expected):
    assert lab(rgb) == pytest.approx(expected, abs=0.03)


def test_mini_colours_are_pairwise_apart():
    for first, second in itertools.combinations(MINI, 2):
        assert delta_e(MINI[first], MINI[second]) >= 28.0, (first, second)


def test_mini_colours_stand_out_from_every_background():
    for name, background in itertools.product(MINI, BACKGROUNDS):
        assert delta_e(MINI[name], BACKGROUNDS[background]) >= 30.0, (name, background)


def test_all_colours_are_apart():
    for first, second in itertools.combinations(PALETTE, 2):
        assert delta_e(PALETTE[first], PALETTE[second]) >= 28.0, (first, second)


def test_backgrounds_are_pale():
    assert all(lab(rgb)[0] >= 85.0 for rgb in BACKGROUNDS.values())


@pytest.mark.parametrize("name", PALETTE)
def test_a_colour_is_nearest_to_itself(name):
    assert nearest_colour(PALETTE[name]) == (name, 0.0)


def test_nearest_colour_stays_among_the_candidates():
    assert nearest_colour(PALETTE["red"], ["orange", "blue"])[0] == "orange"
    assert nearest_colour((250, 250, 250), BACKGROUNDS)[0] == "white"


@given(colour, colour)
def test_distance_is_symmetric_and_zero_only_for_equals(first, second):
    distance = float(delta_e(first, second))
    assert distance == pytest.approx(float(delta_e(second, first)))
    assert (distance == 0.0) == (first == second)


@given(channel)
def test_grays_have_no_hue(value):
    assert np.abs(lab((value, value, value))[1:]).max() < 1e-9
