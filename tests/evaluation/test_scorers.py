"""Verdicts from plain facts: GenEval's rules, and what an edit must keep, lose and gain."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamomni.evaluation.expectation import Asked, AskedRelation, Expectation, Known, Seen
from dreamomni.evaluation.scorers import PSNR_CAP, direction_holds, judge, psnr_outside

LEFT, RIGHT, TOP, BOTTOM = (4, 24, 20, 40), (44, 24, 60, 40), (24, 4, 40, 20), (24, 44, 40, 60)


def see(name: str | None, colour: str | None, box: tuple[int, int, int, int], score: float = 0.9) -> Seen:
    return Seen(name=name, colour=colour, box=box, score=score)


def prompt(kind: str, *asked: Asked, relation: AskedRelation | None = None) -> Expectation:
    return Expectation(kind=kind, width=64, height=64, asked=asked, relation=relation)


def edit(kind: str, **facts: object) -> Expectation:
    return Expectation(kind=kind, width=64, height=64, **{"asked": (), **facts})


RED_STAR = Asked(name="star", colour="red")
BLUE_HOUSE = Asked(name="house", colour="blue")


def test_single_object_ignores_colour_and_extras_but_exact_does_not() -> None:
    wanted = prompt("single", Asked(name="star", colour=None))
    assert judge(wanted, [see("star", "red", LEFT)])[:2] == (True, True)
    assert judge(wanted, [see("star", "red", LEFT), see("cat", "blue", RIGHT)])[:2] == (True, False)
    assert judge(wanted, [see("star", "red", LEFT), see(None, None, RIGHT)])[:2] == (True, False)
    assert not judge(wanted, [see("cat", "red", LEFT)]).correct
    assert not judge(wanted, []).correct


def test_colour_is_asked_of_the_most_confident_thing() -> None:
    wanted = prompt("colors", RED_STAR)
    assert judge(wanted, [see("star", "red", LEFT)]).correct
    assert not judge(wanted, [see("star", "blue", LEFT)]).correct
    assert not judge(wanted, [see("star", None, LEFT)]).correct
    two = [see("star", "red", LEFT, 0.8), see("star", "blue", RIGHT, 0.9)]
    assert not judge(wanted, two).correct


@pytest.mark.parametrize(("count", "correct"), [(1, False), (2, True), (3, False)])
def test_counting_means_exactly(count: int, correct: bool) -> None:
    wanted = prompt("counting", Asked(name="star", colour=None, count=2))
    seen = [see("star", "red", box) for box in (LEFT, RIGHT, TOP)[:count]]
    assert judge(wanted, [*seen, see("cat", "red", BOTTOM)]).correct is correct


def test_only_counting_forbids_more() -> None:
    wanted = prompt("two", Asked(name="star", colour=None), Asked(name="cat", colour=None))
    seen = [see("star", "red", LEFT), see("star", "red", RIGHT), see("cat", "red", TOP)]
    assert judge(wanted, seen)[:2] == (True, False)


def test_colours_must_not_be_swapped() -> None:
    wanted = prompt("color_attribution", RED_STAR, BLUE_HOUSE)
    assert judge(wanted, [see("star", "red", LEFT), see("house", "blue", RIGHT)]).correct
    verdict = judge(wanted, [see("star", "blue", LEFT), see("house", "red", RIGHT)])
    assert not verdict.correct
    assert "star is blue, not red" in verdict.reason


def test_every_pair_must_satisfy_the_relation() -> None:
    relation = AskedRelation(subject="star", predicate="above", object="house")
    wanted = prompt("position", Asked(name="star", colour="red", count=2), BLUE_HOUSE, relation=relation)
    house = see("house", "blue", (24, 40, 40, 56))
    above = [see("star", "red", (14, 4, 28, 18)), see("star", "red", (36, 4, 50, 18))]
    assert judge(wanted, [*above, house]).exact
    beside = see("star", "red", (2, 42, 16, 56))
    assert not judge(wanted, [above[0], beside, house]).correct


@pytest.mark.parametrize(
    ("subject", "holding"),
    [(LEFT, {"left of"}), (RIGHT, {"right of"}), (TOP, {"above"}), (BOTTOM, {"below"})],
)
def test_directions(subject: tuple[int, int, int, int], holding: set[str]) -> None:
    centre = (24, 24, 40, 40)
    found = {p for p in ("left of", "right of", "above", "below") if direction_holds(subject, p, centre)}
    assert found == holding


def test_direction_known_values() -> None:
    # Offset (-20, -20), slack 0.1 * (10 + 10) on each axis: (-18, -18) / 28.28 = -0.636: both hold.
    assert direction_holds((0, 0, 10, 10), "left of", (20, 20, 30, 30))
    assert direction_holds((0, 0, 10, 10), "above", (20, 20, 30, 30))
    # Offset (-3, 0) with slack 2 leaves 1 of 3: not clearly left.
    assert not direction_holds((0, 0, 10, 10), "left of", (3, 0, 13, 10))
    assert not direction_holds((0, 0, 10, 10), "left of", (0, 0, 10, 10))


boxes = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(1, 20), st.integers(1, 20)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(boxes, boxes)
def test_directions_are_antisymmetric(
    first: tuple[int, int, int, int], second: tuple[int, int, int, int]
) -> None:
    for predicate, opposite in (("left of", "right of"), ("above", "below")):
        assert direction_holds(first, predicate, second) == direction_holds(second, opposite, first)
        assert not (direction_holds(first, predicate, second) and direction_holds(first, opposite, second))


HOUSE = Known(name="house", colour="blue", box=RIGHT)
STAR = Known(name="star", colour="red", box=LEFT)


def test_remove() -> None:
    wanted = edit("remove", kept=(HOUSE,), removed=STAR)
    house = see("house", "blue", RIGHT)
    assert judge(wanted, [house]).exact
    assert "still there" in judge(wanted, [house, see("star", "red", LEFT)]).reason
    assert not judge(wanted, [see("star", "red", LEFT)]).correct
    assert "did not stay" in judge(wanted, []).reason
    # Recoloured, turned into something else or smeared is not removed.
    for left in (see("star", "green", LEFT), see("cat", "red", LEFT), see(None, None, LEFT)):
        assert not judge(wanted, [house, left]).correct
    # Moved elsewhere is not removed either.
    assert not judge(wanted, [house, see("star", "red", TOP)]).correct
    assert judge(wanted, [house, see("cat", "green", BOTTOM)])[:2] == (True, False)


def test_what_stays_keeps_colour_and_place() -> None:
    wanted = edit("remove", kept=(HOUSE,), removed=STAR)
    assert not judge(wanted, [see("house", "green", RIGHT)]).correct
    assert not judge(wanted, [see("house", "blue", TOP)]).correct
    assert judge(wanted, [see("house", "blue", (41, 27, 57, 43))]).correct


def test_remove_one_of_two_equal_things() -> None:
    other = Known(name="star", colour="red", box=RIGHT)
    wanted = edit("remove", kept=(other,), removed=STAR)
    assert judge(wanted, [see("star", "red", RIGHT)]).exact
    assert not judge(wanted, [see("star", "red", LEFT)]).correct
    assert not judge(wanted, [see("star", "red", LEFT), see("star", "red", RIGHT)]).correct


def test_add() -> None:
    wanted = edit("add", asked=(RED_STAR,), kept=(HOUSE,))
    house = see("house", "blue", RIGHT)
    assert judge(wanted, [house, see("star", "red", LEFT)]).exact
    assert not judge(wanted, [house]).correct
    assert not judge(wanted, [see("star", "red", LEFT)]).correct
    assert "not red" in judge(wanted, [house, see("star", "blue", LEFT)]).reason


def test_add_with_a_relation() -> None:
    relation = AskedRelation(subject="star", predicate="left of", object="house")
    wanted = edit("add", asked=(RED_STAR,), kept=(HOUSE,), relation=relation)
    house = see("house", "blue", RIGHT)
    assert judge(wanted, [house, see("star", "red", LEFT)]).correct
    assert "not left of" in judge(wanted, [house, see("star", "red", (44, 2, 60, 18))]).reason


@pytest.mark.parametrize(("box", "correct"), [((2, 2, 18, 18), True), (RIGHT, False), (BOTTOM, False)])
def test_add_at_a_location(box: tuple[int, int, int, int], correct: bool) -> None:
    wanted = edit("add", asked=(RED_STAR,), location="upper left")
    assert judge(wanted, [see("star", "red", box)]).correct is correct


def test_replace() -> None:
    wanted = edit("replace", asked=(Asked(name="cat", colour="pink"),), kept=(HOUSE,), removed=STAR)
    house = see("house", "blue", RIGHT)
    assert judge(wanted, [house, see("cat", "pink", LEFT)]).exact
    assert not judge(wanted, [house, see("star", "red", LEFT)]).correct
    assert not judge(wanted, [house, see("cat", "pink", LEFT), see("star", "red", TOP)]).correct
    assert "not where" in judge(wanted, [house, see("cat", "pink", TOP)]).reason
    assert not judge(wanted, [see("cat", "pink", LEFT)]).correct


def test_psnr_known_value_and_cap() -> None:
    source = np.full((64, 64, 3), 100, np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    mask[20:40, 20:40] = 255
    assert psnr_outside(source, source, mask) == PSNR_CAP
    # An error of 10 levels everywhere: 10 log10(255^2 / 100) = 28.13 dB.
    assert psnr_outside(source + 10, source, mask) == pytest.approx(28.131, abs=1e-3)


def test_psnr_ignores_the_mask_and_three_pixels_around_it() -> None:
    source = np.full((64, 64, 3), 100, np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    mask[20:40, 20:40] = 255
    result = source.copy()
    result[17:43, 20:40] = 0
    assert psnr_outside(result, source, mask) == PSNR_CAP
    result[16, 20:40] = 0
    assert psnr_outside(result, source, mask) < 31


def test_psnr_is_unknown_when_everything_may_change() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    assert psnr_outside(image, image, np.full((64, 64), 255, np.uint8)) is None
