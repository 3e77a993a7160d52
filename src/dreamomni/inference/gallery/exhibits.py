"""The exhibits of a gallery: every question with the answer of a model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image

from dreamomni.inference.gallery.questions import (
    SECTIONS,
    WORDS,
    Question,
    Section,
    ask_samples,
    ask_words,
    load_world,
)
from dreamomni.inference.opening import Pipeline
from dreamomni.tasks.request import Request
from dreamomni.tasks.result import ImageResult

Progress = Callable[[str, int, int], None]
"""Called as (what is being made, steps done, steps in all)."""


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One question with what came out of it."""

    section: Section
    question: Question
    result: ImageResult

    @property
    def name(self) -> str:
        """Stem of its files."""
        return self.question.name

    @property
    def kind(self) -> str:
        """Of the sample, or "words"."""
        return self.question.kind

    @property
    def request(self) -> Request:
        """What was asked."""
        return self.question.request

    @property
    def pictures(self) -> list[tuple[str, Image.Image]]:
        """Label and picture, in reading order."""
        shown = [*self.question.inputs, ("result", self.result.images[0])]
        return shown if self.question.truth is None else [*shown, ("ground truth", self.question.truth)]


def make_exhibits(pipe: Pipeline, *, seed: int = 0, on_progress: Progress | None = None) -> list[Exhibit]:
    """Make every picture of the gallery with one model; tasks that it did not learn are left out."""
    world = load_world(pipe.card)
    exhibits: list[Exhibit] = []
    for section in SECTIONS:
        if section is WORDS:
            asked = ask_words(world, seed) if "text_to_image" in pipe.card.tasks else []
        else:
            asked = ask_samples(world, section, pipe.card, seed)
        results = _serve(pipe, asked, section.step, on_progress)
        exhibits += [Exhibit(section, one, result) for one, result in zip(asked, results, strict=True)]
    return exhibits


def describe(pipe: Pipeline, seed: int) -> str:
    """One line on what made the pictures."""
    count = sum(parameter.numel() for parameter in pipe.transformer.parameters())
    side = pipe.card.base_size
    return (
        f"model {pipe.card.name}: {count / 1e6:.1f} M-parameter transformer, {side}x{side} pixels, "
        f"{pipe.card.num_inference_steps} steps, seed {seed}; every result shown, none picked"
    )


def _serve(
    pipe: Pipeline, asked: Sequence[Question], what: str, on_progress: Progress | None
) -> list[ImageResult]:
    requests = [one.request for one in asked]
    if on_progress is None or not requests:
        return pipe.run_batch(requests)
    # Requests of one shape are one batch, which takes its own steps.
    plans = {pipe.plan(request).shape: request for request in requests}
    total, done = len(plans) * pipe.card.num_inference_steps, 0
    on_progress(what, done, total)

    def tell(*step: object) -> None:
        nonlocal done
        done += 1
        on_progress(what, done, total)

    return pipe.run_batch(requests, callback_on_step_end=tell)
