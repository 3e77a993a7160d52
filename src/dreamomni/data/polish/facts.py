"""What a text says that must not change: quoted words, numbers, colours, places, things, and their bonds.

A language model may turn "two red cups left of a blue car" into better English. It may also turn it into two
blue cups. So a text is read as a set of facts, each bound to the things it is about, and a new text is
accepted only with the same set.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dreamomni.data.collage.naming import plural
from dreamomni.data.collage.palette import BACKGROUNDS, PALETTE
from dreamomni.data.collage.words.lexicon import NUMBER_WORDS

MAX_CHARACTERS = 2_000

_NUMBERS = {word: number for number, word in enumerate(NUMBER_WORDS) if word != "one"} | {
    "no": 0,
    "couple": 2,
    "twice": 2,
    "nine": 9,
    "ten": 10,
    "eleven": 11,
    "twelve": 12,
    "dozen": 12,
}
"""Without "one", which is a pronoun as often as a number."""
_PLACES = {
    "left": "left",
    "right": "right",
    "above": "above",
    "over": "above",
    "below": "below",
    "under": "below",
    "beneath": "below",
    "underneath": "below",
    "top": "top",
    "upper": "top",
    "bottom": "bottom",
    "lower": "bottom",
    "center": "center",
    "centre": "center",
    "middle": "center",
    "clockwise": "clockwise",
    "counterclockwise": "counterclockwise",
    "anticlockwise": "counterclockwise",
    "larger": "larger",
    "bigger": "larger",
    "smaller": "smaller",
    "up": "up",
    "down": "down",
}
_ACTIONS = {
    "remove": (
        "remove",
        "delete",
        "erase",
        "eliminate",
        "rid",
        "disappear",
        "gone",
        "away",
        "drop",
        "wipe",
        "out",
    ),
    "replace": (
        "replace",
        "swap",
        "exchange",
        "substitute",
        "instead",
        "become",
        "into",
        "transform",
        "change",
        "turn",
    ),
}
_NEGATIONS = frozenset(
    {"not", "never", "without", "except", "don't", "doesn't", "isn't", "aren't", "no", "nor"}
)
_QUOTES = re.compile(r'"([^"]*)"|\u201c([^\u201d]*)\u201d')
_IMAGE = re.compile(r"\b(?:reference )?(?:image|picture) (\d+|one|two|three|four|five)\b")
_IMAGE_WORD = "xximage"
_IMAGE_NUMBERS = {"1": "one", "2": "two", "3": "three", "4": "four", "5": "five"}
_WORD = re.compile(r"-?\d+(?:\.\d+)?|[a-z]+(?:['\u2019][a-z]+)?")


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that a text says.

    Attributes:
        kind: "quote", "number", "colour", "place", "thing", "image", "negation" or "figure" (a decimal).
        value: What it says, in one spelling.
        about: The things it is bound to: for colours and numbers the next thing, for places the one before
            and the one after ("" where there is none), for an image the one before or else the one after.
    """

    kind: str
    value: str
    about: tuple[str, ...] = ()

    def __str__(self) -> str:
        bound = " / ".join(name for name in self.about if name)
        return f"{self.kind} {self.value!r}" + (f" of {bound}" if bound else "")


def read_facts(text: str, names: Iterable[str]) -> frozenset[Fact]:
    """Read the facts of a text.

    Args:
        text: The text.
        names: Things that it may speak of, in the singular.
    """
    facts: set[Fact] = set()
    for match in _QUOTES.finditer(text):
        facts.add(Fact("quote", match[1] if match[1] is not None else match[2]))
    plain = _QUOTES.sub(" ", text).lower()
    # One word without a gap, so that an image number is not read as a number of things.
    plain = _IMAGE.sub(lambda match: f" {_IMAGE_WORD}{_spelled(match[1])} ", plain)
    tokens = _tokens(plain, _phrases(names))
    things = [(at, value) for at, (kind, value) in enumerate(tokens) if kind == "thing"]
    for at, (kind, value) in enumerate(tokens):
        before = next((name for place, name in reversed(things) if place < at), "")
        after = next((name for place, name in things if place > at), "")
        if kind in ("colour", "number"):
            facts.add(Fact(kind, value, (after,)))
        elif kind == "image":
            facts.add(Fact(kind, value, (before or after,)))
        elif kind == "place":
            facts.add(Fact(kind, value, (before, after)))
        else:
            facts.add(Fact(kind, value))
    return frozenset(facts)


def disagreement(template: str, polished: str, names: Iterable[str]) -> str | None:
    """Say why a polished text may not stand for the template, or None when it may.

    Args:
        template: What is known to be true.
        polished: What a language model made of it.
        names: Things that either may speak of, in the singular.
    """
    if not polished.strip():
        return "it is empty"
    if not polished.isprintable():
        return "it has line breaks or control characters"
    if len(polished) > min(MAX_CHARACTERS, 3 * len(template) + 80):
        return f"it has {len(polished)} characters for {len(template)}"
    names = tuple(names)
    wanted, found = read_facts(template, names), read_facts(polished, names)
    if wanted != found:
        lost = ", ".join(sorted(map(str, wanted - found)))
        new = ", ".join(sorted(map(str, found - wanted)))
        return "; ".join(part for part in (lost and f"lost {lost}", new and f"new {new}") if part)
    asked, understood = _actions(template), _actions(polished)
    if asked != understood:
        return f"it asks to {_either(understood)} instead of {_either(asked)}"
    return None


def _either(actions: frozenset[str]) -> str:
    return " and ".join(sorted(actions)) or "add or describe"


def _actions(text: str) -> frozenset[str]:
    """Which operations a text asks for; adding has too many words to be told."""
    words = set(_WORD.findall(_QUOTES.sub(" ", text).lower()))
    found = {action for action, verbs in _ACTIONS.items() if words & set(verbs)}
    if "replace" in found or " in place of " in f" {text.lower()} ":
        return frozenset({"replace"})
    return frozenset(found)


def _phrases(names: Iterable[str]) -> Mapping[str, tuple[str, str]]:
    """Every phrase that is one token: things, their plurals, and colours; to (kind, value)."""
    phrases: dict[str, tuple[str, str]] = {}
    for colour in (*PALETTE, *BACKGROUNDS):
        phrases[colour] = ("colour", colour)
        phrases[colour.replace("gray", "grey")] = ("colour", colour)
    for name in names:
        phrases[name.lower()] = phrases[plural(name).lower()] = ("thing", name.lower())
    phrases["background"] = ("thing", "background")
    return phrases


def _tokens(text: str, phrases: Mapping[str, tuple[str, str]]) -> list[tuple[str, str]]:
    words = [word.replace("\u2019", "'") for word in _WORD.findall(text)]
    longest = max((phrase.count(" ") + 1 for phrase in phrases), default=1)
    tokens: list[tuple[str, str]] = []
    at = 0
    while at < len(words):
        for length in range(min(longest, len(words) - at), 0, -1):
            known = phrases.get(" ".join(words[at : at + length]))
            if known is not None:
                tokens.append(known)
                at += length
                break
        else:
            token = _single(words[at])
            if token is not None:
                tokens.append(token)
            at += 1
    return tokens


def _spelled(number: str) -> str:
    """An image number in letters alone."""
    return _IMAGE_NUMBERS.get(
        number, "".join(chr(ord("a") + int(d)) for d in number) if number.isdigit() else number
    )


def _single(word: str) -> tuple[str, str] | None:
    if re.fullmatch(r"-?\d+\.\d+|-\d+", word):
        return "figure", word
    if word.isdigit():
        # "1 cup" and "a cup" are the same; other digits are the words they stand for.
        return None if word == "1" else ("number", word)
    if word.startswith(_IMAGE_WORD):
        return "image", word.removeprefix(_IMAGE_WORD)
    if word in _NEGATIONS:
        return "negation", "not"
    if word in _NUMBERS:
        return "number", str(_NUMBERS[word])
    if word in _PLACES:
        return "place", _PLACES[word]
    return None
