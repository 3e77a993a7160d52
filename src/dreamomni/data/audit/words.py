"""Checks of words: every number, colour, name, quoted text and place agrees with the labels."""

import re
from collections import Counter
from collections.abc import Iterator

from dreamomni.data.audit.check import Check
from dreamomni.data.audit.facts import Facts, View
from dreamomni.data.audit.nouns import ANYTHING, INVARIANT, an_or_a
from dreamomni.data.audit.referents import holds, meant, named, referents
from dreamomni.data.audit.sentences import Claim, Sentence, read

POINTING = frozenset({"edit", "drag", "segment", "detect"})
"""Tasks whose instruction points at things of image 1."""
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
        for phrase in read(text, facts.vocabulary).phrases:
            words = text[phrase.start : phrase.end]
            if phrase.article and phrase.article != an_or_a(phrase.follows):
                yield f"the {title} says {phrase.article!r} before {phrase.follows!r}: {text!r}"
            last = phrase.name.rpartition(" ")[2]
            if phrase.count is None or last in INVARIANT or "pair" in words.lower():
                continue
            if (phrase.count != 1) != phrase.is_plural:
                yield f"the {title} writes {phrase.count} of {phrase.name!r} as {words!r}: {text!r}"


def described(facts: Facts) -> Iterator[str]:
    """Numbers, names and colours said of the target are its labels'; descriptions leave nothing out."""
    # Where a region was filled, words name things as they were, and then the fill.
    view = facts.source if facts.sample.task == "segment" else facts.target
    for title, text in target_texts(facts):
        sentence = read(text, facts.vocabulary)
        yield from (f"the {title} {message}: {text!r}" for message in _count_claims(view, sentence))
        if title in _FULL:
            said = {phrase.name for phrase in sentence.phrases}
            for label in view.labels:
                if label.kind != "text" and label.name not in said:
                    yield f"the {title} does not name the {label.name}: {text!r}"


def quoted(facts: Facts) -> Iterator[str]:
    """Quoted words are those that the picture shows; descriptions quote all of them."""
    shown = Counter(label.name for label in facts.target.labels if label.kind == "text")
    everywhere = {label.name for view in facts.views for label in view.labels if label.kind == "text"}
    for title, text in texts(facts):
        said = Counter(read(text, facts.vocabulary).quoted)
        if title in _FULL and said != shown:
            yield f"the {title} quotes {sorted(said)}, the target shows {sorted(shown)}: {text!r}"
        for word in said:
            if word not in everywhere:
                yield f"the {title} quotes {word!r}, which no picture shows: {text!r}"


def places(facts: Facts) -> Iterator[str]:
    """Places and relations that words name hold between the pixels of the target."""
    for title, text in texts(facts):
        sentence = read(text, facts.vocabulary)
        yield from (f"the {title} leaves {words!r} hanging: {text!r}" for words in sentence.dangling)
        for claim in sentence.claims:
            # What tells a thing of image 1 from its like is asked by `pointing`.
            asks = title == "instruction" and facts.sample.task in POINTING
            if asks and sentence.phrases[claim.subject].definite:
                continue
            if not holds(facts.target, sentence, claim):
                yield f"not so in the target: {_in_words(sentence, claim)}, in {text!r}"


def pointing(facts: Facts) -> Iterator[str]:
    """What the instruction points at with "the" is exactly one thing of image 1, or as many as it says."""
    text = facts.sample.instruction
    sentence = read(text, facts.vocabulary)
    for number, phrase in enumerate(sentence.phrases):
        if not phrase.definite:
            continue
        found = referents(facts.source, sentence, number)
        if not found or (phrase.count is not None and len(found) != phrase.count):
            yield f"{str(phrase)!r} means {len(found)} things of image 1, in {text!r}"


def pointed(facts: Facts) -> Iterator[str]:
    """What a task marks or moves is exactly what its words point at."""
    sample = facts.sample
    sentence = read(sample.instruction, facts.vocabulary)
    if sample.task == "drag":
        wanted = {drag.instance_id for drag in sample.drags}
        if not sentence.phrases:
            return
    else:
        wanted = {int(number) for number in facts.detail("instances")}
    found = {label.instance_id for label in meant(facts.source, sentence)}
    if found != wanted:
        yield f"the words mean instances {sorted(found)}, not {sorted(wanted)}: {sample.instruction!r}"


def edited(facts: Facts) -> Iterator[str]:
    """The words of an edit name what goes and what comes, and labels differ by just that."""
    gone = Counter(one.removed for one in facts.operations if one.removed)
    come = Counter(one.added for one in facts.operations if one.added)
    if not facts.operations:
        yield "no operation is recorded"
    before = Counter((label.name, label.colour) for label in facts.source.labels)
    after = Counter((label.name, label.colour) for label in facts.target.labels)
    if before - after != gone - come or after - before != come - gone:
        yield (
            f"recorded: {_list(gone)} goes, {_list(come)} comes; "
            f"seen: {_list(before - after)} goes, {_list(after - before)} comes"
        )
    text = facts.sample.instruction
    sentence = read(text, facts.vocabulary)
    new = [phrase for phrase in sentence.phrases if not phrase.definite]
    for name, colour in come:
        if not any(phrase.name == name and phrase.colour in (None, colour) for phrase in new):
            yield f"a {colour} {name} comes, which the words do not say: {text!r}"
    if sum(phrase.count or 0 for phrase in new) != sum(come.values()):
        yield f"the instruction speaks of {[str(one) for one in new]}, but {_list(come)} comes: {text!r}"
    pointed_at = {label.instance_id for label in meant(facts.source, sentence)}
    left = set(facts.source.by_id) - set(facts.target.by_id)
    if not left <= pointed_at:
        missed = ", ".join(facts.source.by_id[number].name for number in sorted(left - pointed_at))
        yield f"the words do not point at what goes ({missed}): {text!r}"


def stray_words(facts: Facts) -> Iterator[str]:
    """Every colour and number word is of a thing, the background, or what the task draws with."""
    details = facts.sample.details
    background = (details.get("background") or {}).get("colour")
    allowed = {details.get("fill_colour"), details.get("box_colour"), background}
    allowed |= {label.colour for view in facts.views for label in view.labels if label.kind == "text"}
    for title, text in texts(facts):
        sentence = read(text, facts.vocabulary)
        for colour in (*sentence.loose_colours, *_background_words(sentence.rest, facts)):
            if colour not in allowed:
                yield f"the {title} says {colour!r} of nothing that is there: {text!r}"
        yield from (f"the {title} says {number!r} of nothing: {text!r}" for number in sentence.loose_numbers)


def drawn_colour(facts: Facts) -> Iterator[str]:
    """The colour that a task draws with is said in the instruction."""
    name = facts.detail("fill_colour" if facts.sample.task == "segment" else "box_colour")
    said = read(facts.sample.instruction, facts.vocabulary).loose_colours
    if said != (name,):
        yield f"the words name the colours {said}, the task draws in {name}: {facts.sample.instruction!r}"


def image_numbers(facts: Facts) -> Iterator[str]:
    """Images that words name by number exist."""
    for title, text in texts(facts):
        for number, _ in read(text, facts.vocabulary).images:
            if not 1 <= number <= len(facts.images):
                yield f"the {title} names image {number} of {len(facts.images)}: {text!r}"


def texts(facts: Facts) -> Iterator[tuple[str, str]]:
    """All words of a sample, each once, with what they are."""
    sample = facts.sample
    seen = {""}
    named = (
        ("caption", sample.caption),
        ("description", sample.details.get("description")),
        ("instruction", sample.instruction),
    )
    for title, text in named:
        if isinstance(text, str) and text not in seen:
            seen.add(text)
            yield title, text


def target_texts(facts: Facts) -> Iterator[tuple[str, str]]:
    """Words that describe the target."""
    for title, text in texts(facts):
        if title != "instruction" or facts.sample.task not in POINTING:
            yield title, text


def _count_claims(view: View, sentence: Sentence) -> Iterator[str]:
    totals: Counter[str] = Counter()
    coloured: Counter[tuple[str, str]] = Counter()
    for phrase in sentence.phrases:
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
    return sum(label.name == name or name == ANYTHING for label in named(view, ANYTHING, colour))


def _background_words(rest: str, facts: Facts) -> list[str]:
    """Background colours said outside noun phrases, the longest where several fit ("light gray", "gray")."""
    names = sorted(facts.vocabulary.backgrounds, key=len, reverse=True)
    return re.findall(rf"\b(?:{'|'.join(map(re.escape, names))})\b", rest) if names else []


def _in_words(sentence: Sentence, claim: Claim) -> str:
    other = "" if claim.object is None else f" {sentence.phrases[claim.object]}"
    return f"{sentence.phrases[claim.subject]} {claim.predicate}{other}"


def _list(things: Counter[tuple[str, str | None]]) -> str:
    return ", ".join(f"{count} {colour} {name}" for (name, colour), count in things.items()) or "nothing"


CHECKS = (
    Check("words written", written),
    Check("grammar", grammar),
    Check("numbers, names, colours", described),
    Check("quoted words", quoted),
    Check("places and relations", places),
    Check("clear references", pointing, POINTING),
    Check("marked as said", pointed, frozenset({"drag", "segment", "detect"})),
    Check("edited as said", edited, frozenset({"edit"})),
    Check("stray colours and numbers", stray_words),
    Check("colour of marks", drawn_colour, frozenset({"segment", "detect"})),
    Check("image numbers", image_numbers),
)
