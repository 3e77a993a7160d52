"""Which things of a picture a noun phrase means, by pixels."""

from collections.abc import Callable, Sequence

from dreamomni.data.audit.facts import Bounds, View, bounds
from dreamomni.data.audit.labels import compass, directions
from dreamomni.data.audit.nouns import ANYTHING, SIGN, Phrase
from dreamomni.data.audit.sentences import BESIDE, Claim, Sentence
from dreamomni.tasks.sample import ObjectLabel

_CLEAR = 0.05
"""How far apart, as a part of the canvas, things must be to be told apart by where they are."""
_LARGER = 1.3
_BESIDE = 0.2
"""Widest gap between two things that stand beside each other, as a part of the shorter side."""
_PLACES = {
    "upper left": (0.0, 0.0, 0.5, 0.5),
    "upper right": (0.5, 0.0, 1.0, 0.5),
    "lower left": (0.0, 0.5, 0.5, 1.0),
    "lower right": (0.5, 0.5, 1.0, 1.0),
    "top": (0.0, 0.0, 1.0, 0.5),
    "bottom": (0.0, 0.5, 1.0, 1.0),
    "left": (0.0, 0.0, 0.5, 1.0),
    "right": (0.5, 0.0, 1.0, 1.0),
    "center": (0.25, 0.25, 0.75, 0.75),
}
"""Where the centre of a thing must be, as fractions (x0, y0, x1, y1)."""


def named(view: View, name: str, colour: str | None) -> list[ObjectLabel]:
    """Labels that a noun with a colour may mean: "balloon" may mean a "hot air balloon" too."""
    fits = [label for label in view.labels if label.kind != "text" and colour in (None, label.colour)]
    if name == ANYTHING:
        return fits
    found = [label for label in fits if label.name == name or label.name.endswith(f" {name}")]
    if name == SIGN and not found:
        return [label for label in fits if label.kind == "shape" and _carries_text(view, label)]
    return found


def candidates(view: View, phrase: Phrase) -> list[ObjectLabel]:
    """Labels that the words of a phrase fit, before anything else tells them apart."""
    if phrase.is_text:
        return [label for label in view.labels if label.kind == "text" and label.name == phrase.name]
    return named(view, phrase.name, phrase.colour)


def referents(view: View, sentence: Sentence, number: int, *, attached: bool = False) -> list[ObjectLabel]:
    """Things of a picture that a noun phrase means, with all that the sentence says to tell them apart.

    Args:
        view: The picture.
        sentence: The text.
        number: Number of the phrase.
        attached: Use only what follows the noun at once; the rest speaks of another picture.
    """
    phrase = sentence.phrases[number]
    found = candidates(view, phrase)
    if phrase.selector is not None:
        found = _selected(view, found, phrase.selector)
    if phrase.count is None or len(found) <= phrase.count:
        return found
    for claim in sentence.claims:
        if claim.subject != number or len(found) <= phrase.count or (attached and not claim.attached):
            continue
        if claim.object is None:
            there = [label for label in found if in_place(view, label, claim.predicate)]
            found = there if len(there) == 1 else _selected(view, found, claim.predicate)
        elif claim.predicate == BESIDE:
            found = _nearest_to(view, found, referents(view, sentence, claim.object))
        else:
            anchors = referents(view, sentence, claim.object)
            found = [
                label
                for label in found
                if all(claim.predicate in directions(view, label, anchor) for anchor in anchors)
            ]
    return found


def meant(view: View, sentence: Sentence) -> list[ObjectLabel]:
    """All things that definite phrases point at, but for those that others are seen from."""
    anchors = {claim.object for claim in sentence.claims}
    return [
        label
        for number, phrase in enumerate(sentence.phrases)
        if phrase.definite and number not in anchors
        for label in referents(view, sentence, number)
    ]


def holds(view: View, sentence: Sentence, claim: Claim) -> bool:
    """Whether all things that a phrase names are in the place or relation that is claimed."""
    subject = sentence.phrases[claim.subject]
    first = candidates(view, subject)
    if claim.object is None:
        wanted = subject.count or len(first)
        return sum(in_place(view, label, claim.predicate) for label in first) >= wanted > 0
    other = sentence.phrases[claim.object]
    second = candidates(view, other)
    if other.definite and other.count is not None and len(second) > other.count:
        second = referents(view, sentence, claim.object)
    if claim.predicate == BESIDE:
        return bool(first and second) and all(
            _gap(one.box, two.box) <= _BESIDE * min(view.pixels.shape[:2]) for one in first for two in second
        )
    return bool(first and second) and all(
        claim.predicate in directions(view, one, two) for one in first for two in second if one is not two
    )


def comes_there(source: View, target: View, sentence: Sentence, claim: Claim) -> bool:
    """Whether new things of an edit are where its words put them, seen from a thing of image 1."""
    if claim.object is None:
        return holds(target, sentence, claim)
    first = candidates(target, sentence.phrases[claim.subject])
    second = referents(source, sentence, claim.object)
    pairs = [
        (bounds(target.mask(one.instance_id)), bounds(source.mask(two.instance_id)))
        for one in first
        for two in second
    ]
    if claim.predicate == BESIDE:
        side = min(target.pixels.shape[:2])
        return bool(pairs) and all(one and two and _gap(one, two) <= _BESIDE * side for one, two in pairs)
    return bool(pairs) and all(one and two and claim.predicate in compass(one, two) for one, two in pairs)


def in_place(view: View, label: ObjectLabel, place: str) -> bool:
    """Whether the centre of a label's box lies in a named part of the picture."""
    x, y = _centre(view, label)
    x0, y0, x1, y1 = _PLACES[place]
    return x0 <= x <= x1 and y0 <= y <= y1


def _carries_text(view: View, label: ObjectLabel) -> bool:
    x0, y0, x1, y1 = label.box
    middles = [
        ((text.box[0] + text.box[2]) / 2, (text.box[1] + text.box[3]) / 2)
        for text in view.labels
        if text.kind == "text"
    ]
    return any(x0 <= x <= x1 and y0 <= y <= y1 for x, y in middles)


def _centre(view: View, label: ObjectLabel) -> tuple[float, float]:
    height, width = view.pixels.shape[:2]
    x0, y0, x1, y1 = label.box
    return (x0 + x1) / 2 / width, (y0 + y1) / 2 / height


def _gap(one: Bounds, two: Bounds) -> int:
    """Empty columns or rows between two boxes, whichever are more."""
    across = max(one[0] - two[2], two[0] - one[2], 0)
    down = max(one[1] - two[3], two[1] - one[3], 0)
    return max(across, down)


def _nearest_to(
    view: View, labels: Sequence[ObjectLabel], anchors: Sequence[ObjectLabel]
) -> list[ObjectLabel]:
    """The one of several that stands beside another thing; none where a second one is nearly as near."""
    if len(anchors) != 1:
        return []
    gaps = sorted((_gap(label.box, anchors[0].box), label.instance_id) for label in labels)
    side = min(view.pixels.shape[:2])
    clear = gaps[0][0] <= _BESIDE * side and gaps[1][0] - gaps[0][0] >= _CLEAR * side
    return [label for label in labels if clear and label.instance_id == gaps[0][1]]


def _selected(view: View, labels: Sequence[ObjectLabel], selector: str) -> list[ObjectLabel]:
    """The one that is furthest to a side, or the largest or smallest; none where it is not clear."""
    measures: dict[str, Callable[[ObjectLabel], float]] = {
        "left": lambda label: -_centre(view, label)[0],
        "right": lambda label: _centre(view, label)[0],
        "top": lambda label: -_centre(view, label)[1],
        "bottom": lambda label: _centre(view, label)[1],
    }
    if len(labels) < 2:
        return list(labels)
    if selector in measures:
        measure = measures[selector]
        first, second = sorted(labels, key=measure, reverse=True)[:2]
        return [first] if measure(first) - measure(second) >= _CLEAR else []
    if selector in ("large", "small"):
        areas = [(view.areas.get(label.instance_id, 0), label) for label in labels]
        areas.sort(key=lambda pair: pair[0], reverse=selector == "large")
        (one, label), (two, _) = areas[:2]
        return [label] if max(one, two) >= _LARGER * max(min(one, two), 1) else []
    return []
