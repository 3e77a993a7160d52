"""The record of an evaluation: all that was asked, seen and decided, so that it can be judged again."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from dreamomni.config import StrictConfig, validate
from dreamomni.errors import DataError
from dreamomni.evaluation.expectation import EDIT_METRICS, T2I_METRICS, Expectation, Seen
from dreamomni.evaluation.scorers import Verdict, judge
from dreamomni.evaluation.statistics import Estimate, mean_of, proportion, unweighted_mean
from dreamomni.storage import write_json

RECORD_NAME = "record.json"

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
        task: "text_to_image" or "edit".
        prompt: the words.
        noise_seed: seed that the model was given.
        expectation: what a right picture shows.
        truth: path of the true picture inside the record's folder.
        source: path of the picture to edit, if any.
        truth_seen: what the checker sees in the true picture. Where its verdict on that is "wrong", the case
            is unscored for everybody.
    """

    id: str
    split: Literal["held_out", "train"]
    task: str
    prompt: str
    noise_seed: int
    expectation: Expectation
    truth: str
    source: str | None
    truth_seen: tuple[Seen, ...]


class AnswerRecord(StrictConfig):
    """One answer to one case.

    Attributes:
        case: id of the case.
        status: whether there was a picture of the right size to judge.
        seen: what the checker sees in it.
        psnr_outside_mask: dB; None for prompts and where the mask leaves nothing.
        correct: the verdict when the record was made.
        exact: likewise.
        reason: likewise, for people.
        image: path of the picture inside the record's folder; None when it was not kept.
    """

    case: str
    status: Status
    seen: tuple[Seen, ...] = ()
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
        cheats: the same metrics for answers that need no model.
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
    """Judge everything again from what was seen, and sum up again. Nothing is generated or looked at anew."""
    cases = {case.id: case for case in record.cases}
    answers = {
        group: tuple(_judge_again(answer, cases[answer.case].expectation) for answer in rows)
        for group, rows in record.answers.items()
    }
    return record.model_copy(update={"answers": answers, **summarise(record.cases, answers)})


def summarise(cases: Iterable[CaseRecord], answers: Mapping[str, tuple[AnswerRecord, ...]]) -> dict[str, Any]:
    """All metrics of a record, by their field names.

    The group "truth" is measured on every case, also on those whose truth the checker misjudges: it is the
    ceiling, and tells how much the checker itself gets wrong.
    """
    by_id = {case.id: case for case in cases}
    judgeable = {id_: judge(case.expectation, case.truth_seen).correct for id_, case in by_id.items()}
    metrics = {
        group: _metrics(rows, by_id, judgeable if group != "truth" else dict.fromkeys(by_id, True))
        for group, rows in answers.items()
    }
    return {
        "metrics": metrics.pop("model", {}),
        "metrics_seen": metrics.pop("model_seen", {}),
        "cheats": metrics,
    }


def verdict_on(expectation: Expectation, status: Status, seen: tuple[Seen, ...]) -> Verdict:
    """The verdict on an answer: a missing or misshapen picture is a failure, not an unknown."""
    if status == "missing_output":
        return Verdict(False, False, "no picture came back")
    if status == "wrong_size":
        return Verdict(False, False, f"the picture is not {expectation.width}x{expectation.height}")
    return judge(expectation, seen)


def _judge_again(answer: AnswerRecord, expectation: Expectation) -> AnswerRecord:
    verdict = verdict_on(expectation, answer.status, answer.seen)
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
    edits = [row for kind in EDIT_METRICS for row in by_kind.get(kind, [])]
    if edits:
        found["psnr_outside_mask"] = mean_of([row.psnr_outside_mask for row in edits])
    return {name: MetricRecord(**estimate._asdict()) for name, estimate in found.items()}
