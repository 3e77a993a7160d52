"""Checks of samples with several references: what is taken from where, in words, labels and pixels."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dreamomni.data.audit.check import Check
from dreamomni.data.audit.facts import Facts, View
from dreamomni.data.audit.finishes import finish_of, letter_strength
from dreamomni.data.audit.labels import directions
from dreamomni.data.audit.nouns import ANYTHING
from dreamomni.data.audit.referents import in_place, referents
from dreamomni.data.audit.sentences import Sentence
from dreamomni.data.audit.subjects import alike
from dreamomni.tasks.sample import ObjectLabel

_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_MENTION = re.compile(
    rf"\b(?:the ({'|'.join(_ORDINALS)}) (?:image|picture|photo|one)|"
    r"(?:image|picture|photo|pic|figure) (\d))\b"
)
_PREPOSITION = re.compile(r"\s*(?:of|in|from|on)\s*")
_TAGGED = re.compile(
    r"\b(?:the|an?|a pair of) ((?:(?!\b(?:the|an?|of)\b)[a-z ])+) \(image_(\d)\)", re.IGNORECASE
)
_GROUNDS = ("background", "gradient", "photo")
_TAG = re.compile(r"image_(\d)")
_ATTRIBUTES = {
    "colour": re.compile(r"\bcolor"),
    "pattern": re.compile(r"\bpattern"),
    "style": re.compile(r"\bstyle\b|\bdrawn?\b|\bdraw\b"),
    "background": re.compile(r"\bbackground\b|\bbehind\b"),
    "font": re.compile(r"\bfont\b|\bletters\b|\bwritten\b"),
}
_MIN_FINISH_PIXELS = 400
_GROUND_GAP = 6.0
_STRENGTH_GAP = 0.5


def images_said(facts: Facts) -> Iterator[str]:
    """The words name the images that are used, image 1 of an edit aside, and no others."""
    used = {int(use["image"]) for use in _uses(facts)}
    if _record(facts).get("ground"):
        used.add(int(_record(facts)["ground"]))
    said = {image for image, _, _ in mentions(facts.sample.instruction)}
    if facts.sample.task == "edit":
        said.discard(1)
    if said != used:
        yield f"the words name images {sorted(said)}, used are {sorted(used)}: {facts.sample.instruction!r}"


def references_said(facts: Facts) -> Iterator[str]:
    """What the words call in a picture is the one thing of it that is used; "that thing" stands alone."""
    text = facts.sample.instruction
    sentence = facts.read(text)
    uses = {int(use["image"]): use for use in _uses(facts)}
    named: set[int] = set()
    for phrase_number, image in _attached(sentence, text):
        if image not in uses or not 1 <= image <= len(facts.images):
            continue
        named.add(image)
        view, number = facts.images[image - 1], uses[image]["instance"]
        phrase = sentence.phrases[phrase_number]
        if phrase.name == ANYTHING and phrase.colour is None:
            found = list(view.labels)
        else:
            found = referents(view, sentence, phrase_number, attached=True)
        if [label.instance_id for label in found] != [number]:
            yield f"the words mean {len(found)} things of image {image}, or another one: {text!r}"
    attribute = _record(facts)["attribute"]
    if attribute not in ("background", "font") and named != set(uses):
        yield f"the words call something in images {sorted(named)}, used are {sorted(uses)}: {text!r}"
    if attribute in _ATTRIBUTES and not _ATTRIBUTES[attribute].search(text.lower()):
        yield f"the words do not say that a {attribute} is meant: {text!r}"


def pointed_in_source(facts: Facts) -> Iterator[str]:
    """What the words point at in image 1 is what changes, each one thing, and what places are seen from."""
    text = facts.sample.instruction
    sentence = facts.read(text)
    elsewhere = {number for number, _ in _attached(sentence, text)}
    anchors = {claim.object for claim in sentence.claims if claim.object is not None}
    meant: set[int] = set()
    for number, phrase in enumerate(sentence.phrases):
        if number in elsewhere or not (phrase.definite or phrase.is_text):
            continue
        # "this thing of image 2, put it here": what is left over speaks of the picture itself.
        found = referents(facts.source, sentence, number)
        if len(found) != 1:
            yield f"{str(phrase)!r} means {len(found)} things of image 1: {text!r}"
        elif number not in anchors:
            meant.add(found[0].instance_id)
    wanted = {int(use["subject_instance"]) for use in _uses(facts) if use.get("subject_instance") is not None}
    if meant != wanted:
        yield f"the words mean instances {sorted(meant)} of image 1, changed are {sorted(wanted)}: {text!r}"


def comes_where_said(facts: Facts) -> Iterator[str]:
    """Places and relations that words give to what comes hold in the target."""
    text = facts.sample.instruction
    sentence = facts.read(text)
    yield from (f"{words!r} is left hanging: {text!r}" for words in sentence.dangling)
    where = dict(_attached(sentence, text))
    come = {int(use["image"]): use.get("target_instance") for use in _uses(facts)}
    for claim in sentence.claims:
        first = _in_target(facts, sentence, claim.subject, where, come)
        if claim.object is None:
            # Where a thing of image 1 is tells which one it is.
            if claim.subject in where:
                true = bool(first) and all(in_place(facts.target, one, claim.predicate) for one in first)
            else:
                continue
        else:
            second = _in_target(facts, sentence, claim.object, where, come)
            if claim.subject not in where and facts.sample.task == "edit":
                continue
            pairs = [(one, two) for one in first for two in second]
            true = bool(pairs) and all(claim.predicate in directions(facts.target, *pair) for pair in pairs)
        if not true:
            yield f"not so in the target: {sentence.phrases[claim.subject]} {claim.predicate}: {text!r}"


def stray_colours(facts: Facts) -> Iterator[str]:
    """No colour is said of nothing: the reference shows it, the words do not."""
    sentence = facts.read(facts.sample.instruction)
    background = (facts.sample.details.get("background") or {}).get("colour")
    allowed = {background} if facts.sample.task == "subject" else set()
    for colour in sentence.loose_colours:
        if colour not in allowed and colour not in str(background).split():
            yield f"the words say {colour!r} of nothing: {facts.sample.instruction!r}"


def taken(facts: Facts) -> Iterator[str]:
    """What is taken is in the reference and in the target: the same thing, or the same colour."""
    record = _record(facts)
    for use in _uses(facts):
        view = facts.images[int(use["image"]) - 1]
        given = view.by_id.get(use["instance"])
        after = facts.target.by_id.get(int(use.get("target_instance") or 0))
        if record["attribute"] == "thing":
            if given is None or after is None:
                yield f"image {use['image']} or the target does not show the {use['name']}"
                continue
            if (given.name, given.colour) != (after.name, after.colour):
                yield f"a {given.colour} {given.name} is given, a {after.colour} {after.name} comes"
            yield from alike((view, given.instance_id), (facts.target, after.instance_id), facts)
        elif record["attribute"] == "colour" and use["image"] == record["image"]:
            changed = after if facts.sample.task == "edit" else next(iter(facts.target.labels), None)
            wanted, found = given and given.colour, changed and changed.colour
            if wanted is None or wanted != found:
                yield f"image {use['image']} gives the colour {wanted}, the target has {found}"


def coloured_anew(facts: Facts) -> Iterator[str]:
    """A thing in the colour of another is that of its own picture in shape, and nothing else is there."""
    first, second = _uses(facts)
    view = facts.images[int(first["image"]) - 1]
    given = view.by_id.get(first["instance"])
    if len(facts.target.labels) != 1 or given is None or facts.target.labels[0].name != given.name:
        yield f"the target shows {[label.name for label in facts.target.labels]}, not one {first['name']}"
    if given is not None and given.colour == second["colour"]:
        yield f"the {given.name} has the colour {given.colour} already"


def finishes(facts: Facts) -> Iterator[str]:
    """Pattern or style of the thing is that of the reference, measured on the pixels of both."""
    if (facts.sample.details.get("blend") or {}).get("style", "none") != "none":
        return  # light and soft edges change the very pixels that are asked
    (use,) = _uses(facts)
    pairs = (
        (facts.images[int(use["image"]) - 1], use["instance"]),
        (facts.target, use["subject_instance"]),
    )
    for view, number in pairs:
        label = view.by_id.get(number)
        if label is None:
            yield f"{view.title} does not show instance {number}"
            continue
        if label.visibility < 1 or label.area < _MIN_FINISH_PIXELS:
            continue
        found = finish_of(view.pixels, view.mask(number))
        if found is not None and found != use["value"]:
            yield f"the {label.name} of {view.title} looks like {found}, it should be {use['value']}"


def grounds(facts: Facts) -> Iterator[str]:
    """The background of the target is that of the reference in colour, and of a plain one to the pixel."""
    record = _record(facts)
    number = record.get("ground") or record["image"]
    view = facts.images[int(number) - 1]
    target = _behind(facts.target)
    given = _behind(view)
    if target is None or given is None:
        return
    gap = float(np.abs(np.median(target, axis=0) - np.median(given, axis=0)).max())
    if gap > _GROUND_GAP:
        yield f"the background of image {number} and that of the target differ by {gap:.0f} levels"
    if facts.sample.task == "edit":
        before = _behind(facts.source)
        same = before is not None and len(before) == len(target) and (before == target).all()
        if same:
            yield "the background did not change"


def letters(facts: Facts) -> Iterator[str]:
    """Words keep their letters, and get strokes as thick as those of the reference."""
    (use,) = _uses(facts)
    number = use["subject_instance"]
    before, after = facts.source.by_id.get(number), facts.target.by_id.get(number)
    given = facts.images[int(use["image"]) - 1].by_id.get(use["instance"])
    if before is None or after is None or given is None or after.kind != "text":
        yield "image 1, the reference or the target does not show its words"
        return
    if before.name != after.name:
        yield f"the words {before.name!r} became {after.name!r}"
    if (
        min(one.area for one in (after, given)) < _MIN_FINISH_PIXELS
        or after.visibility * given.visibility < 1
    ):
        return
    view = facts.images[int(use["image"]) - 1]
    one = letter_strength(view.mask(use["instance"]))
    two = letter_strength(facts.target.mask(number))
    if abs(one - two) > _STRENGTH_GAP * max(one, two):
        yield f"letters of image {use['image']} are {one:.2f} of their height thick, of the target {two:.2f}"


def standard(facts: Facts) -> Iterator[str]:
    """The standard words name every used image by its tag, and each thing as that picture shows it."""
    words = facts.detail("standard")
    edit = facts.sample.task == "edit"
    text = str(words["instruction" if edit else "caption"])
    used = {int(use["image"]) for use in _uses(facts)} | ({1} if edit else set())
    if _record(facts).get("ground"):
        used.add(int(_record(facts)["ground"]))
    said = {int(number) for number in _TAG.findall(text)}
    if said != used:
        yield f"the standard words name images {sorted(said)}, used are {sorted(used)}: {text!r}"
    for noun, number in _TAGGED.findall(text):
        if not 1 <= int(number) <= len(facts.images) or noun.endswith(_GROUNDS):
            continue
        shown = [f"{label.colour} {label.name}" for label in facts.images[int(number) - 1].labels]
        names = [label.name for label in facts.images[int(number) - 1].labels]
        # A thing that gets another colour is named by that.
        fits = noun in shown or noun in names or any(noun.endswith(name) for name in names if not edit)
        if not fits and not noun.startswith("text"):
            yield f"the standard words call a {noun!r} in image {number}, which shows {shown}: {text!r}"


def mentions(text: str) -> list[tuple[int, int, int]]:
    """Every picture that a text names: (its number, where the words begin, where they end)."""
    return [
        (_ORDINALS.index(match[1]) + 1 if match[1] else int(match[2]), match.start(), match.end())
        for match in _MENTION.finditer(text.lower())
    ]


def _attached(sentence: Sentence, text: str) -> list[tuple[int, int]]:
    """Phrases that a picture follows at once: (number of the phrase, number of the image)."""
    low = text.lower()
    return [
        (place, image)
        for image, start, _ in mentions(text)
        for place, phrase in enumerate(sentence.phrases)
        if phrase.end <= start and _PREPOSITION.fullmatch(low[phrase.end : start])
    ]


def _in_target(
    facts: Facts,
    sentence: Sentence,
    number: int,
    where: Mapping[int, int],
    come: Mapping[int, Any],
) -> list[ObjectLabel]:
    if number in where:
        label = facts.target.by_id.get(int(come.get(where[number]) or 0))
        return [] if label is None else [label]
    return referents(facts.source, sentence, number)


def _behind(view: View) -> np.ndarray | None:
    """Pixels of the background, away from shadows as far as the median tells."""
    if view.ids is None:
        return None
    pixels = view.pixels[view.ids == 0]
    return pixels if len(pixels) else None


def _record(facts: Facts) -> Mapping[str, Any]:
    record: Mapping[str, Any] = facts.detail("reference")
    return record


def _uses(facts: Facts) -> Sequence[Mapping[str, Any]]:
    uses: Sequence[Mapping[str, Any]] = _record(facts)["uses"]
    return uses


def _taken(*attributes: str, task: str = "") -> Any:
    """Whether a sample takes one of these from a reference."""

    def asked(facts: Facts) -> bool:
        if not facts.with_references or (task and facts.sample.task != task):
            return False
        return not attributes or _record(facts)["attribute"] in attributes

    return asked


CHECKS = (
    Check("images as said", images_said, when=_taken()),
    Check("references as said", references_said, when=_taken()),
    Check("pointed at in image 1", pointed_in_source, when=_taken(task="edit")),
    Check("comes where said", comes_where_said, when=_taken()),
    Check("stray colours", stray_colours, when=_taken()),
    Check("taken from references", taken, when=_taken()),
    Check("coloured anew", coloured_anew, when=_taken("colour", task="subject")),
    Check("patterns and styles", finishes, when=_taken("pattern", "style"), exact=True),
    Check(
        "backgrounds of references",
        grounds,
        when=lambda facts: _taken("background")(facts) or _has_ground(facts),
    ),
    Check("letters", letters, when=_taken("font")),
    Check("standard words", standard, when=_taken()),
)


def _has_ground(facts: Facts) -> bool:
    return facts.with_references and bool(_record(facts).get("ground"))
