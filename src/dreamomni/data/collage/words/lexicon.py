"""Nouns with numbers, colours, articles and plurals."""

from dreamomni.data.collage.naming import article, is_pair, plural

NUMBER_WORDS: tuple[str, ...] = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight")

_PAIR = "a pair of"


def indefinite(name: str, colour: str | None = None) -> str:
    """One thing: "a house", "an orange car", "a pair of scissors"."""
    return f"{article(name, colour)} {_coloured(name, colour)}"


def definite(name: str, colour: str | None = None) -> str:
    """The known thing: "the house", "the red house"."""
    return f"the {_coloured(name, colour)}"


def bare(name: str, colour: str | None = None) -> str:
    """The noun alone: "house", "red house"."""
    return _coloured(name, colour)


def counted(count: int, name: str, colour: str | None = None, *, digits: bool = False) -> str:
    """Some equal things: "a house", "two red stars", "3 cacti"."""
    if count == 1:
        return indefinite(name, colour)
    number = str(count) if digits else NUMBER_WORDS[count]
    if article(name) == _PAIR:
        return f"{number} pairs of {_coloured(name, colour)}"
    return f"{number} {_coloured(plural(name), colour)}"


def is_or_are(name: str) -> str:
    """The verb of one known thing: "the house is", "the scissors are"."""
    return "are" if is_pair(name) else "is"


def _coloured(noun: str, colour: str | None) -> str:
    return f"{colour} {noun}" if colour else noun
