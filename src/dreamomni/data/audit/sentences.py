"""What a text says: noun phrases, the places and relations between them, and the words that are left over."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dreamomni.data.audit.nouns import Phrase, Token, Vocabulary, as_number, noun_phrases, tokens_of

_QUOTED = re.compile(r'"([^"]*)"')
_POINTS = re.compile(r"\([-\d.,\s]*\)")
_AMOUNTS = re.compile(
    r"\bby (?:a factor of )?\d+(?:\.\d+)?(?: degrees)?|\bthe one (?=of|from|in)|"
    r"\b(?:[a-z]+|\d+) (?:edits|changes|steps|operations)\b|\bin one go\b"
)
"""Numbers that count no things."""
_IMAGE_WORDS = frozenset(("image", "picture", "photo", "reference", "source", "figure", "pic"))
_ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5}

LEFT, RIGHT, ABOVE, BELOW, BESIDE = "left of", "right of", "above", "below", "next to"
_SIDES = {"left": LEFT, "right": RIGHT}
_HEIGHTS = {"above": ABOVE, "upper": ABOVE, "below": BELOW, "lower": BELOW}
_DIAGONALS = re.compile(
    r"\b(?:(above|below) and to the (left|right) of|to the (upper|lower) (left|right) of)\b"
)
_RELATIONS = (
    (LEFT, re.compile(r"\b(?:(?:to|on|at) the )?left(?: side| hand side)? of\b")),
    (RIGHT, re.compile(r"\b(?:(?:to|on|at) the )?right(?: side| hand side)? of\b")),
    (ABOVE, re.compile(r"\b(?:above|(?<!paint )(?<!mask )over|higher than|on top of)\b")),
    (BELOW, re.compile(r"\b(?:below|under|underneath|beneath|lower than)\b")),
    (
        BESIDE,
        re.compile(
            r"\b(?:next to|beside(?!,)|near)\b(?! the (?:very )?(?:left|right|top|bottom|upper|lower))"
        ),
    ),
)
_PICTURE = (
    r"(?: of (?:the )?(?:first |second |third |fourth |fifth )?(?:given |provided |reference )?"
    r"(?:picture|image|canvas|scene|photo)\b)"
)
_IN = r"\b(?:in|at|on|near|into) the (?:very )?"
_PARTS = r"(?: (?:corner|part|quadrant|area|side|half|edge|third))?"
_PART = rf"{_PARTS}(?:{_PICTURE}|(?!{_PARTS} of\b))"
_MIDDLE = r"(?:cent(?:er|re)|middle)"
_PLACES = (
    ("upper left", re.compile(rf"{_IN}(?:upper|top)[ -]left{_PART}")),
    ("upper right", re.compile(rf"{_IN}(?:upper|top)[ -]right{_PART}")),
    ("lower left", re.compile(rf"{_IN}(?:lower|bottom)[ -]left{_PART}")),
    ("lower right", re.compile(rf"{_IN}(?:lower|bottom)[ -]right{_PART}")),
    ("top", re.compile(rf"{_IN}(?:top|upper)(?: in the)?(?: {_MIDDLE})?{_PART}")),
    ("bottom", re.compile(rf"{_IN}(?:bottom|lower)(?: in the)?(?: {_MIDDLE})?{_PART}")),
    ("left", re.compile(rf"{_IN}left{_PART}")),
    ("right", re.compile(rf"{_IN}right{_PART}")),
    ("center", re.compile(rf"{_IN}{_MIDDLE}{_PART}")),
)
PLACES = tuple(name for name, _ in _PLACES)


@dataclass(frozen=True, slots=True)
class Claim:
    """Phrase number `subject` is `predicate` of phrase number `object`, or in the place `predicate`.

    Attributes:
        subject: Number of a phrase.
        predicate: A relation or a place.
        object: Number of the other phrase of a relation.
        attached: Whether it follows its subject at once: "the cat above the house" says which cat.
    """

    subject: int
    predicate: str
    object: int | None
    attached: bool = False


@dataclass(frozen=True, slots=True)
class Sentence:
    """What a text says.

    Attributes:
        text: Lower case, quoted words and drag points blanked out.
        rest: The text with noun phrases blanked out too.
        phrases: Noun phrases in order.
        claims: Relations and places.
        quoted: Words in quotation marks.
        loose_colours: Colour words that belong to no noun phrase.
        loose_numbers: Number words that belong to no noun phrase.
        dangling: Places and relations that could not be tied to noun phrases.
        images: (number, position in the text) of every input image that is named.
    """

    text: str
    rest: str
    phrases: tuple[Phrase, ...]
    claims: tuple[Claim, ...]
    quoted: tuple[str, ...]
    loose_colours: tuple[str, ...]
    loose_numbers: tuple[str, ...]
    dangling: tuple[str, ...]
    images: tuple[tuple[int, int], ...]


def read(text: str, vocabulary: Vocabulary) -> Sentence:
    """Read a text."""
    quoted = tuple(match[1] for match in _QUOTED.finditer(text))
    blank = _blanked(_POINTS, text)
    blank = _QUOTED.sub(lambda match: '"' + " " * (len(match[0]) - 2) + '"', blank).lower()
    blank = _blanked(_AMOUNTS, blank)
    tokens = tokens_of(blank)
    things, used = noun_phrases(tokens, vocabulary.names, vocabulary.colours)
    texts = [
        Phrase("", 1, None, match[1], None, "", "", False, match.start(), match.end(), is_text=True)
        for match in _QUOTED.finditer(text)
    ]
    phrases = tuple(sorted((*things, *texts), key=lambda phrase: phrase.start))
    images, image_tokens = _image_numbers(tokens)
    rest = blank
    for phrase in phrases:
        rest = rest[: phrase.start] + " " * (phrase.end - phrase.start) + rest[phrase.end :]
    spans = [
        match.span()
        for name in sorted(vocabulary.backgrounds, key=len, reverse=True)
        if " " in name
        for match in re.finditer(rf"\b{re.escape(name)}\b", rest)
    ]
    free = [
        token.text
        for number, token in enumerate(tokens)
        if number not in used | image_tokens and not any(a <= token.start < b for a, b in spans)
    ]
    claims, dangling = _read_claims(blank, phrases)
    return Sentence(
        text=blank,
        rest=rest,
        phrases=phrases,
        claims=claims,
        quoted=quoted,
        loose_colours=tuple(word for word in free if word in vocabulary.colours),
        loose_numbers=tuple(word for word in free if as_number(word) is not None),
        dangling=dangling,
        images=images,
    )


def _blanked(pattern: re.Pattern[str], text: str) -> str:
    return pattern.sub(lambda match: " " * len(match[0]), text)


def _image_numbers(tokens: list[Token]) -> tuple[tuple[tuple[int, int], ...], set[int]]:
    """Read "image 2", "reference image 3", "the second picture"."""
    found: list[tuple[int, int]] = []
    used: set[int] = set()
    for at, token in enumerate(tokens):
        number = as_number(token.text)
        if at and number is not None and tokens[at - 1].text in _IMAGE_WORDS:
            found.append((number, token.start))
            used.add(at)
        if token.text in _ORDINALS:
            following = [after.text for after in tokens[at + 1 : at + 4]]
            if any(word in _IMAGE_WORDS for word in following):
                found.append((_ORDINALS[token.text], token.start))
                used.add(at)
    return tuple(found), used


def _read_claims(text: str, phrases: tuple[Phrase, ...]) -> tuple[tuple[Claim, ...], tuple[str, ...]]:
    claims: list[Claim] = []
    dangling: list[str] = []
    fronted: set[int] = set()
    for predicates, match in _relations(text, phrases):
        ends = _relation_ends(text, phrases, match)
        if ends is None:
            dangling.append(match[0])
            continue
        subject, other = ends
        attached = _at_once(text[phrases[subject].end : match.start()])
        claims += [Claim(subject, predicate, other, attached) for predicate in predicates]
        if phrases[other].start >= match.end() and subject > other:
            fronted.add(other)
    for place, match in _places(text):
        subject_of_place = _subject(text, phrases, match, fronted)
        if subject_of_place is None:
            dangling.append(match[0])
        else:
            attached = _at_once(text[phrases[subject_of_place].end : match.start()])
            claims.append(Claim(subject_of_place, place, None, attached))
    return tuple(claims), tuple(dangling)


def _at_once(between: str) -> bool:
    return between.strip() in ("", "somewhere", "directly", "right")


def _relations(text: str, phrases: tuple[Phrase, ...]) -> Iterator[tuple[tuple[str, ...], re.Match[str]]]:
    diagonals = list(_DIAGONALS.finditer(text))
    for match in diagonals:
        height, side = match[1] or match[3], match[2] or match[4]
        yield (_HEIGHTS[height], _SIDES[side]), match
    for predicate, pattern in _RELATIONS:
        for match in pattern.finditer(text):
            on_picture = re.match(_PICTURE, text[match.end() - 3 :])
            spans = [one.span() for one in diagonals] + [(phrase.start, phrase.end) for phrase in phrases]
            if not on_picture and not any(start <= match.start() < end for start, end in spans):
                yield (predicate,), match


def _places(text: str) -> Iterator[tuple[str, re.Match[str]]]:
    taken: list[tuple[int, int]] = []
    for place, pattern in _PLACES:
        for match in pattern.finditer(text):
            if not any(start <= match.start() < end for start, end in taken):
                taken.append(match.span())
                yield place, match


def _clause(text: str, at: int) -> tuple[int, int]:
    """The stretch between full stops and semicolons around a position."""
    start = max((match.end() for match in re.finditer(r"[.;:] ", text[:at])), default=0)
    end = re.search(r"[.;](?: |$)", text[at:])
    return start, len(text) if end is None else at + end.start()


def _subject(
    text: str,
    phrases: tuple[Phrase, ...],
    match: re.Match[str],
    fronted: set[int],
) -> int | None:
    """The phrase before a place in its clause; where the place opens the clause, the first that follows."""
    start, end = _clause(text, match.start())
    here = [number for number, phrase in enumerate(phrases) if start <= phrase.start < end]
    last = max((number for number in here if phrases[number].end <= match.start()), default=None)
    # "above the fish on the right, add a snail": a place right after a known thing says which one it is.
    if last in fronted and phrases[last].definite and _at_once(text[phrases[last].end : match.start()]):
        return last
    before = [number for number in here if phrases[number].end <= match.start() and number not in fronted]
    after = [number for number in here if phrases[number].start >= match.end() and number not in fronted]
    return before[-1] if before else (after[0] if after else None)


def _relation_ends(text: str, phrases: tuple[Phrase, ...], match: re.Match[str]) -> tuple[int, int] | None:
    """Numbers of the phrases on the two sides of a relation: (subject, object)."""
    start, end = _clause(text, match.start())
    here = [number for number, phrase in enumerate(phrases) if start <= phrase.start < end]
    before = [number for number in here if phrases[number].end <= match.start()]
    after = [number for number in here if phrases[number].start >= match.end()]
    earlier = [number for number, phrase in enumerate(phrases) if phrase.end <= start]
    if re.match(r" (?:it|them)\b", text[match.end() :]):
        # "a house with a tree above it" means the house; "A house. A tree is above it." does too.
        subject = before[-1] if before else (after[0] if after else None)
        known = (before[:-1] or earlier) if before else earlier
        return None if subject is None or not known else (subject, _antecedent(known, phrases))
    if not after or text[match.end() : phrases[after[0]].start].strip():
        return None
    if before:
        return before[-1], after[0]
    return (after[1], after[0]) if len(after) >= 2 else None


def _antecedent(known: list[int], phrases: tuple[Phrase, ...]) -> int:
    """What a pronoun means: the last thing that was newly named."""
    new = [number for number in known if not phrases[number].definite]
    return new[-1] if new else known[-1]
