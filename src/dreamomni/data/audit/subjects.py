"""Checks of subject-driven samples: every subject is in its source and in the target, and looks the same."""

from collections import Counter
from collections.abc import Iterator

import cv2
import numpy as np

from dreamomni.data.audit.check import Check
from dreamomni.data.audit.facts import Facts, View, bounds
from dreamomni.data.audit.referents import named
from dreamomni.data.audit.sentences import read

_TASKS = frozenset({"subject"})
_SIDE = 48
_MIN_PIXELS = 150
_ANGLES = range(-180, 180, 10)


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
        if not 1 <= record["image"] <= len(facts.images):
            continue
        view = facts.images[record["image"] - 1]
        pairs = ((view, record["source_instance"]), (facts.target, record["target_instance"]))
        if any(not _whole(one, number) for one, number in pairs):
            continue
        (one, first), (two, second) = pairs
        overlap = _best_overlap(_normal(one.mask(first)), _normal(two.mask(second)))
        least = 0.8 if min(one.areas[first], two.areas[second]) > 1500 else 0.65
        if overlap < least:
            yield f"the {record['name']} of {view.title} and of the target overlap by {overlap:.2f} only"
        colours = [np.median(seen.pixels[seen.mask(number)], axis=0) for seen, number in pairs]
        gap = np.abs(colours[0] - colours[1])
        if gap.max() > 48:
            yield f"the {record['name']} of {view.title} changes its colour by {gap.max():.0f}"


def sources_said(facts: Facts) -> Iterator[str]:
    """Where words name an image beside a thing, that thing is a subject from that image."""
    records = facts.detail("subjects")
    text = facts.sample.instruction
    sentence = read(text, facts.vocabulary)
    if not sentence.images:
        yield f"no image is named: {text!r}"
    for number, position in sentence.images:
        if not 1 <= number <= len(facts.images):
            continue
        before = [phrase for phrase in sentence.phrases if phrase.end <= position]
        after = [phrase for phrase in sentence.phrases if phrase.start > position]
        near = before[-1:] + after[:1]
        mine = [record for record in records if record["image"] == number]
        if not any(
            phrase.name == record["name"] and phrase.colour in (None, record["colour"])
            for phrase in near
            for record in mine
        ):
            yield f"image {number} is named beside {[str(one) for one in near]}, not its subject: {text!r}"


def sources_clear(facts: Facts) -> Iterator[str]:
    """A thing that words take from an image is the only one of its name, or of its name and colour, there."""
    sentence = read(facts.sample.instruction, facts.vocabulary)
    for record in facts.detail("subjects"):
        if not 1 <= record["image"] <= len(facts.images):
            continue
        view = facts.images[record["image"] - 1]
        colours = {phrase.colour for phrase in sentence.phrases if phrase.name == record["name"]}
        if not colours:
            yield f"the words do not name the {record['name']}: {facts.sample.instruction!r}"
        for colour in colours:
            found = len(named(view, record["name"], colour))
            others = [one for one in facts.detail("subjects") if one["name"] == record["name"]]
            if colour in (None, record["colour"]) and found != 1 and len(others) == 1:
                yield f"{view.title} has {found} of '{colour or 'any'} {record['name']}'"


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


def _best_overlap(one: np.ndarray, two: np.ndarray) -> float:
    """Intersection over union of two normal masks, at the best turn and mirror."""
    best = 0.0
    for flipped in (one, one[:, ::-1]):
        for angle in _ANGLES:
            matrix = cv2.getRotationMatrix2D(((_SIDE - 1) / 2, (_SIDE - 1) / 2), angle, 1.0)
            turned = cv2.warpAffine(np.ascontiguousarray(flipped), matrix, (_SIDE, _SIDE))
            union = float(np.maximum(turned, two).sum())
            best = max(best, float(np.minimum(turned, two).sum()) / union if union else 0.0)
    return best


CHECKS = (
    Check("subjects", subjects, _TASKS),
    Check("likeness of subjects", likeness, _TASKS),
    Check("sources as said", sources_said, _TASKS),
    Check("clear sources", sources_clear, _TASKS),
)
