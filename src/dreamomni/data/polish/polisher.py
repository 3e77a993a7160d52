"""From templates to checked better words; the template stays where a model fails or says something else."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from dreamomni.data.polish.answers import AnswerCache
from dreamomni.data.polish.backends import PROMPT_VERSION, Backend
from dreamomni.data.polish.facts import disagreement
from dreamomni.errors import DataError
from dreamomni.tasks.sample import TrainingSample

_MAX_FAILURES_IN_A_ROW = 20


@dataclass(frozen=True, slots=True)
class Polished:
    """What became of one text.

    Attributes:
        text: The text to use.
        outcome: "polished", or why the template stayed: "same", "failed" (no answer), "refused" (other
            facts).
        reason: Detail of "failed" and "refused", else empty.
    """

    text: str
    outcome: str
    reason: str = ""


class Polisher:
    """Rewrites texts with a language model, checks them, and remembers the answers.

    Args:
        backend: The language model.
        cache: Its answers so far.

    Attributes:
        outcomes: How many texts ended how.
    """

    def __init__(self, backend: Backend, cache: AnswerCache) -> None:
        self._backend, self._cache = backend, cache
        self.outcomes: Counter[str] = Counter()
        self._failures = 0

    def polish(self, text: str, names: Iterable[str]) -> Polished:
        """Rewrite one text.

        Args:
            text: The template's words, known to be true.
            names: Things that it may speak of, in the singular.

        Raises:
            ConfigError: The backend can give no answer at all.
            DataError: It failed for many texts in a row.
        """
        result = self._polish(text, tuple(names)) if text else Polished(text, "same")
        self.outcomes[result.outcome] += 1
        return result

    def _polish(self, text: str, names: tuple[str, ...]) -> Polished:
        question = {"backend": self._backend.identity, "prompt": PROMPT_VERSION, "text": text}
        answer = self._cache.get(question)
        if answer is None:
            try:
                answer = self._backend.rewrite(text)
            except DataError as error:
                self._failures += 1
                if self._failures >= _MAX_FAILURES_IN_A_ROW:
                    raise DataError(
                        f"{self._failures} texts in a row got no answer; the last error: {error}"
                    ) from error
                return Polished(text, "failed", str(error))
            self._failures = 0
            self._cache.put(question, answer)
        better = tidy(answer, text)
        if better == text:
            return Polished(text, "same")
        reason = disagreement(text, better, names)
        return Polished(better, "polished") if reason is None else Polished(text, "refused", reason)


def tidy(answer: str, template: str) -> str:
    """Take off what models put around a text: white space, and quotes that the template has not."""
    text = answer.strip()
    for quote in ('"', "'", "`"):
        inner = text[1:-1]
        if len(text) > 2 and text[0] == text[-1] == quote and quote not in inner and quote not in template:
            text = inner.strip()
    return text


def names_in(sample: TrainingSample) -> tuple[str, ...]:
    """Every thing that the words of a sample may speak of, written words aside, sorted."""
    labels = [*sample.objects, *(label for labels in sample.image_objects for label in labels)]
    return tuple(sorted({label.name for label in labels if label.kind != "text"}))
