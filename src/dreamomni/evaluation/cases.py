"""The cases of the world evaluation: requests of every task on seeds that training never uses."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dreamomni.data.collage.engine import CollageEngine, RejectedSampleError
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.collage.words.drag import JOINTS, LAYOUTS, ONLY_POINTS
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
from dreamomni.tasks.conditioning import drag_text
from dreamomni.tasks.geometry import Box, Size
from dreamomni.tasks.request import Drag, Margins, Request, parse_request
from dreamomni.tasks.sample import DragLabel, TrainingSample

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
    request = request_of(sample, seed=noise_seed)
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


def request_of(sample: TrainingSample, *, seed: int = 0) -> Request:
    """Say a sample as the request that a user would make for its target.

    Structure is given as structure: points as drags, holes as masks, borders as margins, maps as control
    images. A hole has its caption as words, also where the sample leaves them out, as without them nobody can
    know what it hides, and what is known is not put back, so that it can be seen whether the model keeps it.
    Words of drags come without their points.

    Args:
        sample: of any kind of the collage engine.
        seed: of the noise.
    """
    height, width = sample.target.shape[:2]
    asked: dict[str, Any] = {"task": sample.task, "prompt": sample.instruction, "seed": seed}
    images = tuple(Image.fromarray(image) for image in sample.images)
    match sample.task:
        case "text_to_image":
            asked["size"] = Size(width, height)
        case "inpaint":
            assert sample.mask is not None
            mask = Image.fromarray(sample.mask)
            asked |= {"images": images, "mask": mask, "prompt": sample.caption, "keep_outside": False}
        case "outpaint":
            known = _known_box(sample)
            crop = np.ascontiguousarray(sample.images[0][known.y0 : known.y1, known.x0 : known.x1])
            margins = Margins(known.x0, known.y0, width - known.x1, height - known.y1)
            asked |= {"images": (Image.fromarray(crop),), "margins": margins, "prompt": sample.caption}
            asked["keep_outside"] = False
        case "drag":
            drags = tuple(Drag(p.x, p.y, p.dx, p.dy) for p in sample.drags)
            asked |= {"images": images, "drags": drags, "prompt": words_of_drag(sample)}
        case "control":
            asked |= {
                "images": images,
                "control": sample.details["control"],
                "size": Size(width, height),
            }
        case "subject":
            asked |= {"images": images, "size": Size(width, height)}
        case _:
            asked["images"] = images
    return parse_request(asked)


def words_of_drag(sample: TrainingSample) -> str:
    """The instruction of a drag without its points; empty when it was points alone."""
    blocks = [drag_text(own) for own in _points_by_thing(sample.drags)]
    text = sample.instruction
    if text in [template.format(p=drag_text(sample.drags)) for template in ONLY_POINTS]:
        return ""
    # Placeholders first: the text of one block of points may contain that of another.
    for number, block in enumerate(blocks):
        text = text.replace(block, f"<{number}>", 1)
    clauses = [text] if len(blocks) == 1 else _split_joint(text)
    words = [_without_points(clause, f"<{number}>") for number, clause in enumerate(clauses)]
    return ", and ".join(words)


def _points_by_thing(drags: Sequence[DragLabel]) -> list[list[DragLabel]]:
    """Points of each thing that moves, in the order of the words."""
    found: dict[int, list[DragLabel]] = {}
    for label in drags:
        found.setdefault(label.instance_id, []).append(label)
    return list(found.values())


def _split_joint(text: str) -> list[str]:
    """Undo the joining of two clauses: a cut is right when each side has its own points."""
    for joint in sorted((joint.format(x="", y="") for joint in JOINTS), key=len, reverse=True):
        for at in _positions(text, joint):
            first, second = text[:at], text[at + len(joint) :]
            if "<0>" in first and "<1>" in second and "<1>" not in first:
                return [first, second]
    raise ValueError(f"the clauses of {text!r} cannot be told apart")


def _positions(text: str, part: str) -> list[int]:
    return [at for at in range(len(text)) if text.startswith(part, at)]


def _without_points(clause: str, block: str) -> str:
    # Longest frames first: "{s} {p}" fits everything that "{s} with the points {p}" does.
    for layout in sorted(LAYOUTS, key=len, reverse=True):
        before, _, after = layout.format(p=block, s="\0").partition("\0")
        if clause.startswith(before) and clause.endswith(after) and len(clause) > len(before) + len(after):
            return clause[len(before) : len(clause) - len(after)]
    raise ValueError(f"the words of {clause!r} cannot be told from its points")


def _known_box(sample: TrainingSample) -> Box:
    """The rectangle of an outpainting that is not to be made."""
    assert sample.mask is not None
    rows, columns = np.nonzero(sample.mask == 0)
    return Box(int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
