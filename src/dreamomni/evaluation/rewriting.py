"""How well a rewriter puts users' words into the standard form, on held-out samples with references.

The samples say exactly what the right words are (DreamOmni2 section 3.2). An answer is compared as the
network would read it: what the parser mends counts as said, and what it cannot use counts as wrong.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image

from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import MULTI_REFERENCE_KINDS, CollageRecipe
from dreamomni.data.dataset import sample_or_next
from dreamomni.errors import DataError
from dreamomni.evaluation.statistics import Estimate, proportion
from dreamomni.inference.rewriting.rewriter import Rewriter
from dreamomni.tasks.references import image_names
from dreamomni.tasks.sample import TrainingSample
from dreamomni.tasks.standard import ParsedAnswer, parse_answer, standard_edit, standard_generation, wrap

MEASURES = ("usable", "images", "instruction", "exact")
"""What is measured of each answer: that it can be used at all; that it names the right images in the right
order; that it asks for the right thing; that every word is right, the caption included."""


@dataclass(frozen=True, slots=True)
class RewriterCase:
    """One sample, and what a rewriter made of it.

    Attributes:
        key: Of the sample.
        kind: Of the sample.
        prompt: What the user says.
        wanted: The content that is right.
        got: The content that the network would read; None where the user's words stand.
        right: Measure -> whether it holds.
    """

    key: str
    kind: str
    prompt: str
    wanted: str
    got: str | None
    right: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class RewriterReport:
    """What a rewriter got right, with error bars."""

    cases: tuple[RewriterCase, ...]

    def overall(self) -> dict[str, Estimate]:
        """Measure -> share over all cases."""
        return _estimates(self.cases)

    def by_kind(self) -> dict[str, dict[str, Estimate]]:
        """Kind -> measure -> share over its cases."""
        kinds = dict.fromkeys(case.kind for case in self.cases)
        return {kind: _estimates([case for case in self.cases if case.kind == kind]) for kind in kinds}

    def to_json(self) -> dict[str, Any]:
        """Everything, JSON-able."""
        return {
            "overall": _as_json(self.overall()),
            "by_kind": {kind: _as_json(found) for kind, found in self.by_kind().items()},
            "cases": [
                {
                    "key": case.key,
                    "kind": case.kind,
                    "prompt": case.prompt,
                    "wanted": case.wanted,
                    "got": case.got,
                    "right": dict(case.right),
                }
                for case in self.cases
            ],
        }


def asked_kinds(recipe: CollageRecipe) -> list[str]:
    """The kinds with references that a data recipe draws.

    Raises:
        DataError: There is none.
    """
    mixed = [str(kind) for kind, weight in recipe.mixture.items() if weight > 0]
    kinds = [kind for kind in MULTI_REFERENCE_KINDS if kind in mixed]
    if not kinds:
        raise DataError(
            f"the data recipe draws nothing with several references; it needs one of "
            f"{', '.join(MULTI_REFERENCE_KINDS)}"
        )
    return kinds


def ask_rewriter(
    rewriter: Rewriter,
    recipe: CollageRecipe,
    *,
    num_cases: int,
    seed: int = 0,
    split: Literal["train", "held_out"] = "held_out",
) -> Iterator[RewriterCase]:
    """Let a rewriter rewrite what users say in samples of a data recipe, one case after another.

    Args:
        rewriter: What is measured.
        recipe: Its kinds with references are asked, each as often.
        num_cases: Samples of each kind.
        seed: Draws the samples; they are others than those of a training run with the same number.
        split: "held_out": things in colours that training never showed; "train": those that it may have.

    Raises:
        DataError: The recipe has no kind with references.
        ModelError: The rewriter cannot be loaded.
    """
    kinds, engine = asked_kinds(recipe), CollageEngine(recipe, split=split)
    for kind in kinds:
        for index in range(num_cases):
            # Training counts from 0 up.
            yield judge(rewriter, sample_or_next(engine, seed, 2**31 + index, kind))


def judge(rewriter: Rewriter, sample: TrainingSample) -> RewriterCase:
    """Rewrite what the user says in one sample, and compare it with what its labels say."""
    standard, is_edit = sample.details["standard"], sample.task == "edit"
    task: Literal["edit", "generate"] = "edit" if is_edit else "generate"
    content = (
        standard_edit(standard["instruction"], standard["caption"])
        if is_edit
        else standard_generation(standard["caption"])
    )
    images = [Image.fromarray(image) for image in sample.images]
    found = rewriter.rewrite(sample.instruction, images, task=task)
    wanted = parse_answer(wrap(content), len(images), task)
    usable = found.revised_prompt is not None
    got = parse_answer(wrap(found.revised_prompt or ""), len(images), task)
    right = {
        "usable": usable,
        "images": usable and _images(got) == _images(wanted),
        "instruction": usable and _asks(got) == _asks(wanted),
        "exact": got.content == wanted.content,
    }
    return RewriterCase(
        sample.key, sample.kind, sample.instruction, wanted.content, found.revised_prompt, right
    )


def _asks(parsed: ParsedAnswer) -> str | None:
    """What is asked for: of an edit its instruction, of a generation the description."""
    return parsed.caption if parsed.instruction is None else parsed.instruction


def _images(parsed: ParsedAnswer) -> list[int]:
    return [name.number for name in image_names(_asks(parsed) or "")]


def _estimates(cases: Sequence[RewriterCase]) -> dict[str, Estimate]:
    return {measure: proportion([case.right[measure] for case in cases]) for measure in MEASURES}


def _as_json(found: Mapping[str, Estimate]) -> dict[str, Any]:
    return {measure: estimate._asdict() for measure, estimate in found.items()}
