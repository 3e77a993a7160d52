"""How a phrase is drawn from a bank and finished."""

from collections.abc import Sequence
from typing import TypeVar

from dreamomni.data.collage.draws import Draws

T = TypeVar("T")

PLAIN = 0.4
_SENTENCE = 0.15


def pick_phrase(bank: Sequence[T], draws: Draws) -> T:
    """Draw a template; the first of a bank is the plain one and comes most often."""
    plain, any_of = draws.chance(PLAIN), draws.pick(bank)
    return bank[0] if plain else any_of


def finish(text: str, draws: Draws) -> str:
    """Write the text as people type (lower case, no period), or now and then as a sentence."""
    return as_sentence(text) if draws.chance(_SENTENCE) else text


def as_sentence(text: str) -> str:
    """Capital first letter and a period."""
    return f"{text[0].upper()}{text[1:]}."
