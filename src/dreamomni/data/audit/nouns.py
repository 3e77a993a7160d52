"""A small grammar of English noun phrases, written without the banks that wrote the words.

What is meant, how many, and which: "three red apples", "the leftmost cat", "all blue things".
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

ANYTHING = "thing"
"""Name of a phrase that means things of any name: "all red things", "everything that is red"."""

SIGN = "sign"
"""Name of a phrase that means the shape which written words stand on: "a red sign"."""

NUMBERS: Mapping[str, int] = {
    "zero": 0,
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "eleven": 11,
    "twelve": 12,
}
_INVARIANT = frozenset(
    ("sheep", "deer", "scissors", "glasses", "pants", "binoculars", "headphones", "grapes", "jeans", "dice")
)
_IRREGULAR: Mapping[str, str] = {
    "men": "man",
    "women": "woman",
    "children": "child",
    "feet": "foot",
    "geese": "goose",
    "teeth": "tooth",
    "mice": "mouse",
    "cacti": "cactus",
    "octopi": "octopus",
    "oxen": "ox",
    "dice": "die",
}
_GENERIC = frozenset(("thing", "object", "item"))
_ENDS: Mapping[str, str] = {
    "left": "left",
    "leftmost": "left",
    "right": "right",
    "rightmost": "right",
    "upper": "top",
    "topmost": "top",
    "highest": "top",
    "top": "top",
    "lower": "bottom",
    "bottommost": "bottom",
    "lowest": "bottom",
    "bottom": "bottom",
    "largest": "large",
    "biggest": "large",
    "larger": "large",
    "bigger": "large",
    "smallest": "small",
    "smaller": "small",
}
"""Adjectives that pick one thing out of several, by what they compare."""
_ADJECTIVES = frozenset((*_ENDS, "small", "large", "big", "little", "single", "other", "same"))
_DEFINITE: Mapping[str, str] = {
    "the": "the",
    "that": "the",
    "this": "the",
    "all": "all",
    "every": "all",
    "each": "all",
    "both": "both",
}
_WORD = re.compile(r"\d+(?:\.\d+)?|[a-z][a-z'\-]*|[,.;:!?()]")
_FURTHEST = {"left": "left", "right": "right", "top": "top", "bottom": "bottom"}


@dataclass(frozen=True)
class Vocabulary:
    """What words may mean: the definitions that engine and auditor share.

    Attributes:
        names: Nouns of things that may be spoken of.
        colours: Colour words of things with their sRGB values.
        backgrounds: Colour words of backgrounds.
    """

    names: frozenset[str] = frozenset()
    colours: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    backgrounds: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Token:
    """A word, and where it stands in the text."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Phrase:
    """A noun phrase: "three red apples".

    Attributes:
        determiner: "a", "another", "the", "all", "both", or empty.
        count: Number that is said, 1 for a singular, None for a plain plural.
        colour: Colour word, or None.
        name: Singular of the noun, `ANYTHING` for things of any name.
        selector: What it compares to pick one of several ("left", "top", "large", ...), or None.
        article: The article as written ("a", "an"), or empty.
        follows: The word after the article.
        is_plural: Whether the noun is written as a plural.
        start: Where it begins in the text.
        end: Where it ends.
        is_text: Whether it is quoted words; they are its name then.
    """

    determiner: str
    count: int | None
    colour: str | None
    name: str
    selector: str | None
    article: str
    follows: str
    is_plural: bool
    start: int
    end: int
    is_text: bool = False

    @property
    def definite(self) -> bool:
        """Whether it points at something known."""
        return self.determiner in ("the", "all", "both")

    @property
    def new(self) -> bool:
        """Whether it names a thing for the first time: "a cat", "two cats"."""
        return not (self.definite or self.is_text)

    def __str__(self) -> str:
        words = (self.determiner, str(self.count or ""), self.selector or "", self.colour or "", self.name)
        return " ".join(word for word in words if word)


def tokens_of(text: str) -> list[Token]:
    """Split lower-case text into words, numbers and marks."""
    return [Token(match[0], match.start(), match.end()) for match in _WORD.finditer(text)]


def noun_phrases(
    tokens: Sequence[Token], names: frozenset[str], colours: Mapping[str, object]
) -> tuple[tuple[Phrase, ...], set[int]]:
    """Find noun phrases.

    Args:
        tokens: The text.
        names: Nouns that may be meant.
        colours: Colour words of things.

    Returns:
        The phrases in order, and the numbers of all tokens in them.
    """
    longest = max((name.count(" ") + 1 for name in names), default=1)
    phrases: list[Phrase] = []
    used: set[int] = set()
    at = 0
    while at < len(tokens):
        found = _everything(tokens, at, colours) or _phrase_at(
            tokens, at, names, longest, colours, max(used, default=-1) + 1
        )
        if found is None:
            at += 1
            continue
        phrase, begin, end = found
        phrases.append(phrase)
        used.update(range(begin, end))
        at = end
    return tuple(phrases), used


def singulars(word: str) -> Iterator[str]:
    """Every noun that a written word may be, itself first."""
    yield word
    if word in _IRREGULAR:
        yield _IRREGULAR[word]
    if word.endswith("men"):
        yield word[:-3] + "man"
    if word.endswith("ves"):
        yield word[:-3] + "f"
        yield word[:-3] + "fe"
    if word.endswith("ies"):
        yield word[:-3] + "y"
    if word.endswith("es"):
        yield word[:-2]
    if word.endswith("s"):
        yield word[:-1]


def is_invariant(name: str) -> bool:
    """Whether the plural of a noun looks like its singular: "sheep", "jellyfish"."""
    last = name.rpartition(" ")[2]
    return last in _INVARIANT or last.endswith("fish")


def as_number(word: str) -> int | None:
    """The whole number that a word says, or None."""
    if word in NUMBERS:
        return NUMBERS[word]
    return int(word) if word.isdigit() else None


def an_or_a(word: str) -> str:
    """The article that is spoken before a word."""
    if re.match(r"(?:hour|honest|heir|x-ray)", word):
        return "an"
    if re.match(r"(?:uni(?!n|m)|use|usu|euro|one\b|u\b|ukulele|ewe|ufo)", word):
        return "a"
    return "an" if word[0] in "aeiou8" else "a"


def _everything(
    tokens: Sequence[Token], at: int, colours: Mapping[str, object]
) -> tuple[Phrase, int, int] | None:
    """Read "everything that is red" and "everything red"."""
    if tokens[at].text != "everything":
        return None
    words = [token.text for token in tokens[at + 1 : at + 4]]
    skip = 2 if words[:2] == ["that", "is"] else 0
    if len(words) <= skip or words[skip] not in colours:
        return None
    end = at + skip + 2
    span = tokens[at].start, tokens[end - 1].end
    return Phrase("all", None, words[skip], ANYTHING, None, "", "", True, *span), at, end


def _phrase_at(
    tokens: Sequence[Token],
    at: int,
    names: frozenset[str],
    longest: int,
    colours: Mapping[str, object],
    floor: int,
) -> tuple[Phrase, int, int] | None:
    noun = _noun_at(tokens, at, names, longest)
    if noun is None:
        return None
    name, end, is_plural = noun
    begin, determiner, count, colour, selector, article = _before(tokens, at, floor, colours)
    # "hammer away", "book a flight": a noun that nothing introduces is no thing.
    if not (determiner or count is not None or colour or is_plural):
        return None
    # Every picture of words may be called a sign; one with a colour is a thing.
    if name == SIGN and name not in names and colour is None:
        return None
    follows = tokens[begin + bool(determiner)].text
    if count is None and not is_plural and determiner != "all":
        count = 1
    following = [token.text for token in tokens[end : end + 4]]
    if following[:3] == ["furthest", "to", "the"] and len(following) > 3:
        selector = _FURTHEST.get(following[3])
        end += 4
    elif name == ANYTHING and following[:2] == ["that", "are"] and len(following) > 2:
        colour = following[2] if following[2] in colours else None
        end += 3
    span = tokens[begin].start, tokens[end - 1].end
    return Phrase(determiner, count, colour, name, selector, article, follows, is_plural, *span), begin, end


def _noun_at(
    tokens: Sequence[Token], at: int, names: frozenset[str], longest: int
) -> tuple[str, int, bool] | None:
    """The longest noun that starts at a token: its singular, where it ends, whether it is a plural."""
    for length in range(min(longest, len(tokens) - at), 0, -1):
        head = " ".join(token.text for token in tokens[at : at + length - 1])
        for number, single in enumerate(singulars(tokens[at + length - 1].text)):
            name = f"{head} {single}".strip()
            if name in names:
                return name, at + length, number > 0
            if name in _GENERIC:
                return ANYTHING, at + length, number > 0
            if name == SIGN:
                return SIGN, at + length, number > 0
    return None


def _before(
    tokens: Sequence[Token], noun: int, floor: int, colours: Mapping[str, object]
) -> tuple[int, str, int | None, str | None, str | None, str]:
    """What stands before a noun: (first token, determiner, count, colour, selector, article)."""
    at = noun
    colour: str | None = None
    count: int | None = None
    selector: str | None = None
    while at > floor:
        word = tokens[at - 1].text
        if colour is None and word in colours:
            colour = word
            if at - 3 >= floor and tokens[at - 2].text == "and" and tokens[at - 3].text in colours:
                colour = f"{tokens[at - 3].text} and {word}"
                at -= 2
        elif word in _ADJECTIVES:
            selector = _ENDS.get(word, selector)
        else:
            break
        at -= 1
    if at - 2 >= floor and tokens[at - 1].text == "of" and tokens[at - 2].text in ("pair", "pairs"):
        count = 1 if tokens[at - 2].text == "pair" else None
        at -= 2
    if at > floor and tokens[at - 1].text in ("every", "each"):
        count = None
    if at > floor and (number := as_number(tokens[at - 1].text)) is not None:
        count = number
        at -= 1
    if at <= floor:
        return at, "", count, colour, selector, ""
    word = tokens[at - 1].text
    if word in ("a", "an"):
        return at - 1, "a", count, colour, selector, word
    if word == "another":
        return at - 1, word, count, colour, selector, ""
    if word not in _DEFINITE:
        return at, "", count, colour, selector, ""
    determiner = _DEFINITE[word]
    at -= 1
    back = [token.text for token in tokens[max(at - 2, floor) : at]]
    if determiner == "the" and back[-1:] in (["all"], ["both"]):
        determiner, at = back[-1], at - 1
    elif determiner == "the" and back == ["all", "of"]:
        determiner, at = "all", at - 2
    return at, determiner, 2 if determiner == "both" else count, colour, selector, ""
