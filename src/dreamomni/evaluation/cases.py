"""The cases of the world evaluation: requests of every task on seeds that training never uses."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.asking import request_of
from dreamomni.data.collage.engine import CollageEngine, RejectedSampleError
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.collage.world import Split
from dreamomni.errors import ConfigError
from dreamomni.evaluation.expectation import (
    EDIT_METRICS,
    MEASURES,
    REFERENCE_METRICS,
    T2I_METRICS,
    TASK_METRICS,
    Expectation,
    expectation_of,
)
from dreamomni.evaluation.references import UNCHANGED
from dreamomni.seeding import derive_seed
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.request import Request
from dreamomni.tasks.sample import TrainingSample

EVALUATION_SEED = 20_412
"""Default root of all evaluation draws. The seeds derived from it are 64-bit hashes: no one would type them
into a training recipe."""

KINDS: tuple[str, ...] = (*T2I_METRICS, *EDIT_METRICS, *TASK_METRICS, *REFERENCE_METRICS)
"""Kinds of samples that can be judged. Geometric shapes, full descriptions and combined tasks cannot yet."""

_STICKERS_ONLY = frozenset({"canny", "depth", "segmentation"})
"""Kinds whose scenes now and then show geometric shapes, for which the checker has no names."""
SWAPPED = "-swapped"
"""What the id of a case has behind it whose references stand the other way round."""
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
        rivals: the truth with other values by their names, where an answer is compared with them.
    """

    case: EvalCase
    expectation: Expectation
    truth: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8] | None
    split: Split
    sample: TrainingSample
    rivals: Mapping[str, npt.NDArray[np.uint8]] = field(default_factory=dict)


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
        case
        for kind in drawn
        for index in range(num_cases_per_kind)
        for case in _make_cases(engine, split, kind, seed, index)
    ]


def _make_cases(engine: CollageEngine, split: Split, kind: str, seed: int, index: int) -> Iterator[WorldCase]:
    """One case; of every second one with several references also the one with two of them exchanged."""
    root = derive_seed(seed, "evaluate world", split, kind)
    if kind not in REFERENCE_METRICS:
        yield _make_case(engine, split, seed, index, _draw(engine, kind, root, index))
        return
    sample = _draw(engine, kind, root, index)
    twin = None
    if index % 2:
        sample, twin = _draw_pair(engine, kind, root, index) or (sample, None)
    case = _make_case(engine, split, seed, index, sample, rivals=_rivals(engine, sample))
    yield case
    if twin is not None:
        yield _make_case(engine, split, seed, index, twin, rivals=_rivals(engine, twin), pair=case.case.id)


def _draw_pair(
    engine: CollageEngine, kind: str, seed: int, index: int
) -> tuple[TrainingSample, TrainingSample] | None:
    """A sample and the same words with two references exchanged; None where the recipe has no such."""
    for draw in range(_REDRAWS):
        try:
            sample = engine.sample(seed, index + draw * _NEXT_DRAW, kind=kind)
            if sample.details["reference"]["swap"] is None:
                continue
            twin = engine.sample(seed, sample.index, kind, "swapped")
        except RejectedSampleError:
            continue
        # An attempt that failed for one of the two leads to other pictures.
        if sample.details["attempts"] == twin.details["attempts"] and not (_unfit(sample) or _unfit(twin)):
            return sample, twin
    return None


def _rivals(engine: CollageEngine, sample: TrainingSample) -> dict[str, npt.NDArray[np.uint8]]:
    """The target with every other value, and image 1 unchanged, for what is measured by comparison."""
    if sample.kind not in MEASURES:
        return {}
    options, record = engine.recipe.multi_reference, sample.details["reference"]
    values: Mapping[str, Sequence[str]] = {
        "pattern": options.patterns,
        "style": options.styles,
        "font": options.fonts,
        "background": tuple(engine.backgrounds),
    }
    # Image 1 itself stands for the value that it has.
    known = [
        one["colour"] if isinstance(one, Mapping) else one for one in (record["value"], record["before"])
    ]
    found = {UNCHANGED: sample.images[0]}
    for value in values[record["attribute"]]:
        if value in known:
            continue
        try:
            other = engine.sample(sample.seed, sample.index, sample.kind, f"={value}")
        except RejectedSampleError:
            continue
        if other.details["attempts"] == sample.details["attempts"]:
            found[value] = other.target
    return found


def _make_case(
    engine: CollageEngine,
    split: Split,
    seed: int,
    index: int,
    sample: TrainingSample,
    *,
    rivals: Mapping[str, npt.NDArray[np.uint8]] | None = None,
    pair: str | None = None,
) -> WorldCase:
    kind = sample.kind
    height, width = sample.target.shape[:2]
    noise_seed = derive_seed(seed, "evaluate world noise", split, kind, index) % 2**31
    request = request_of(sample, seed=noise_seed, keep_outside=False)
    case = EvalCase(
        id=f"{split.replace('_', '-')}-{kind.replace('_', '-')}-{index:04d}{SWAPPED if pair else ''}",
        kind=kind,
        task=sample.task,
        prompt=request.prompt,
        images=sample.images,
        size=Size(width, height),
        seed=noise_seed,
        request=request,
    )
    expectation = expectation_of(sample).model_copy(update={"pair": pair})
    return WorldCase(case, expectation, sample.target, sample.mask, split, sample, rivals or {})


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
    names = [label.name for label in sample.objects]
    if sample.kind == "subject_scene" and len(set(names)) < len(names):
        return "its two things have one name, so that a place could be meant of either"
    if sample.task == "subject" and sample.kind != "subject" and _is_shown(sample):
        return "one of its references looks like the answer"
    return ""


def _is_shown(sample: TrainingSample) -> bool:
    """Whether a reference shows all that the target does, so that to copy it would do."""
    wanted = {(label.name, label.colour) for label in sample.objects}
    return any(wanted <= {(label.name, label.colour) for label in labels} for labels in sample.image_objects)
