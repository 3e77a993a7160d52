"""Samples as the engine draws them pass every check."""

import pytest

from dreamomni.data.audit.nouns import Vocabulary
from dreamomni.data.audit.run import CHECKS, Auditor
from dreamomni.data.collage.engine import KINDS, CollageEngine, RejectedSampleError


def _audit(
    engine: CollageEngine, vocabulary: Vocabulary, held_out: tuple[str, float], kind: str, count: int
) -> Auditor:
    auditor = Auditor(vocabulary, held_out)
    for index in range(count):
        try:
            auditor.add(engine.sample(2, index, kind))
        except RejectedSampleError:
            continue
    return auditor


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_samples_of_every_kind_agree(
    audit_engine: CollageEngine, vocabulary: Vocabulary, held_out: tuple[str, float], kind: str
) -> None:
    report = _audit(audit_engine, vocabulary, held_out, kind, 40).report
    assert report.num_samples >= 39
    assert report.passed, report.first


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_two_thousand_samples_of_every_kind_agree(
    audit_engine: CollageEngine, vocabulary: Vocabulary, held_out: tuple[str, float], kind: str
) -> None:
    report = _audit(audit_engine, vocabulary, held_out, kind, 2000).report
    assert report.num_samples >= 1990
    assert report.passed, report.first


def test_every_check_has_its_own_name() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
