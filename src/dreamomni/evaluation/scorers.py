"""Verdicts: does what was seen satisfy what was asked? Pure functions of serialisable facts.

Prompts follow GenEval (commit af4902f): things by name, the most confident ones first; colour of exactly
those; counting means exactly N of the thing; position by centres with a tenth of the sides as slack. Other
extras are not punished there, as in GenEval; `exact` is the stricter question whether the picture shows what
was asked for and nothing else. Edits are stricter than GenEval throughout: what was not to change must still
be there, in colour and place; of several edits each must be followed. Subjects must be those of the named
sources: right thing, right colour, and nothing that the words left behind.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.layout import LOCATIONS
from dreamomni.evaluation.expectation import (
    Asked,
    AskedRelation,
    BoxTuple,
    EditStep,
    Expectation,
    Known,
    Seen,
)

STAY_DISTANCE = 0.15
"""A thing is still there when its centre moved less than this share of the picture's shorter side."""
PLACE_DISTANCE = 0.2
"""The newcomer of a replacement may be this far from the centre of what it replaces."""
LOCATION_SLACK = 0.06
"""Named parts of the canvas are widened by this share of its sides."""
MASK_MARGIN = 3 / 64
"""The changed region is widened by this share of the shorter side (3 px at 64) before PSNR is measured."""
PSNR_CAP = 60.0
"""dB given to two equal pictures, and the most that any pair gets."""

_POSITION_SLACK = 0.1
_POSITION_COSINE = 0.5


class Verdict(NamedTuple):
    """The judgement of one picture.

    Attributes:
        correct: what was asked is there (GenEval's question, or the edit was followed).
        exact: and nothing else is.
        reason: one clause for people.
    """

    correct: bool
    exact: bool
    reason: str


def judge(expectation: Expectation, seen: Sequence[Seen]) -> Verdict:
    """Judge one picture by what was seen in it."""
    if expectation.is_edit:
        failure = _judge_edit(expectation, seen)
    elif expectation.kind == "multi_edit" or expectation.steps:
        failure = _judge_steps(expectation, seen)
    elif expectation.kind == "subject":
        failure = _judge_subjects(expectation, seen)
    elif expectation.used:
        failure = _judge_prompt(expectation, seen) or _judge_subjects(expectation, seen)
    else:
        failure = _judge_prompt(expectation, seen)
    if failure is not None:
        return Verdict(False, False, f"{failure}; saw {_listed(seen)}")
    extras = _extras(expectation, seen)
    return Verdict(True, not extras, f"right, but also {', '.join(extras)}" if extras else "right")


def subject_parts(expectation: Expectation, seen: Sequence[Seen]) -> dict[str, bool]:
    """Which parts of the identity of subjects are right.

    Returns:
        "thing": every chosen name is seen as often as asked. "colour": in its colour, too. "source": the
        things are there, and nothing is that the words left behind in a source.
    """
    named = Counter(s.name for s in seen)
    coloured = Counter((s.name, s.colour) for s in seen)
    wanted: Counter[str] = Counter()
    for asked in expectation.asked:
        wanted[asked.name] += asked.count
    things = all(named[name] >= count for name, count in wanted.items())
    return {
        "thing": things,
        "colour": all(coloured[(a.name, a.colour)] >= a.count for a in expectation.asked),
        "source": things and not any(coloured[(r.name, r.colour)] for r in expectation.rejected),
    }


def direction_holds(subject: BoxTuple, predicate: str, other: BoxTuple) -> bool:
    """GenEval's rule: is ``subject`` left of / right of / above / below ``other``?

    The offset of the centres, each axis shortened by a tenth of the summed sides, is divided by the length of
    the whole offset; its component in the direction must exceed one half. Two directions can hold at once.
    """
    dx = (subject[0] + subject[2] - other[0] - other[2]) / 2
    dy = (subject[1] + subject[3] - other[1] - other[3]) / 2
    length = math.hypot(dx, dy)
    if length == 0:
        return False
    slack_x = _POSITION_SLACK * (subject[2] - subject[0] + other[2] - other[0])
    slack_y = _POSITION_SLACK * (subject[3] - subject[1] + other[3] - other[1])
    along_x = math.copysign(max(abs(dx) - slack_x, 0.0), dx) / length
    along_y = math.copysign(max(abs(dy) - slack_y, 0.0), dy) / length
    component = {"left of": -along_x, "right of": along_x, "above": -along_y, "below": along_y}[predicate]
    return component > _POSITION_COSINE


def psnr_outside(
    result: npt.NDArray[np.uint8], source: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8]
) -> float | None:
    """Peak signal-to-noise ratio between result and source where nothing was to change.

    Args:
        result: (H, W, 3) uint8.
        source: (H, W, 3) uint8.
        mask: (H, W), above 127 where the truth differs from the source; widened by `MASK_MARGIN`.

    Returns:
        dB over all channels, at most `PSNR_CAP`; None when nothing lies outside the widened mask.
    """
    margin = max(1, round(MASK_MARGIN * min(mask.shape)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1))
    outside = cv2.dilate((mask > 127).astype(np.uint8), kernel) == 0
    return _psnr(result[outside], source[outside]) if outside.any() else None


def psnr_inside(
    result: npt.NDArray[np.uint8], truth: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8]
) -> float:
    """Peak signal-to-noise ratio between result and truth in a hole, in dB, at most `PSNR_CAP`.

    Args:
        result: (H, W, 3) uint8.
        truth: (H, W, 3) uint8.
        mask: (H, W), above 127 in the hole, which is not empty.
    """
    inside = mask > 127
    return _psnr(result[inside], truth[inside])


def _psnr(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    mean_square = float(((one.astype(np.float64) - other) ** 2).mean())
    if mean_square == 0:
        return PSNR_CAP
    return min(PSNR_CAP, 10 * math.log10(255**2 / mean_square))


def _judge_prompt(expectation: Expectation, seen: Sequence[Seen]) -> str | None:
    """None when the prompt is satisfied, else what is wrong."""
    groups: dict[str, list[Seen]] = {}
    for asked in expectation.asked:
        members = sorted((s for s in seen if s.name == asked.name), key=lambda s: -s.score)
        if len(members) < asked.count:
            return f"{len(members)} of {asked.count} {asked.name}"
        if expectation.kind == "counting" and len(members) > asked.count:
            return f"{len(members)} {asked.name} instead of {asked.count}"
        chosen = members[: asked.count]
        wrong = [member for member in chosen if asked.colour not in (None, member.colour)]
        if wrong:
            return f"{asked.name} is {wrong[0].colour or 'of unclear colour'}, not {asked.colour}"
        groups[asked.name] = chosen
    relation = expectation.relation
    if relation is not None and not all(
        direction_holds(subject.box, relation.predicate, other.box)
        for subject in groups[relation.subject]
        for other in groups[relation.object]
    ):
        return _not_related(relation)
    return None


def _judge_edit(expectation: Expectation, seen: Sequence[Seen]) -> str | None:
    """None when the edit was followed, else what is wrong."""
    stayed = _match(expectation, seen)
    for known, match in zip(expectation.kept, stayed, strict=True):
        if match is None:
            return f"the {known.colour} {known.name} did not stay"
    others = [s for index, s in enumerate(seen) if index not in stayed]
    removed = expectation.removed
    if removed is not None:
        left = [s for s in others if (s.name, s.colour) == (removed.name, removed.colour)]
        if left:
            return f"the {removed.colour} {removed.name} is still there"
    if expectation.kind == "remove" and removed is not None:
        rest = [s for s in others if _overlap(s.box, removed.box)]
        if rest:
            return f"{rest[0]} is where the {removed.name} was"
        return None
    return _judge_added(expectation, others, [seen[index] for index in stayed if index is not None])


def _judge_added(expectation: Expectation, others: Sequence[Seen], stayed: Sequence[Seen]) -> str | None:
    (asked,) = expectation.asked
    named = [s for s in others if s.name == asked.name]
    if not named:
        return f"no {_words(asked)}"
    coloured = [s for s in named if asked.colour in (None, s.colour)]
    if not coloured:
        return f"{asked.name} is {named[0].colour or 'of unclear colour'}, not {asked.colour}"
    removed, relation, location = expectation.removed, expectation.relation, expectation.location
    if removed is not None:
        reach = PLACE_DISTANCE * min(expectation.width, expectation.height)
        if not any(_distance(s.box, removed.box) <= reach for s in coloured):
            return f"the {asked.name} is not where the {removed.name} was"
    if relation is not None:
        anchors = [s for s in stayed if s.name == relation.object]
        if not any(direction_holds(s.box, relation.predicate, a.box) for s in coloured for a in anchors):
            return _not_related(relation)
    if location is not None and not any(_inside(s.box, location, expectation) for s in coloured):
        return f"the {asked.name} is not at '{location}'"
    return None


def _judge_subjects(expectation: Expectation, seen: Sequence[Seen]) -> str | None:
    """None when the chosen subjects are there and no others of the sources, else what is wrong."""
    coloured = Counter((s.name, s.colour) for s in seen)
    for asked in expectation.asked:
        found = coloured[(asked.name, asked.colour)]
        if found < asked.count:
            return f"{found} of {asked.count} {_words(asked)}"
    for other in expectation.rejected:
        if coloured[(other.name, other.colour)]:
            return f"the {_words(other)} of a source was not asked for"
    return None


def _judge_steps(expectation: Expectation, seen: Sequence[Seen]) -> str | None:
    """None when every one of several edits was followed, else what is wrong."""
    stayed = _match(expectation, seen)
    for known, match in zip(expectation.kept, stayed, strict=True):
        if match is None:
            return f"the {known.colour} {known.name} did not stay"
    places = dict(zip(expectation.kept, stayed, strict=True))
    others = [s for index, s in enumerate(seen) if index not in stayed]
    # What must be in one place chooses before what may be anywhere.
    for step in sorted(expectation.steps, key=lambda step: step.operation == "add"):
        if step.added is None:
            continue
        named = [s for s in others if s.name == step.added.name and step.added.colour in (None, s.colour)]
        if not named:
            return f"no {_words(step.added)}"
        anchor = None if step.anchor is None else places.get(step.anchor)
        fitting = [s for s in named if _fits(s, step, expectation, None if anchor is None else seen[anchor])]
        if not fitting:
            return f"the {step.added.name} is not where it should be"
        others.remove(fitting[0])
    for step in expectation.steps:
        if step.removed is None:
            continue
        gone = step.removed
        if any((s.name, s.colour) == (gone.name, gone.colour) for s in others):
            return f"the {gone.colour} {gone.name} is still there"
        rest = [s for s in others if _overlap(s.box, gone.box)]
        if rest:
            return f"{rest[0]} is where the {gone.name} was"
    return None


def _fits(s: Seen, step: EditStep, expectation: Expectation, anchor: Seen | None) -> bool:
    """Whether something seen is where a step wants its newcomer."""
    if step.removed is not None:
        reach = PLACE_DISTANCE * min(expectation.width, expectation.height)
        return _distance(s.box, step.removed.box) <= reach
    if step.predicate is not None and anchor is not None:
        return direction_holds(s.box, step.predicate, anchor.box)
    return step.location is None or _inside(s.box, step.location, expectation)


def _match(expectation: Expectation, seen: Sequence[Seen]) -> list[int | None]:
    """For everything that must stay, the index of what was seen in its place; the nearest pairs first."""
    reach = STAY_DISTANCE * min(expectation.width, expectation.height)
    pairs = sorted(
        (_distance(s.box, known.box), row, column)
        for row, known in enumerate(expectation.kept)
        for column, s in enumerate(seen)
        if (s.name, s.colour) == (known.name, known.colour)
    )
    matches: list[int | None] = [None] * len(expectation.kept)
    for distance, row, column in pairs:
        if distance <= reach and matches[row] is None and column not in matches:
            matches[row] = column
    return matches


def _extras(expectation: Expectation, seen: Sequence[Seen]) -> list[str]:
    """What was seen beyond what was asked for and what had to stay."""
    wanted: list[Asked | Known] = [
        *expectation.kept,
        *(item for item in expectation.asked for _ in range(item.count)),
    ]
    rest = list(seen)
    # Wishes with a colour first: a wish for any colour must not take the thing that only they can have.
    for item in sorted(wanted, key=lambda wish: wish.colour is None):
        fitting = [s for s in rest if s.name == item.name and item.colour in (None, s.colour)]
        if fitting:
            rest.remove(fitting[0])
    return [str(s) for s in rest]


def _words(item: Asked | Known) -> str:
    return f"{item.colour} {item.name}" if item.colour else item.name


def _not_related(relation: AskedRelation) -> str:
    return f"the {relation.subject} is not {relation.predicate} the {relation.object}"


def _listed(seen: Sequence[Seen]) -> str:
    counts = Counter(str(s) for s in seen)
    return ", ".join(f"{count} {words}" for words, count in counts.items()) or "nothing"


def _distance(first: BoxTuple, second: BoxTuple) -> float:
    dx = (first[0] + first[2] - second[0] - second[2]) / 2
    dy = (first[1] + first[3] - second[1] - second[3]) / 2
    return math.hypot(dx, dy)


def _overlap(first: BoxTuple, second: BoxTuple) -> bool:
    """Whether two boxes share more than a tenth of the smaller one."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return width > 0 and height > 0 and width * height > 0.1 * min(areas)


def _inside(box: BoxTuple, location: str, expectation: Expectation) -> bool:
    x = (box[0] + box[2]) / 2 / expectation.width
    y = (box[1] + box[3]) / 2 / expectation.height
    x0, y0, x1, y1 = LOCATIONS[location]
    return x0 - LOCATION_SLACK <= x <= x1 + LOCATION_SLACK and y0 - LOCATION_SLACK <= y <= y1 + LOCATION_SLACK
