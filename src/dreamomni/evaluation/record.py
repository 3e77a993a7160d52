"""The record of an evaluation: all that was asked, seen and decided, so that it can be judged again."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from dreamomni.config import StrictConfig, validate
from dreamomni.errors import DataError
from dreamomni.evaluation.expectation import (
    EDIT_METRICS,
    MEASURES,
    REFERENCE_METRICS,
    T2I_METRICS,
    TASK_METRICS,
    Expectation,
    Seen,
)
from dreamomni.evaluation.references import followed
from dreamomni.evaluation.scorers import Verdict, judge, subject_parts
from dreamomni.evaluation.statistics import Estimate, mean_of, proportion, unweighted_mean
from dreamomni.storage import write_json

RECORD_NAME = "record.json"

DRAG_KINDS = ("drag_move", "drag_scale", "drag_rotate")
FILL_KINDS = ("inpaint", "outpaint")
CONTROL_KINDS = ("canny", "depth", "segmentation")
_ORDER = (
    "text",
    "edit_multi",
    "drag",
    "inpaint",
    "outpaint",
    *CONTROL_KINDS,
    "control",
    "reference",
    "generation",
    "subject",
    "segment",
    "detect",
)
_REFERENCE_GROUPS: Mapping[str, tuple[str, ...]] = {
    "references_concrete": ("reference_add", "reference_replace"),
    "references_abstract": (
        "reference_colour",
        "reference_pattern",
        "reference_style",
        "reference_background",
        "reference_font",
    ),
    "generation_concrete": ("subject_scene",),
    "generation_abstract": ("subject_colour",),
}
"""Means of the kinds with several references, as in Tables 2 to 5 of DreamOmni2."""

Status = Literal["judged", "missing_output", "wrong_size"]


class MetricRecord(StrictConfig):
    """An `Estimate` as it is written."""

    mean: float | None
    stderr: float | None
    num_scored: int
    num_unscored: int

    @property
    def estimate(self) -> Estimate:
        """The same as the tuple that computes."""
        return Estimate(self.mean, self.stderr, self.num_scored, self.num_unscored)


Metrics = dict[str, MetricRecord]


class CaseRecord(StrictConfig):
    """One case: what was asked, and whether the checker can judge its truth.

    Attributes:
        id: stable name.
        split: "held_out" or "train".
        task: name of the request's task.
        prompt: the words.
        noise_seed: seed that the model was given.
        expectation: what a right picture shows.
        truth: path of the true picture inside the record's folder; empty when pictures were not kept.
        source: path of image 1, if any.
        references: paths of the images after it.
        truth_seen: what the checker sees in the true picture. Where its verdict on that is "wrong", the case
            is unscored for everybody.
        truth_values: what is measured on the true picture; where that is too little, likewise.
    """

    id: str
    split: Literal["held_out", "train"]
    task: str
    prompt: str
    noise_seed: int
    expectation: Expectation
    truth: str
    source: str | None
    references: tuple[str, ...] = ()
    truth_seen: tuple[Seen, ...]
    truth_values: dict[str, float] = {}

    @property
    def judgeable(self) -> bool:
        """Whether the checker finds the truth itself right; otherwise it cannot judge answers."""
        measure = self.expectation.measure
        if measure is None:
            return verdict_on(self.expectation, "judged", self.truth_seen, self.truth_values).correct
        return self.truth_values.get(measure.value, 0.0) >= measure.least_truth


class AnswerRecord(StrictConfig):
    """One answer to one case.

    Attributes:
        case: id of the case.
        status: whether there was a picture of the right size to judge.
        seen: what the checker sees in it.
        values: what is measured on its pixels.
        psnr_outside_mask: dB; None for prompts and where the mask leaves nothing.
        correct: the verdict when the record was made.
        exact: likewise.
        reason: likewise, for people.
        image: path of the picture inside the record's folder; None when it was not kept.
    """

    case: str
    status: Status
    seen: tuple[Seen, ...] = ()
    values: dict[str, float] = {}
    psnr_outside_mask: float | None = None
    correct: bool
    exact: bool
    reason: str
    image: str | None = None


class Record(StrictConfig):
    """A whole evaluation.

    Attributes:
        version: of this format.
        checker_version: of the rules that saw and judged.
        model: what was evaluated, e.g. name and hash, in the words of the caller.
        recipe: the world, resolved.
        recipe_hash: its hash.
        settings: numbers of cases and seeds.
        command: how to make the record again, if the caller knows.
        versions: of Python and the packages that matter.
        wall_seconds: how long the model took ("generate") and everything ("total").
        metrics: held-out combinations.
        metrics_seen: combinations that training may have seen, on fresh seeds.
        cheats: the same metrics for answers that need no model, and for classic methods.
        sets: by group, the metrics that compare whole sets of pictures; `rescore` keeps them.
        features: name and hash of the network behind perceptual distances, if there was one.
        not_served: kinds of the world that the model has no task for, so that nothing was asked.
        cases: everything that was asked.
        answers: by group: "model", "model_seen" and the cheats.
    """

    version: Literal[1] = 1
    checker_version: int
    model: dict[str, Any]
    recipe: dict[str, Any]
    recipe_hash: str
    settings: dict[str, Any]
    command: str | None
    versions: dict[str, str]
    wall_seconds: dict[str, float]
    metrics: Metrics
    metrics_seen: Metrics
    cheats: dict[str, Metrics]
    sets: dict[str, Metrics] = {}
    features: dict[str, str] | None = None
    not_served: tuple[str, ...] = ()
    cases: tuple[CaseRecord, ...]
    answers: dict[str, tuple[AnswerRecord, ...]]


def write_record(record: Record, folder: Path) -> Path:
    """Write ``record.json`` into ``folder``, whole or not at all."""
    path = folder / RECORD_NAME
    write_json(path, record.model_dump(mode="json"))
    return path


def read_record(path: str | Path) -> Record:
    """Read a record from its file or from the folder that holds it.

    Raises:
        DataError: there is none, or it is no record of this version.
    """
    path = Path(path)
    if path.is_dir():
        path /= RECORD_NAME
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"there is no evaluation record at {path}; run the evaluation first") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no readable evaluation record: {error}") from error
    return validate(tree, Record, origin=str(path))


def rescore(record: Record) -> Record:
    """Judge everything again from what was seen and measured, and sum up again.

    Nothing is generated, looked at or measured anew.
    """
    cases = {case.id: case for case in record.cases}
    answers = {
        group: tuple(_judge_again(answer, cases[answer.case].expectation) for answer in rows)
        for group, rows in record.answers.items()
    }
    summary = summarise(record.cases, answers, record.sets)
    return record.model_copy(update={"answers": answers, **summary})


def summarise(
    cases: Iterable[CaseRecord],
    answers: Mapping[str, tuple[AnswerRecord, ...]],
    sets: Mapping[str, Metrics] | None = None,
) -> dict[str, Any]:
    """All metrics of a record, by their field names.

    The group "truth" is measured on every case, also on those whose truth the checker misjudges: it is the
    ceiling, and tells how much the checker itself gets wrong.
    """
    by_id = {case.id: case for case in cases}
    judgeable = {id_: case.judgeable for id_, case in by_id.items()}
    metrics = {
        group: _metrics(rows, by_id, judgeable if group != "truth" else dict.fromkeys(by_id, True))
        | dict((sets or {}).get(group, {}))
        for group, rows in answers.items()
    }
    return {
        "metrics": metrics.pop("model", {}),
        "metrics_seen": metrics.pop("model_seen", {}),
        "cheats": metrics,
    }


def verdict_on(
    expectation: Expectation, status: Status, seen: tuple[Seen, ...], values: Mapping[str, float]
) -> Verdict:
    """The verdict on an answer: a missing or misshapen picture is a failure, not an unknown."""
    if status == "missing_output":
        return Verdict(False, False, "no picture came back")
    if status == "wrong_size":
        return Verdict(False, False, f"the picture is not {expectation.width}x{expectation.height}")
    measure = expectation.measure
    if measure is None:
        verdict = judge(expectation, seen)
        if verdict.correct and expectation.ground and values.get("ground", 0.0) < 1:
            return Verdict(False, False, "the background is not that of the reference")
        return verdict
    value = values.get(measure.value, 0.0)
    return Verdict(value >= measure.good, value >= measure.good, f"{value:.3g} {measure.words}")


def _judge_again(answer: AnswerRecord, expectation: Expectation) -> AnswerRecord:
    verdict = verdict_on(expectation, answer.status, answer.seen, answer.values)
    return answer.model_copy(update=verdict._asdict())


def _metrics(
    rows: Iterable[AnswerRecord], cases: Mapping[str, CaseRecord], judgeable: Mapping[str, bool]
) -> Metrics:
    by_kind: dict[str, list[AnswerRecord]] = {}
    for row in rows:
        by_kind.setdefault(cases[row.case].expectation.kind, []).append(row)
    found: dict[str, Estimate] = {}
    for names, overall, exact_name in (
        (T2I_METRICS, "overall", "exact_scene"),
        (EDIT_METRICS, "edit_overall", "edit_exact_scene"),
    ):
        if not by_kind.keys() & names.keys():
            continue
        exact = []
        for kind, name in names.items():
            members = by_kind.get(kind, [])
            found[name] = proportion([row.correct if judgeable[row.case] else None for row in members])
            exact.append(proportion([row.exact if judgeable[row.case] else None for row in members]))
        found[overall] = unweighted_mean([found[name] for name in names.values()])
        found[exact_name] = unweighted_mean(exact)
    _add_outside(found, "psnr_outside_mask", EDIT_METRICS, by_kind)
    for kind, name in TASK_METRICS.items():
        members = by_kind.get(kind, [])
        if not members:
            continue
        found[name] = _first_score(kind, members, judgeable)
        if kind in FILL_KINDS and any("perceptual" in row.values for row in members):
            found[f"{kind}_perceptual"] = mean_of([row.values.get("perceptual") for row in members])
        if kind == "subject":
            found |= _identity(members, cases, judgeable)
    mapped = [row for kind in CONTROL_KINDS for row in by_kind.get(kind, [])]
    if mapped:
        found["control_things"] = proportion(
            [_shows_all(cases[row.case].expectation, row.seen) for row in mapped]
        )
    dragged = [found[TASK_METRICS[kind]] for kind in DRAG_KINDS if kind in by_kind]
    if dragged:
        found["drag_overall"] = unweighted_mean(dragged)
    found |= _references(by_kind, cases, judgeable)
    _add_outside(found, "drag_psnr_outside", DRAG_KINDS, by_kind)
    _add_outside(found, "inpaint_psnr_outside", FILL_KINDS, by_kind)
    ordered = sorted(found, key=_place)
    return {name: MetricRecord(**found[name]._asdict()) for name in ordered}


def _references(
    by_kind: Mapping[str, list[AnswerRecord]],
    cases: Mapping[str, CaseRecord],
    judgeable: Mapping[str, bool],
) -> dict[str, Estimate]:
    """Shares of right answers by kind and group, and whether the image that the words name was followed.

    "references_followed": what was taken came from the right image. "references_swapped": it did so both in a
    case and in the same words with two references exchanged, so that their order decided.
    """
    found: dict[str, Estimate] = {}
    rows = {kind: by_kind[kind] for kind in REFERENCE_METRICS if kind in by_kind}
    first = {kind: [row for row in own if not cases[row.case].expectation.pair] for kind, own in rows.items()}
    for kind, own in first.items():
        found[kind] = proportion([row.correct if judgeable[row.case] else None for row in own])
    for group, kinds in _REFERENCE_GROUPS.items():
        members = [found[kind] for kind in kinds if kind in found]
        if members:
            found[group] = unweighted_mean(members)
    for prefix in ("references", "generation"):
        mine = [k for g, ks in _REFERENCE_GROUPS.items() if g.startswith(prefix) for k in ks if k in rows]
        by_case = {row.case: row for kind in mine for row in rows[kind]}
        right = {
            case: _followed(row, cases[case].expectation) if judgeable[case] else None
            for case, row in by_case.items()
        }
        singles = [right[row.case] for kind in mine for row in first[kind]]
        pairs = [(right[pair], right[case]) for case in by_case if (pair := cases[case].expectation.pair)]
        if singles:
            found[f"{prefix}_followed"] = proportion(singles)
        if pairs:
            both = [None if None in pair else all(pair) for pair in pairs]
            found[f"{prefix}_swapped"] = proportion(both)
    _add_outside(found, "references_psnr_outside", REFERENCE_METRICS, first)
    return found


def _followed(row: AnswerRecord, expectation: Expectation) -> bool:
    return row.status == "judged" and followed(expectation, row.seen, row.values)


def _place(name: str) -> int:
    """Where a metric stands in tables: tasks together, the first metrics as they come."""
    return next((place for place, task in enumerate(_ORDER, start=1) if name.startswith(task)), 0)


def _shows_all(expectation: Expectation, seen: tuple[Seen, ...]) -> bool:
    """Whether all things that the words name are there, in their colours."""
    found = Counter((s.name, s.colour) for s in seen)
    return all(found[(asked.name, asked.colour)] >= asked.count for asked in expectation.asked)


def _first_score(kind: str, members: list[AnswerRecord], judgeable: Mapping[str, bool]) -> Estimate:
    """The share of right answers, or the mean of what is measured; no picture measures 0."""
    measure = MEASURES.get(kind)
    if measure is None or kind == "text":
        return proportion([row.correct if judgeable[row.case] else None for row in members])
    return mean_of([row.values.get(measure.value, 0.0) if judgeable[row.case] else None for row in members])


def _identity(
    members: list[AnswerRecord], cases: Mapping[str, CaseRecord], judgeable: Mapping[str, bool]
) -> dict[str, Estimate]:
    parts = [
        subject_parts(cases[row.case].expectation, row.seen) if judgeable[row.case] else None
        for row in members
    ]
    return {
        f"subject_{name}": proportion([None if part is None else part[name] for part in parts])
        for name in ("thing", "colour", "source")
    }


def _add_outside(
    found: dict[str, Estimate], name: str, kinds: Iterable[str], by_kind: Mapping[str, list[AnswerRecord]]
) -> None:
    rows = [row for kind in kinds for row in by_kind.get(kind, [])]
    if any(row.psnr_outside_mask is not None for row in rows):
        found[name] = mean_of([row.psnr_outside_mask for row in rows])
