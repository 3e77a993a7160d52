"""What a check is, and what an audit found."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dreamomni.data.audit.facts import Facts


@dataclass(frozen=True, slots=True)
class Check:
    """One question asked of samples.

    Attributes:
        name: What is compared, for tables.
        find: Yields a sentence for every disagreement in a sample.
        tasks: Tasks that it is asked of; all when empty.
        when: A further condition on the sample.
        exact: Whether it needs the pixels as they were drawn, not as a lossy file gives them back.
    """

    name: str
    find: Callable[[Facts], Iterator[str]]
    tasks: frozenset[str] = frozenset()
    when: Callable[[Facts], bool] | None = None
    exact: bool = False

    def applies(self, facts: Facts) -> bool:
        """Say whether the question makes sense for a sample."""
        if self.exact and not facts.exact:
            return False
        if self.tasks and facts.sample.task not in self.tasks:
            return False
        return self.when is None or self.when(facts)


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One thing that labels or words say and pixels do not, or the other way round."""

    check: str
    key: str
    kind: str
    message: str


@dataclass
class AuditReport:
    """Counts of an audit.

    Attributes:
        num_samples: Samples looked at.
        kinds: Samples by kind.
        samples: By check, how many samples were asked.
        wrong: By check, how many of them disagree.
        first: The first disagreements, a few for each check.
        rejected: Samples that the recipe could not draw, by reason.
    """

    num_samples: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    samples: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    first: list[Disagreement] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)

    @property
    def passed(self) -> bool:
        """Whether there were samples, and nothing disagreed in any of them."""
        return self.num_samples > 0 and not self.wrong

    def as_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return {
            "passed": self.passed,
            "num_samples": self.num_samples,
            "kinds": dict(sorted(self.kinds.items())),
            "rejected": dict(sorted(self.rejected.items())),
            "checks": {
                name: {"samples": count, "disagreements": self.wrong[name]}
                for name, count in self.samples.items()
            },
            "first": [
                {"check": one.check, "key": one.key, "kind": one.kind, "message": one.message}
                for one in self.first
            ],
        }
