"""Strings: read when they are there, refused when a letter is wrong, whatever the font."""

import numpy as np
import pytest

from dreamomni.data.collage.fonts import FONTS, render_text
from dreamomni.evaluation.degradations import Degradation
from dreamomni.evaluation.reading import read, rivals
from dreamomni.seeding import generator

INK = (30, 90, 220)


def written(text: str, font: str, height_px: int, side: int = 96) -> np.ndarray:
    letters = render_text(text, font, INK, height_px)
    height, width = letters.shape[:2]
    picture = np.full((side, side, 3), (255, 246, 224), np.uint8)
    y, x = (side - height) // 2, (side - width) // 2
    place = picture[y : y + height, x : x + width]
    place[:] = letters[..., :3] + (1 - letters[..., 3:] / 255) * place
    return picture


@pytest.mark.parametrize("font", FONTS)
def test_a_word_is_read_in_every_font(font: str) -> None:
    found = read(written("Magic", font, 14), "Magic", INK)
    assert found.right, found
    assert found.correlation > 0.97


@pytest.mark.parametrize("shown", ["Magik", "Magc", "Maagic", "Mgaic", "Music", "happy"])
def test_another_string_is_not(shown: str) -> None:
    assert not read(written(shown, "bold", 14), "Magic", INK).right


def test_case_matters_where_it_can_be_seen() -> None:
    assert not read(written("MAGIC", "sans", 14), "magic", INK).right
    assert read(written("MAGIC", "sans", 14), "MAGIC", INK).right


def test_soft_and_noisy_letters_are_read() -> None:
    picture = Degradation(blur=0.7, noise=6).apply(written("winter", "bold", 13), generator(1, "reading"))
    assert read(picture, "winter", INK).right


def test_letters_in_another_colour_are_none() -> None:
    assert not read(written("winter", "bold", 13), "winter", (250, 215, 20)).right
    # Without a colour, any ink will do.
    assert read(written("winter", "bold", 13), "winter").right


def test_nothing_is_no_string() -> None:
    assert read(np.full((64, 64, 3), 255, np.uint8), "hello") == (False, 0.0, "")
    noise = generator(3, "reading").integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert not read(noise, "hello", INK).right


def test_lines_may_break_between_words() -> None:
    assert read(written("good\nnight", "bold", 12), "good night", INK).right


@pytest.mark.parametrize("text", ["hello", "OK", "Good night", "42"])
def test_rivals_are_others_and_always_the_same(text: str) -> None:
    found = rivals(text)
    assert found == rivals(text)
    assert text not in found
    assert len(found) >= 5
