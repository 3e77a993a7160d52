"""The cases of the world evaluation: prompts and edits on seeds that training never uses."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.collage.world import Split
from dreamomni.errors import ConfigError
from dreamomni.evaluation.expectation import EDIT_METRICS, T2I_METRICS, Expectation, expectation_of
from dreamomni.seeding import derive_seed
from dreamomni.tasks.geometry import Size

EVALUATION_SEED = 20_412
"""Default root of all evaluation draws. The seeds derived from it are 64-bit hashes: no one would type them
into a training recipe."""

KINDS: tuple[str, ...] = (*T2I_METRICS, *EDIT_METRICS)


@dataclass(frozen=True, slots=True, eq=False)
class EvalCase:
    """What a model is told: the words, the pictures, the size and the seed of its noise. No answer in it.

    Attributes:
        id: stable name, fit for a file name.
        kind: "single", ..., "replace".
        task: "text_to_image" or "edit".
        prompt: the caption wanted or the instruction.
        images: input pictures, uint8 (H, W, 3); image 1 is the one to edit.
        size: of the picture wanted.
        seed: for the noise.
    """

    id: str
    kind: str
    task: str
    prompt: str
    images: tuple[npt.NDArray[np.uint8], ...]
    size: Size
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class WorldCase:
    """A case with its answer.

    Attributes:
        case: what the model is told.
        expectation: what its picture must show.
        truth: the engine's own picture, uint8 (H, W, 3).
        mask: where the truth differs from the source; None for prompts.
        split: "held_out" or "train".
    """

    case: EvalCase
    expectation: Expectation
    truth: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8] | None
    split: Split


def make_cases(
    recipe: CollageRecipe, *, split: Split, num_cases_per_kind: int, seed: int = EVALUATION_SEED
) -> list[WorldCase]:
    """Draw the cases: as many of every kind as asked, the same ones for the same arguments.

    Args:
        recipe: the world. Kinds with no weight in its mixture are left out.
        split: "held_out" shows combinations that training never saw wherever the kind can; "train" those
            that it may have seen, on fresh seeds.
        num_cases_per_kind: how many of each kind.
        seed: root of all draws.

    Raises:
        ConfigError: the recipe draws none of the kinds that can be judged.
    """
    kinds = [kind for kind in KINDS if recipe.mixture.get(kind, 0) > 0]  # type: ignore[call-overload]
    if not kinds:
        raise ConfigError(
            f"the world evaluation judges {', '.join(KINDS)}, but the recipe's mixture has none of them"
        )
    engine = CollageEngine(recipe, split=split)
    return [
        _make_case(engine, split, kind, seed, index) for kind in kinds for index in range(num_cases_per_kind)
    ]


def _make_case(engine: CollageEngine, split: Split, kind: str, seed: int, index: int) -> WorldCase:
    sample = engine.sample(derive_seed(seed, "evaluate world", split, kind), index, kind=kind)
    height, width = sample.target.shape[:2]
    case = EvalCase(
        id=f"{split.replace('_', '-')}-{kind.replace('_', '-')}-{index:04d}",
        kind=kind,
        task=sample.task,
        prompt=sample.instruction,
        images=sample.images,
        size=Size(width, height),
        seed=derive_seed(seed, "evaluate world noise", split, kind, index) % 2**31,
    )
    return WorldCase(case, expectation_of(sample), sample.target, sample.mask, split)
