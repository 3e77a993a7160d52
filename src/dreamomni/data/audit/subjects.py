"""Checks of subject-driven samples: every subject is in its source and in the target, and looks the same."""

from collections import Counter
from collections.abc import Iterator

import cv2
import numpy as np

from dreamomni.data.audit.check import Check
from dreamomni.data.audit.facts import Facts, View, bounds
from dreamomni.data.audit.labels import directions
from dreamomni.data.audit.nouns import Phrase
from dreamomni.data.audit.referents import in_place, referents
from dreamomni.data.audit.sentences import Sentence
from dreamomni.tasks.sample import ObjectLabel

_TASKS = frozenset({"subject"})
_SIDE = 48
_MIN_PIXELS = 150
_GAP, _LIT_GAP = 40, 90
"""Largest difference of a channel's mean in one light, and in two."""
_ANGLES = sorted(range(-170, 181, 10), key=abs)


def subjects(facts: Facts) -> Iterator[str]:
    """Subjects are the target's instances, each with a source that is said; each image gives at least one."""
    records = facts.detail("subjects")
    targets = Counter(int(record["target_instance"]) for record in records)
    if set(targets) != set(facts.target.by_id) or max(targets.values(), default=0) > 1:
        yield f"the subjects are instances {sorted(targets)}, the target shows {sorted(facts.target.by_id)}"
    images = {int(record["image"]) for record in records}
    if images != set(range(1, len(facts.images) + 1)):
        yield f"subjects come from images {sorted(images)} of {len(facts.images)}"
    for record in records:
        if not 1 <= record["image"] <= len(facts.images):
            continue
        view = facts.images[record["image"] - 1]
        before, after = (
            view.by_id.get(record["source_instance"]),
            facts.target.by_id.get(record["target_instance"]),
        )
        what = (record["name"], record["colour"])
        for label, title in ((before, view.title), (after, "the target")):
            if label is None:
                yield f"{title} does not show the {record['colour']} {record['name']}"
            elif (label.name, label.colour) != what:
                yield f"{title} shows a {label.colour} {label.name}, the subject is a {what[1]} {what[0]}"


def likeness(facts: Facts) -> Iterator[str]:
    """A subject that is whole in both pictures has one shape (up to size, turn, mirror) and one colour."""
    for record in facts.detail("subjects"):
        if 1 <= record["image"] <= len(facts.images):
            view = facts.images[record["image"] - 1]
            yield from alike(
                (view, record["source_instance"]), (facts.target, record["target_instance"]), facts
            )


def alike(given: tuple[View, int], made: tuple[View, int], facts: Facts) -> Iterator[str]:
    """Ask whether an instance of one picture looks like one of another; nothing where one is not whole."""
    pairs = (given, made)
    if any(not _whole(one, number) for one, number in pairs):
        return
    (one, first), (two, second) = pairs
    name = one.by_id[first].name
    least = 0.8 if min(one.areas[first], two.areas[second]) > 1500 else 0.65
    overlap = _overlap(_normal(one.mask(first)), _normal(two.mask(second)), least)
    if overlap < least:
        yield f"the {name} of {one.title} and of {two.title} overlap by {overlap:.2f} only"
    colours = [seen.pixels[seen.mask(number)].mean(axis=0) for seen, number in pairs]
    gap = np.abs(colours[0] - colours[1])
    lit = (facts.sample.details.get("blend") or {}).get("style") in ("gain", "shadow")
    if gap.max() > (_LIT_GAP if lit else _GAP):
        yield f"the {name} of {one.title} changes its colour by {gap.max():.0f}"


def sources_said(facts: Facts) -> Iterator[str]:
    """Each thing that words take from an image is just one thing there: a subject."""
    text = facts.sample.instruction
    sentence = facts.read(text)
    taken: Counter[tuple[int, int]] = Counter()
    for number, (phrase, image) in _taken(sentence).items():
        if not 1 <= image <= len(facts.images):
            continue
        found = referents(facts.images[image - 1], sentence, number, attached=True)
        if len(found) != 1:
            yield f"{str(phrase)!r} means {len(found)} things of image {image}: {text!r}"
        taken.update((image, label.instance_id) for label in found)
    wanted = Counter((record["image"], record["source_instance"]) for record in facts.detail("subjects"))
    if taken != wanted:
        yield f"the words take {sorted(taken)} (image, instance), the subjects are {sorted(wanted)}: {text!r}"


def subject_places(facts: Facts) -> Iterator[str]:
    """Places and relations that words give to subjects hold in the target."""
    text = facts.sample.instruction
    sentence = facts.read(text)
    yield from (f"{words!r} is left hanging: {text!r}" for words in sentence.dangling)
    taken = _taken(sentence)
    target_of = {
        (record["image"], record["source_instance"]): record["target_instance"]
        for record in facts.detail("subjects")
    }

    def seen(number: int) -> list[ObjectLabel]:
        if number not in taken or not 1 <= taken[number][1] <= len(facts.images):
            return referents(facts.target, sentence, number)
        image = taken[number][1]
        found = referents(facts.images[image - 1], sentence, number, attached=True)
        targets = [target_of.get((image, label.instance_id)) for label in found]
        return [facts.target.by_id[one] for one in targets if one in facts.target.by_id]

    for claim in sentence.claims:
        # "the cat on the left of image 2" says which cat of that image.
        if claim.attached and sentence.phrases[claim.subject].definite:
            continue
        first = seen(claim.subject)
        if claim.object is None:
            true = bool(first) and all(in_place(facts.target, label, claim.predicate) for label in first)
        else:
            second = seen(claim.object)
            pairs = [(one, two) for one in first for two in second]
            true = bool(pairs) and all(claim.predicate in directions(facts.target, *pair) for pair in pairs)
        if not true:
            yield f"not so in the target: {sentence.phrases[claim.subject]} {claim.predicate}: {text!r}"


def _taken(sentence: Sentence) -> dict[int, tuple[Phrase, int]]:
    """Which phrase each mention of an image belongs to: number of the phrase -> (phrase, image)."""
    found: dict[int, tuple[Phrase, int]] = {}
    for image, position in sentence.images:
        before = [number for number, phrase in enumerate(sentence.phrases) if phrase.end <= position]
        if not before:
            continue
        number = before[-1]
        subjects_of = [claim.subject for claim in sentence.claims if claim.object == number]
        # "the cat above the house of image 2" takes the cat; "a cat is above the dog, of image 2" too.
        free = [one for one in subjects_of if one not in found and one < number]
        number = free[-1] if free else number
        found[number] = (sentence.phrases[number], image)
    return found


def _whole(view: View, number: int) -> bool:
    label = view.by_id.get(number)
    return label is not None and label.visibility == 1 and view.areas.get(number, 0) >= _MIN_PIXELS


def _normal(mask: np.ndarray) -> np.ndarray:
    """A mask moved to the middle of a square and scaled to equal spread, float32."""
    box = bounds(mask)
    assert box is not None
    rows, columns = np.nonzero(mask)
    centre = np.array([columns.mean(), rows.mean()])
    spread = float(np.sqrt(((columns - centre[0]) ** 2 + (rows - centre[1]) ** 2).mean()))
    scale = _SIDE / 4 / max(spread, 1e-6)
    matrix = np.array([[scale, 0, _SIDE / 2 - scale * centre[0]], [0, scale, _SIDE / 2 - scale * centre[1]]])
    return np.asarray(cv2.warpAffine(mask.astype(np.float32), matrix, (_SIDE, _SIDE), flags=cv2.INTER_AREA))


def _overlap(one: np.ndarray, two: np.ndarray, enough: float) -> float:
    """Intersection over union of two normal masks at the best turn and mirror, or one that is enough."""
    best = 0.0
    for angle in _ANGLES:
        for flipped in (one, one[:, ::-1]):
            matrix = cv2.getRotationMatrix2D(((_SIDE - 1) / 2, (_SIDE - 1) / 2), angle, 1.0)
            turned = cv2.warpAffine(np.ascontiguousarray(flipped), matrix, (_SIDE, _SIDE))
            union = float(np.maximum(turned, two).sum())
            best = max(best, float(np.minimum(turned, two).sum()) / union if union else 0.0)
            if best >= enough:
                return best
    return best


def _listed(facts: Facts) -> bool:
    """Whether every thing of the target is a subject; `references` asks about the other pictures."""
    return not facts.with_references


CHECKS = (
    Check("subjects", subjects, _TASKS, _listed),
    Check("likeness of subjects", likeness, _TASKS, _listed),
    Check("sources as said", sources_said, _TASKS, _listed),
    Check("places of subjects", subject_places, _TASKS, _listed),
)
