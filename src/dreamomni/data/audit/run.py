"""Audits: every check asked of every sample."""

import dataclasses
from collections.abc import Iterable, Mapping

from dreamomni.data.audit import (
    colours,
    controls,
    drags,
    instructions,
    labels,
    marks,
    pixels,
    provenance,
    references,
    subjects,
    words,
)
from dreamomni.data.audit.check import AuditReport, Check, Disagreement
from dreamomni.data.audit.facts import Facts, MissingError
from dreamomni.data.audit.nouns import Vocabulary
from dreamomni.tasks.sample import TrainingSample

CHECKS: tuple[Check, ...] = (
    pixels.FORM,
    *pixels.CHECKS,
    *labels.CHECKS,
    *colours.CHECKS,
    *drags.CHECKS,
    *controls.CHECKS,
    *subjects.CHECKS,
    *references.CHECKS,
    *marks.CHECKS,
    *words.CHECKS,
    *instructions.CHECKS,
    *provenance.CHECKS,
)
"""Every check, in the order of the table."""

_SHOWN_PER_CHECK = 3


def audit_sample(
    sample: TrainingSample,
    vocabulary: Vocabulary,
    held_out: tuple[str, float] | None = None,
    *,
    exact: bool = True,
) -> tuple[list[Disagreement], list[str]]:
    """Ask every check of one sample.

    Args:
        sample: The sample.
        vocabulary: What its words may mean.
        held_out: (salt, fraction) of the recipe's held-out rule, where it is known.
        exact: Whether its pixels are as they were drawn; False for lossy files, of which less can be asked.

    Returns:
        The disagreements, and the names of the checks that were asked.
    """
    # Polished words are free in form; those that they were made from say the same, and can be read.
    template = sample.details.get("template")
    if isinstance(template, Mapping):
        words = {name: template[name] for name in ("instruction", "caption") if name in template}
        sample = dataclasses.replace(sample, **words)
    facts = Facts(sample, vocabulary, held_out, exact)
    found: list[Disagreement] = []
    asked: list[str] = []
    for check in CHECKS:
        try:
            if not check.applies(facts):
                continue
        except MissingError as missing:
            found.append(Disagreement(check.name, sample.key, sample.kind, str(missing)))
            continue
        asked.append(check.name)
        messages = _messages(check, facts)
        found += [Disagreement(check.name, sample.key, sample.kind, message) for message in messages]
        if check is pixels.FORM and messages:
            break
    return found, asked


class Auditor:
    """Collects what audits of samples find.

    Args:
        vocabulary: What words may mean.
        held_out: (salt, fraction) of the recipe's held-out rule, where it is known.
    """

    def __init__(self, vocabulary: Vocabulary, held_out: tuple[str, float] | None = None) -> None:
        self.report = AuditReport()
        self._vocabulary = vocabulary
        self._held_out = held_out
        self._shown: dict[str, int] = {}

    def add(self, sample: TrainingSample, *, exact: bool = True) -> list[Disagreement]:
        """Audit one sample and return its disagreements."""
        found, asked = audit_sample(sample, self._vocabulary, self._held_out, exact=exact)
        report = self.report
        report.num_samples += 1
        report.kinds[sample.kind] += 1
        report.samples.update(asked)
        report.wrong.update({one.check for one in found})
        for one in found:
            shown = self._shown.get(one.check, 0)
            if shown < _SHOWN_PER_CHECK:
                self._shown[one.check] = shown + 1
                report.first.append(one)
        return found


def audit(
    samples: Iterable[TrainingSample], vocabulary: Vocabulary, held_out: tuple[str, float] | None = None
) -> AuditReport:
    """Audit samples.

    Args:
        samples: From an engine, a folder or shards.
        vocabulary: What their words may mean.
        held_out: (salt, fraction) of the recipe's held-out rule, where it is known.

    Returns:
        Counts by check, and the first disagreements.
    """
    auditor = Auditor(vocabulary, held_out)
    for sample in samples:
        auditor.add(sample)
    return auditor.report


def _messages(check: Check, facts: Facts) -> list[str]:
    try:
        return list(check.find(facts))
    except MissingError as missing:
        return [str(missing)]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        # A record that cannot be read is a disagreement of its own, not the end of the audit.
        return [f"the record cannot be read: {error!r}"]
