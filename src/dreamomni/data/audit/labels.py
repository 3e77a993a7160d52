"""Checks of objects and relations: numbers recounted on the id maps."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from dreamomni.data.audit.check import Check
from dreamomni.data.audit.facts import Bounds, Facts, Mask, View, bounds
from dreamomni.tasks.sample import ObjectLabel

_MAX_ID = 254
_GENEVAL_THRESHOLD = 0.1
_GENEVAL_COSINE = 0.5
_KINDS = frozenset({"sticker", "shape", "text", "cutout", "photo"})


def instances(facts: Facts) -> Iterator[str]:
    """Every number in an id map has one label, and every label is seen."""
    for view in facts.views:
        numbers = [label.instance_id for label in view.labels]
        if view.ids is None:
            if numbers:
                yield f"{view.title} has {len(numbers)} labels but no id map"
            continue
        if view.ids.min() < 0 or view.ids.max() > _MAX_ID:
            yield f"{view.title} has instance numbers from {view.ids.min()} to {view.ids.max()}"
            continue
        yield from (
            f"{view.title}: instance {number} has {count} labels"
            for number, count in Counter(numbers).items()
            if count > 1
        )
        yield from (
            f"{view.title}: instance {number} is labelled but not to be seen"
            for number in sorted(set(numbers) - set(view.areas))
        )
        yield from (
            f"{view.title}: instance {number} is to be seen but not labelled"
            for number in sorted(set(view.areas) - set(numbers))
        )


def boxes(facts: Facts) -> Iterator[str]:
    """Each box is the smallest one around the visible pixels."""
    for view, label in seen_labels(facts):
        found = bounds(view.mask(label.instance_id))
        if tuple(label.box) != found:
            yield f"{_name(view, label)} has box {tuple(label.box)}, its pixels span {found}"


def areas(facts: Facts) -> Iterator[str]:
    """Each area is the number of visible pixels."""
    for view, label in seen_labels(facts):
        if label.area != view.areas[label.instance_id]:
            yield f"{_name(view, label)} has area {label.area}, counted {view.areas[label.instance_id]}"


def visibility(facts: Facts) -> Iterator[str]:
    """Visibility is a share of whole pixels, and below 1 only where something or the edge may cover."""
    for view, label in seen_labels(facts):
        if not 0 < label.visibility <= 1:
            yield f"{_name(view, label)} has visibility {label.visibility}"
            continue
        whole = label.area / label.visibility
        if abs(whole - round(whole)) > 1e-3 * max(1.0, whole / 1e4):
            yield f"{_name(view, label)}: visibility {label.visibility} makes it {whole} pixels in all"
        if view.covered is not None and view is not facts.target:
            # A hole may take all that is near: the whole is known from the target.
            other = facts.target.by_id.get(label.instance_id)
            if other is None or abs(whole - other.area / max(other.visibility, 1e-9)) > 0.5:
                yield f"{_name(view, label)}: visibility {label.visibility:.3f} is not of the target's whole"
            continue
        # Letters stand apart: what hides one need not touch the others.
        if label.visibility < 1 and label.kind != "text" and not _touched(view, label):
            yield f"{_name(view, label)} has visibility {label.visibility:.3f}, but nothing touches it"


def kinds(facts: Facts) -> Iterator[str]:
    """Each label is of a known kind and has a name."""
    for view in facts.views:
        for label in view.labels:
            if label.kind not in _KINDS or not label.name:
                yield f"{view.title}: instance {label.instance_id} is {label.kind!r} named {label.name!r}"


def relations(facts: Facts) -> Iterator[str]:
    """The list of relations is what the rule of GenEval gives for the boxes of the visible pixels."""
    found = {
        (first.instance_id, predicate, second.instance_id)
        for first in facts.target.labels
        for second in facts.target.labels
        if first.instance_id != second.instance_id
        for predicate in directions(facts.target, first, second)
    }
    said = [(relation.subject, relation.predicate, relation.object) for relation in facts.sample.relations]
    yield from (f"relation {one} is listed twice" for one, count in Counter(said).items() if count > 1)
    yield from (f"relation {one} does not hold" for one in sorted(set(said) - found))
    yield from (f"relation {one} holds but is not listed" for one in sorted(found - set(said)))


def directions(view: View, first: ObjectLabel, second: ObjectLabel) -> frozenset[str]:
    """Where `first` lies from `second` by GenEval's rule, from the pixels of both.

    The offset of the centres of the boxes, less a tenth of the summed sides on each axis, is compared with
    the four directions: those nearer than 60 degrees hold.
    """
    one, two = bounds(view.mask(first.instance_id)), bounds(view.mask(second.instance_id))
    return frozenset() if one is None or two is None else compass(one, two)


def compass(one: Bounds, two: Bounds) -> frozenset[str]:
    """Where one box lies from another by GenEval's rule (see `directions`)."""
    a, b = np.array(one, float), np.array(two, float)
    offset = (a[:2] + a[2:] - b[:2] - b[2:]) / 2
    sides = (a[2:] - a[:2]) + (b[2:] - b[:2])
    offset = np.sign(offset) * np.maximum(np.abs(offset) - _GENEVAL_THRESHOLD * sides, 0)
    length = float(np.linalg.norm(offset))
    if length < 1e-3:
        return frozenset()
    x, y = offset / length
    names = {"left of": -x, "right of": x, "above": -y, "below": y}
    return frozenset(name for name, cosine in names.items() if cosine > _GENEVAL_COSINE)


def stays(facts: Facts) -> Iterator[str]:
    """An instance of image 1 and target is one thing, on the same pixels unless something moved there."""
    source, target = facts.source, facts.target
    if source.ids is None or target.ids is None:
        return
    moved = {int(record["instance_id"]) for record in facts.sample.details.get("transforms", ())}
    moved |= facts.rewritten
    both = set(source.by_id) & set(target.by_id)
    for number in sorted(both):
        before, after = source.by_id[number], target.by_id[number]
        same = (before.name, before.kind) == (after.name, after.kind)
        if not same or (before.colour != after.colour and number not in facts.recoloured):
            yield (
                f"instance {number} is a {before.colour} {before.name} in image 1 and "
                f"a {after.colour} {after.name} in the target"
            )
    still = both - moved
    differ = source.ids != target.ids
    for view, other in ((source, target), (target, source)):
        assert view.ids is not None
        assert other.ids is not None
        # Where one picture shows a thing that stays, the other shows it too, or what came, went or moved.
        mine = differ & np.isin(view.ids, sorted(still))
        covered = np.isin(other.ids, sorted(set(other.areas) - still))
        if other.covered is not None:
            covered |= other.covered
        odd = mine & ~covered
        if odd.any():
            number = int(view.ids[odd][0])
            yield (
                f"{np.count_nonzero(odd)} pixels of instance {number}, which stays, are in {view.title}, "
                f"not in {other.title}, and nothing came between"
            )


def neighbours(view: View, instance_id: int) -> set[int]:
    """Numbers of the instances whose pixels touch those of an instance."""
    mask = view.mask(instance_id)
    assert view.ids is not None
    return set(view.ids[_grown(mask) & ~mask].tolist()) - {0}


def seen_labels(facts: Facts) -> Iterator[tuple[View, ObjectLabel]]:
    """Labels with pixels; `instances` reports the others."""
    for view in facts.views:
        for label in view.labels:
            if label.instance_id in view.areas:
                yield view, label


def _name(view: View, label: ObjectLabel) -> str:
    return f"{view.title}: {label.name!r} (instance {label.instance_id})"


def _touched(view: View, label: ObjectLabel) -> bool:
    """Whether an object reaches the edge of the canvas or has another instance beside it."""
    mask = view.mask(label.instance_id)
    if mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any():
        return True
    if view.covered is not None and (_grown(mask) & view.covered).any():
        return True
    return bool(neighbours(view, label.instance_id))


def _grown(mask: Mask) -> Mask:
    """A mask and all eight neighbours of its pixels."""
    padded = np.pad(mask, 1)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    return np.asarray(rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:])


CHECKS = (
    Check("instances", instances),
    Check("boxes", boxes),
    Check("areas", areas),
    Check("visibility", visibility),
    Check("label kinds", kinds),
    Check("relations", relations, when=lambda facts: facts.target.ids is not None),
    Check("things that stay", stays, frozenset({"edit", "drag", "segment", "detect"})),
)
