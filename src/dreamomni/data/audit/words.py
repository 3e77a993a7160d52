"""Checks of words: every number, colour, name, quoted text and place agrees with the labels."""

import re
from collections import Counter
from collections.abc import Iterator

from dreamomni.data.audit.check import Check
from dreamomni.data.audit.facts import Facts, View
from dreamomni.data.audit.instructions import POINTING
from dreamomni.data.audit.nouns import ANYTHING, SIGN, an_or_a, is_invariant
from dreamomni.data.audit.referents import comes_there, holds, named
from dreamomni.data.audit.sentences import Claim, Sentence

_UNLABELLED = frozenset({"inpaint", "outpaint"})
_FULL = frozenset({"description", "caption"})
"""Words that name everything in the target."""


def written(facts: Facts) -> Iterator[str]:
    """Words are there, without placeholders, doubled blanks or stray marks."""
    for title, text in texts(facts):
        bare = re.sub(r'"[^"]*"', '""', text)
        if re.search(r"[{}\n\t]|  |None| [,.;]|^\s|\s$", bare):
            yield f"the {title} is badly written: {text!r}"
        if text.count('"') % 2:
            yield f"the {title} has an open quotation: {text!r}"
    sample = facts.sample
    if not sample.caption:
        yield "the caption is empty"
    if not sample.instruction and sample.task not in _UNLABELLED:
        yield "the instruction is empty"
    if not isinstance(facts.detail("description"), str):
        yield f"the description is {facts.detail('description')!r}"


def grammar(facts: Facts) -> Iterator[str]:
    """Articles fit the next word, plurals fit their numbers."""
    for title, text in texts(facts):
        for phrase in facts.read(text).phrases:
            words = text[phrase.start : phrase.end]
            if phrase.article and phrase.article != an_or_a(phrase.follows):
                yield f"the {title} says {phrase.article!r} before {phrase.follows!r}: {text!r}"
            if phrase.is_text or phrase.count is None or "pair" in words.lower():
                continue
            if (phrase.count != 1 and not is_invariant(phrase.name)) != phrase.is_plural:
                yield f"the {title} writes {phrase.count} of {phrase.name!r} as {words!r}: {text!r}"


def described(facts: Facts) -> Iterator[str]:
    """Numbers, names and colours said of the target are its labels'; descriptions leave nothing out."""
    view = facts.unmarked
    for title, text in target_texts(facts):
        sentence = facts.read(text)
        yield from (f"the {title} {message}: {text!r}" for message in _count_claims(view, sentence))
        if title in _FULL:
            said = {phrase.name for phrase in sentence.phrases if not phrase.is_text}
            signs = named(view, SIGN, None) if SIGN in said else []
            for label in view.labels:
                if label.kind != "text" and label.name not in said and label not in signs:
                    yield f"the {title} does not name the {label.name}: {text!r}"


def quoted(facts: Facts) -> Iterator[str]:
    """Quoted words are those that the picture shows; descriptions quote all of them."""
    shown = Counter(label.name for label in facts.target.labels if label.kind == "text")
    everywhere = {label.name for view in facts.views for label in view.labels if label.kind == "text"}
    for title, text in texts(facts):
        said = Counter(facts.read(text).quoted)
        if title in _FULL and said != shown:
            yield f"the {title} quotes {sorted(said)}, the target shows {sorted(shown)}: {text!r}"
        for word in said:
            if word not in everywhere:
                yield f"the {title} quotes {word!r}, which no picture shows: {text!r}"


def places(facts: Facts) -> Iterator[str]:
    """Places and relations that words name hold between the pixels of the target."""
    for title, text in texts(facts):
        points = title == "instruction" and facts.sample.task in POINTING
        if title == "instruction" and (facts.sample.task == "subject" or facts.with_references):
            continue
        sentence = facts.read(text)
        yield from (f"the {title} leaves {words!r} hanging: {text!r}" for words in sentence.dangling)
        for claim in sentence.claims:
            # What tells a thing from its like is asked where the words point at it.
            if sentence.phrases[claim.subject].definite and (points or claim.attached):
                continue
            there = (
                comes_there(facts.source, facts.unmarked, sentence, claim)
                if points
                else holds(facts.unmarked, sentence, claim)
            )
            if not there:
                yield f"not so in the target: {_in_words(sentence, claim)}, in {text!r}"


def stray_words(facts: Facts) -> Iterator[str]:
    """Every colour and number word is of a thing, the background, or what the task draws with."""
    details = facts.sample.details
    background = (details.get("background") or {}).get("colour")
    allowed = {record.get("fill_colour", record.get("box_colour")) for record in facts.marks} | {background}
    allowed |= {one.added[1] for one in facts.operations if one.operation == "recolour" and one.added}
    allowed |= {label.colour for view in facts.views for label in view.labels if label.kind == "text"}
    for title, text in texts(facts):
        if title == "instruction" and facts.with_references:
            continue
        sentence = facts.read(text)
        for colour in (*sentence.loose_colours, *_background_words(sentence.rest, facts)):
            if colour not in allowed:
                yield f"the {title} says {colour!r} of nothing that is there: {text!r}"
        yield from (f"the {title} says {number!r} of nothing: {text!r}" for number in sentence.loose_numbers)


def image_numbers(facts: Facts) -> Iterator[str]:
    """Images that words name by number exist."""
    for title, text in texts(facts):
        for number, _ in facts.read(text).images:
            if not 1 <= number <= len(facts.images):
                yield f"the {title} names image {number} of {len(facts.images)}: {text!r}"


def texts(facts: Facts) -> Iterator[tuple[str, str]]:
    """All words of a sample, each once, with what they are."""
    sample = facts.sample
    seen = {""}
    named = [
        ("caption", sample.caption),
        ("description", sample.details.get("description")),
        ("instruction", sample.instruction),
    ]
    if facts.with_references and sample.task == "edit":
        named.append(("caption", (sample.details.get("standard") or {}).get("caption")))
    for title, text in named:
        if isinstance(text, str) and text not in seen:
            seen.add(text)
            yield title, text


def target_texts(facts: Facts) -> Iterator[tuple[str, str]]:
    """Words that describe the target."""
    for title, text in texts(facts):
        if title != "instruction" or facts.sample.task not in POINTING | {"subject"}:
            yield title, text


def _count_claims(view: View, sentence: Sentence) -> Iterator[str]:
    totals: Counter[str] = Counter()
    coloured: Counter[tuple[str, str]] = Counter()
    for phrase in sentence.phrases:
        if phrase.is_text:
            continue
        if phrase.definite:
            found = len(named(view, phrase.name, phrase.colour))
            if found == 0 or (phrase.count is not None and phrase.selector is None and found < phrase.count):
                yield f"says {str(phrase)!r}, {view.title} has {found}"
            continue
        totals[phrase.name] += phrase.count or 0
        if phrase.colour is not None:
            coloured[phrase.name, phrase.colour] += phrase.count or 0
    for name, count in totals.items():
        if (found := _count(view, name)) != count:
            yield f"says {count} of {name!r}, {view.title} has {found}"
    for (name, colour), count in coloured.items():
        if (found := _count(view, name, colour)) != count:
            yield f"says {count} of '{colour} {name}', {view.title} has {found}"


def _count(view: View, name: str, colour: str | None = None) -> int:
    """How many things have exactly this name (`ANYTHING`: any), and this colour where one is given."""
    if name in (ANYTHING, SIGN):
        return len(named(view, name, colour))
    return sum(label.name == name for label in named(view, ANYTHING, colour))


def _background_words(rest: str, facts: Facts) -> list[str]:
    """Background colours said outside noun phrases, the longest where several fit ("light gray", "gray")."""
    names = sorted(facts.vocabulary.backgrounds, key=len, reverse=True)
    return re.findall(rf"\b(?:{'|'.join(map(re.escape, names))})\b", rest) if names else []


def _in_words(sentence: Sentence, claim: Claim) -> str:
    other = "" if claim.object is None else f" {sentence.phrases[claim.object]}"
    return f"{sentence.phrases[claim.subject]} {claim.predicate}{other}"


CHECKS = (
    Check("words written", written),
    Check("grammar", grammar),
    Check("numbers, names, colours", described),
    Check("quoted words", quoted),
    Check("places and relations", places),
    Check("stray colours and numbers", stray_words),
    Check("image numbers", image_numbers),
)
