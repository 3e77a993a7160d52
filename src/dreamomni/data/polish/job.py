"""Polishing while a data set is made: which model, where its answers are kept, what a sample gets."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from dreamomni.data.polish.answers import AnswerCache
from dreamomni.data.polish.backends import PROMPT_VERSION, Backend, EndpointBackend, LocalBackend
from dreamomni.data.polish.polisher import Polisher, names_in
from dreamomni.errors import ConfigError
from dreamomni.tasks.sample import TrainingSample

API_KEY = "OPENAI_API_KEY"
"""The environment variable that holds the key of an endpoint, so that it is written nowhere."""


@dataclass(frozen=True, slots=True)
class PolishJob:
    """A language model for the words of a data set.

    Attributes:
        model: Name of the model at the endpoint; without one, the folder or hub id of a transformers model.
        cache: File of its answers. With the same answers a data set has the same bytes.
        endpoint: Address of an OpenAI-compatible server, up to and including `/v1`.
    """

    model: str
    cache: Path
    endpoint: str | None = None

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigError("polishing needs the name of a language model")

    @property
    def identity(self) -> dict[str, str]:
        """What decides the answers."""
        return {
            "model": self.model,
            "where": "endpoint" if self.endpoint else "local",
            "prompt": PROMPT_VERSION,
        }

    @contextmanager
    def open(self) -> Iterator[Polisher]:
        """Load the model or reach the endpoint, and open the cache.

        Raises:
            ConfigError: The address is none, or a package is missing.
            ModelError: The model cannot be loaded.
            OutputError: The cache cannot be written.
            DataError: The cache is none.
        """
        backend: Backend
        if self.endpoint is None:
            backend = _local(self.model)
        else:
            backend = EndpointBackend(self.endpoint, self.model, api_key=os.environ.get(API_KEY))
        with AnswerCache(self.cache) as cache:
            yield Polisher(backend, cache)


@lru_cache(maxsize=1)
def _local(model: str) -> LocalBackend:
    """One load in a process: a job is opened again for every shard."""
    return LocalBackend(model)


def polish_sample(sample: TrainingSample, polisher: Polisher) -> TrainingSample:
    """Give a sample better words where a model has some; `details["template"]` keeps those of the engine.

    Raises:
        ConfigError: The model can give no answer at all.
        DataError: It failed for many texts in a row.
    """
    names = names_in(sample)
    instruction = polisher.polish(sample.instruction, names).text
    if sample.caption == sample.instruction:
        caption = instruction
    else:
        caption = polisher.polish(sample.caption, names).text
    if (instruction, caption) == (sample.instruction, sample.caption):
        return sample
    template = {"instruction": sample.instruction, "caption": sample.caption}
    return replace(
        sample, instruction=instruction, caption=caption, details={**sample.details, "template": template}
    )
