"""One answer and one truth, looked at, measured and kept."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.errors import OutputError
from dreamomni.evaluation.cases import WorldCase
from dreamomni.evaluation.checker import Detection, Vocabulary, detect
from dreamomni.evaluation.expectation import MEASURES, Seen
from dreamomni.evaluation.measures import measure
from dreamomni.evaluation.record import CONTROL_KINDS, AnswerRecord, CaseRecord, Status, verdict_on
from dreamomni.evaluation.scorers import psnr_outside

Pixels = npt.NDArray[np.uint8]

_LOOKED_AT = frozenset(CONTROL_KINDS)
"""Measured kinds that are looked at all the same: a map that is handed back has the edges asked for."""
_STEP_DEGREES = 12
"""A template still explains a thing that is turned by about half of this."""


def vocabulary_of(recipe: CollageRecipe, *, turned: bool = False) -> Vocabulary:
    """What a checker must know to look at pictures of a world.

    Args:
        recipe: the world.
        turned: whether things may be turned as far as subjects are on their way to the target.
    """
    engine = CollageEngine(recipe)
    limit = recipe.max_angle
    if turned and recipe.reference.turn > 0:
        limit = min(180.0, limit + recipe.reference.max_turn)
    angles = np.linspace(-limit, limit, 2 * int(np.ceil(limit / _STEP_DEGREES)) + 1) if limit else np.zeros(1)
    return Vocabulary(engine.names, engine.colours, angles=[float(angle) for angle in angles])


class Eye:
    """The checker with a memory, because truths and sources are looked at more than once.

    Args:
        recipe: the world that it looks at.
    """

    def __init__(self, recipe: CollageRecipe) -> None:
        self._recipe = recipe
        self._vocabularies: dict[bool, Vocabulary] = {}
        self._memory: dict[tuple[bool, bytes], tuple[Seen, ...]] = {}
        self._latest: tuple[tuple[bool, bytes] | None, list[Detection]] = (None, [])

    def look(self, image: Pixels, *, turned: bool = False) -> tuple[Seen, ...]:
        """What is seen in a picture; `turned` if things may be turned."""
        key = self._key(image, turned)
        if key not in self._memory:
            self._memory[key] = tuple(Seen.of(detection) for detection in self.detect(image, turned=turned))
        return self._memory[key]

    def detect(self, image: Pixels, *, turned: bool = False) -> list[Detection]:
        """The same with masks, which are kept for the latest picture alone."""
        key = self._key(image, turned)
        if self._latest[0] != key:
            if turned not in self._vocabularies:
                self._vocabularies[turned] = vocabulary_of(self._recipe, turned=turned)
            self._latest = (key, detect(image, self._vocabularies[turned]))
        return self._latest[1]

    @staticmethod
    def _key(image: Pixels, turned: bool) -> tuple[bool, bytes]:
        return turned, image.tobytes() + bytes(str(image.shape), "ascii")


def judge_answer(
    member: WorldCase,
    picture: Pixels | None,
    eye: Eye,
    *,
    perceptual: float | None = None,
    image: str | None = None,
) -> AnswerRecord:
    """Judge one answer.

    Args:
        member: the case.
        picture: the answer; None when none came.
        eye: looks at it.
        perceptual: its perceptual distance from the truth, where that was measured.
        image: where the picture was kept.
    """
    case, expectation = member.case, member.expectation
    status: Status = "judged"
    if picture is None:
        status = "missing_output"
    elif picture.shape != member.truth.shape:
        status = "wrong_size"
    seen: tuple[Seen, ...] = ()
    values: dict[str, float] = {}
    outside = None if member.mask is None else 0.0
    if picture is not None and status == "judged":
        seen, values = see_and_measure(member, picture, eye)
        if perceptual is not None:
            values["perceptual"] = round(perceptual, 5)
        if member.mask is not None:
            outside = psnr_outside(picture, case.images[0], member.mask)
    verdict = verdict_on(expectation, status, seen, values)
    return AnswerRecord(
        case=case.id,
        status=status,
        seen=seen,
        values=values,
        psnr_outside_mask=None if outside is None else round(outside, 4),
        correct=verdict.correct,
        exact=verdict.exact,
        reason=verdict.reason,
        image=image,
    )


def describe_case(member: WorldCase, eye: Eye, folder: Path | None) -> CaseRecord:
    """Write down a case, and what the checker makes of its truth."""
    case = member.case
    seen, values = see_and_measure(member, member.truth, eye)
    truth, sources = "", []
    if folder is not None:
        truth = save_picture(member.truth, folder, f"images/cases/{case.id}.truth.png")
        names = ["source", *(f"image{number}" for number in range(2, len(case.images) + 1))]
        sources = [
            save_picture(image, folder, f"images/cases/{case.id}.{name}.png")
            for name, image in zip(names, case.images, strict=False)
        ]
    return CaseRecord(
        id=case.id,
        split=member.split,
        task=case.task,
        prompt=case.prompt,
        noise_seed=case.seed,
        expectation=member.expectation,
        truth=truth,
        source=sources[0] if sources else None,
        references=tuple(sources[1:]),
        truth_seen=seen,
        truth_values=values,
    )


def see_and_measure(
    member: WorldCase, picture: Pixels, eye: Eye
) -> tuple[tuple[Seen, ...], dict[str, float]]:
    """What is seen and what is measured in a picture of the right size, as far as the kind needs either."""
    kind = member.case.kind
    values = measure(member, picture, eye.detect)
    if kind in MEASURES and kind not in _LOOKED_AT:
        return (), values
    return eye.look(picture, turned=kind == "subject"), values


def save_picture(picture: Pixels, folder: Path, name: str) -> str:
    """Write a PNG and return its name.

    Raises:
        OutputError: it cannot be written.
    """
    # No fsync for each of these: only the record, written last, says that they are complete.
    try:
        PillowImage.fromarray(picture).save(folder / name)
    except OSError as error:
        raise OutputError(
            f"cannot write {folder / name}: {(error.strerror or str(error)).lower()}"
        ) from error
    return name
