"""The cases of the world evaluation: requests of every task on seeds that training never uses."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.asking import request_of
from dreamomni.data.collage.engine import CollageEngine, RejectedSampleError
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.collage.world import Split
from dreamomni.errors import ConfigError
from dreamomni.evaluation.expectation import (
    EDIT_METRICS,
    T2I_METRICS,
    TASK_METRICS,
    Expectation,
    expectation_of,
)
from dreamomni.seeding import derive_seed
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.request import Request
from dreamomni.tasks.sample import TrainingSample

EVALUATION_SEED = 20_412
"""Default root of all evaluation draws. The seeds derived from it are 64-bit hashes: no one would type them
into a training recipe."""

KINDS: tuple[str, ...] = (*T2I_METRICS, *EDIT_METRICS, *TASK_METRICS)
"""Kinds of samples that can be judged. Geometric shapes, full descriptions and combined tasks cannot yet."""

_STICKERS_ONLY = frozenset({"canny", "depth", "segmentation"})
"""Kinds whose scenes now and then show geometric shapes, for which the checker has no names."""
_REDRAWS = 64
_NEXT_DRAW = 1_000_003


@dataclass(frozen=True, slots=True, eq=False)
class EvalCase:
    """What a model is told: the words, the pictures, the size and the seed of its noise. No answer in it.

    Attributes:
        id: stable name, fit for a file name.
        kind: "single", ..., "detect".
        task: name of the request's task.
        prompt: the words of the request.
        images: input pictures as a person would look at them, uint8 (H, W, 3); image 1 is the one to edit.
            The request of an outpainting has only the part of image 1 that is known.
        size: of the picture wanted.
        seed: for the noise.
        request: the same as a request.
    """

    id: str
    kind: str
    task: str
    prompt: str
    images: tuple[npt.NDArray[np.uint8], ...]
    size: Size
    seed: int
    request: Request


@dataclass(frozen=True, slots=True, eq=False)
class WorldCase:
    """A case with its answer.

    Attributes:
        case: what the model is told.
        expectation: what its picture must show.
        truth: the engine's own picture, uint8 (H, W, 3).
        mask: where the truth differs from the source; None for prompts.
        split: "held_out" or "train".
        sample: all labels, for what is measured on pixels.
    """

    case: EvalCase
    expectation: Expectation
    truth: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8] | None
    split: Split
    sample: TrainingSample


def make_cases(
    recipe: CollageRecipe,
    *,
    split: Split,
    num_cases_per_kind: int,
    seed: int = EVALUATION_SEED,
    kinds: Collection[str] | None = None,
) -> list[WorldCase]:
    """Draw the cases: as many of every kind as asked, the same ones for the same arguments.

    Args:
        recipe: the world. Kinds with no weight in its mixture are left out.
        split: "held_out" shows combinations that training never saw wherever the kind can; "train" those
            that it may have seen, on fresh seeds.
        num_cases_per_kind: how many of each kind.
        seed: root of all draws.
        kinds: only these; None for all.

    Raises:
        ConfigError: a kind cannot be judged, or the recipe draws none of those that are asked for.
    """
    strangers = sorted(set(kinds or ()) - set(KINDS))
    if strangers:
        raise ConfigError(
            f"the world evaluation cannot judge {', '.join(strangers)}; it judges {', '.join(KINDS)}"
        )
    wanted = [kind for kind in KINDS if kinds is None or kind in kinds]
    drawn = [kind for kind in wanted if recipe.mixture.get(kind, 0) > 0]  # type: ignore[call-overload]
    if not drawn:
        raise ConfigError(
            f"the world evaluation judges {', '.join(wanted)}, but the recipe's mixture has none of them"
        )
    engine = CollageEngine(recipe, split=split)
    return [
        _make_case(engine, split, kind, seed, index) for kind in drawn for index in range(num_cases_per_kind)
    ]


def _make_case(engine: CollageEngine, split: Split, kind: str, seed: int, index: int) -> WorldCase:
    sample = _draw(engine, kind, derive_seed(seed, "evaluate world", split, kind), index)
    height, width = sample.target.shape[:2]
    noise_seed = derive_seed(seed, "evaluate world noise", split, kind, index) % 2**31
    request = request_of(sample, seed=noise_seed, keep_outside=False)
    case = EvalCase(
        id=f"{split.replace('_', '-')}-{kind.replace('_', '-')}-{index:04d}",
        kind=kind,
        task=sample.task,
        prompt=request.prompt,
        images=sample.images,
        size=Size(width, height),
        seed=noise_seed,
        request=request,
    )
    return WorldCase(case, expectation_of(sample), sample.target, sample.mask, split, sample)


def _draw(engine: CollageEngine, kind: str, seed: int, index: int) -> TrainingSample:
    reason = ""
    for draw in range(_REDRAWS):
        try:
            sample = engine.sample(seed, index + draw * _NEXT_DRAW, kind=kind)
        except RejectedSampleError as error:
            reason = str(error)
            continue
        reason = _unfit(sample)
        if not reason:
            return sample
    raise ConfigError(f"no case {index} of kind {kind} was found in {_REDRAWS} draws; the last one: {reason}")


def _unfit(sample: TrainingSample) -> str:
    """Why a sample asks nothing that can be judged; empty when it does."""
    if sample.kind in _STICKERS_ONLY and any(label.kind != "sticker" for label in sample.objects):
        return "it shows geometric shapes, which cannot be judged: lower reference.shapes of the recipe"
    if sample.kind == "subject" and not expectation_of(sample).rejected:
        return "its sources show nothing but the subjects, so that none could be mixed up"
    if sample.kind == "multi_edit" and not sample.objects:
        return "its right answer is an empty picture, which a blank canvas is"
    return ""
