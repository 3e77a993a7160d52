"""Is a string written in a picture? Asked of templates: the string in every built-in font, and its rivals.

Letters are cut out as coverage (how far a pixel is on the way from the background to the ink) and compared
with rendered strings by normalised correlation. A string is right when it correlates well enough and no rival
(other words, and the string with letters changed, lost, doubled or swapped, or in another case) correlates
better in the fonts that suit the string best.
"""

import functools
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.fonts import FONTS, render_text
from dreamomni.data.collage.palette import RGB
from dreamomni.data.collage.words.written import MORE_WORDS, WRITTEN_WORDS
from dreamomni.evaluation.segment import Array, find_ground

MIN_CORRELATION = 0.8
"""Least correlation of a string that counts as written."""

_MASTER_PX = 48
_LEAST_HEIGHT_PX = 5
_LEAST_WIDTH_PX = 3
_MAX_STRETCH = 1.22
"""Largest change of a string's proportions: between them lie words in other fonts."""
_BESIDE = 0.5
"""Largest distance of a pixel from the way between background and ink, as a share of its length."""
_FAINTEST = 0.35
"""Least coverage of the boldest pixel: soft pictures of thin letters have no full ink."""
_SHORTLIST = 6
_NUM_FONTS = 3
"""Fonts in which rivals are drawn: rendering them takes nearly all of the time."""
_NUM_WORDS = 10
_TWINS = dict(zip("abcdefghijklmnopqrstuvwxyz", "ohebctqnlixinreqgnzfvuvkvs", strict=True))
"""For each letter one that looks like it."""


class Reading(NamedTuple):
    """How well a picture shows a string.

    Attributes:
        right: whether it wins over its rivals and correlates well enough.
        correlation: of the string itself, -1 to 1.
        best: what correlates best; empty when the string itself does not correlate.
    """

    right: bool
    correlation: float
    best: str


def read(picture: npt.NDArray[np.uint8], text: str, ink: RGB | None = None) -> Reading:
    """Say whether a picture shows a string, exactly.

    Args:
        picture: (H, W, 3) uint8.
        text: printable ASCII, lines divided by spaces or line breaks.
        ink: sRGB of the letters, which are then looked for in this colour alone; None for any colour that
            stands out of the background, in which case nothing else may stand beside them.
    """
    letters = _letters(picture, ink)
    if letters is None:
        return Reading(False, 0.0, "")
    cuts = [letters[top : top + height, left : left + width] for top, left, height, width in _cuts(letters)]
    own = sorted(((_correlation(cuts, text, (font,)), font) for font in FONTS), reverse=True)
    correlation = own[0][0]
    if correlation < MIN_CORRELATION:
        return Reading(False, round(correlation, 4), "")
    fonts = tuple(font for _, font in own[:_NUM_FONTS])
    rough = sorted(((_correlation(cuts[:1], rival, fonts), rival) for rival in rivals(text)), reverse=True)
    # The asked string wins a tie: "cow" and "COW" can be one drawing in two fonts.
    refined = [(_correlation(cuts, rival, fonts), False, rival) for _, rival in rough[:_SHORTLIST]]
    best = max([*refined, (correlation, True, text)])[2]
    return Reading(best == text, round(correlation, 4), best)


def rivals(text: str) -> list[str]:
    """Strings that a picture might show instead, the same ones for the same string."""
    found = dict.fromkeys([*_damaged(text), *_other_words(text)])
    found.pop(text, None)
    return [string for string in found if string.strip()]


def _damaged(text: str) -> Iterator[str]:
    for at, letter in enumerate(text):
        if not letter.isalpha():
            continue
        before, after = text[:at], text[at + 1 :]
        twin = _TWINS[letter.lower()]
        yield before + (twin.upper() if letter.isupper() else twin) + after
        yield before + after
        yield before + letter + letter + after
        if at + 1 < len(text) and text[at + 1].isalpha() and text[at + 1] != letter:
            yield before + text[at + 1] + letter + text[at + 2 :]
    yield from (text.lower(), text.upper(), text.title())


def _other_words(text: str) -> list[str]:
    """Words of the bank about as long, in the same case, those with most letters in common first."""
    known = sorted(
        {word for word in (*WRITTEN_WORDS, *MORE_WORDS) if abs(len(word) - len(text)) <= 1},
        key=lambda word: (-sum(a == b for a, b in zip(word, text.lower(), strict=False)), word),
    )
    case = str.upper if text.isupper() else str.lower if text.islower() else str.title
    return [case(word) for word in known[:_NUM_WORDS]]


def _letters(picture: npt.NDArray[np.uint8], ink: RGB | None) -> Array | None:
    """Coverage by ink, 0 to 1; None when nothing stands out."""
    ground = find_ground(picture)
    rgb = picture.astype(np.float32)
    if ink is None:
        strong = ground.distance >= 0.8 * float(np.quantile(ground.distance, 0.995))
        colour = np.median(rgb[strong], axis=0)
    else:
        colour = np.array(ink, np.float32)
    way = colour - ground.rgb
    length = (way**2).sum(axis=2)
    if float(length.min()) < 30**2:
        return None
    share = ((rgb - ground.rgb) * way).sum(axis=2) / length
    # What is not on the way from the background to the ink is something else.
    beside = np.linalg.norm(rgb - ground.rgb - share[..., None] * way, axis=2) > _BESIDE * np.sqrt(length)
    coverage = np.where(beside, 0.0, np.clip(share, 0.0, 1.0)).astype(np.float32)
    rows, columns = np.nonzero(coverage > 0.5 * coverage.max())
    if (
        coverage.max() < _FAINTEST
        or np.ptp(rows) + 1 < _LEAST_HEIGHT_PX
        or np.ptp(columns) + 1 < _LEAST_WIDTH_PX
    ):
        return None
    return coverage


def _cuts(letters: Array) -> list[tuple[int, int, int, int]]:
    """Top, left, height and width of rectangles around the ink: the tight one first, then one pixel off."""
    rows, columns = np.nonzero(letters > 0.5 * letters.max())
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    height, width = letters.shape
    cuts = []
    for up, down, west, east in ((0, 0, 0, 0), *np.ndindex(2, 2, 2, 2)):
        y0, y1, x0, x1 = (
            max(0, top - up),
            min(height, bottom + down),
            max(0, left - west),
            min(width, right + east),
        )
        cuts.append((int(y0), int(x0), int(y1 - y0), int(x1 - x0)))
    return list(dict.fromkeys(cuts))


def _correlation(cuts: Sequence[Array], text: str, fonts: Sequence[str]) -> float:
    """Best correlation of a string with any of the cuts, over fonts and ways to break it into lines."""
    best = -1.0
    for cut in cuts:
        height, width = cut.shape
        flat = cut.ravel() - cut.mean()
        norm = float(np.linalg.norm(flat)) or 1.0
        for lines in _broken(text):
            for font in fonts:
                master = _master(lines, font)
                stretch = (master.shape[1] / master.shape[0]) / (width / height)
                # A pixel more or less changes the proportions of small letters.
                slack = _MAX_STRETCH * (1 + 1 / height)
                if not 1 / slack <= stretch <= slack:
                    continue
                drawn = _shrunk(lines, font, width, height)
                own = drawn.ravel() - drawn.mean()
                length = float(np.linalg.norm(own)) or 1.0
                best = max(best, float(flat @ own) / (norm * length))
    return best


def _broken(text: str) -> list[str]:
    """The string in one to three lines of about equally many words."""
    words = text.split()
    broken = []
    for num in range(1, min(3, len(words)) + 1):
        edges = [round(len(words) * line / num) for line in range(num + 1)]
        broken.append("\n".join(" ".join(words[a:b]) for a, b in pairwise(edges)))
    return broken


@functools.lru_cache(maxsize=16384)
def _master(text: str, font: str) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(render_text(text, font, (255, 255, 255), _MASTER_PX)[..., 3])


def _shrunk(text: str, font: str, width: int, height: int) -> Array:
    drawn = cv2.resize(_master(text, font), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(drawn, np.float32)
