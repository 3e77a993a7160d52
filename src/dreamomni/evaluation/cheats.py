"""Answers that need no model. A measure that lets them pass measures nothing; `truth` shows its ceiling.

| name | answer | what it deserves |
|---|---|---|
| blank | a white canvas | nothing |
| noise | uniform noise | nothing |
| copy_source | image 1, unchanged (everything but prompts) | no edit followed, PSNR at its cap |
| copy_reference | image 2, at the size of the truth (several references only) | nothing |
| wrong_reference | what the same words mean with two references exchanged | no order of references followed |
| other_truth | the truth of the next case of the same kind | luck: what a well-drawn but deaf answer gets |
| telea, navier_stokes | OpenCV's two methods (holes only) | what a model must beat |
| truth | the engine's own picture | everything; what is missing are the checker's mistakes |
"""

from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.evaluation.cases import SWAPPED, WorldCase
from dreamomni.evaluation.expectation import REFERENCE_METRICS
from dreamomni.evaluation.measures import inpaint_classic
from dreamomni.evaluation.record import FILL_KINDS
from dreamomni.seeding import generator

Image = npt.NDArray[np.uint8]


def blank(cases: Sequence[WorldCase]) -> list[Image | None]:
    """White canvases."""
    return [np.full_like(case.truth, 255) for case in cases]


def noise(cases: Sequence[WorldCase]) -> list[Image | None]:
    """Uniform noise from each case's own seed."""
    return [
        generator(case.case.seed, "noise").integers(0, 256, case.truth.shape, dtype=np.uint8)
        for case in cases
    ]


def copy_source(cases: Sequence[WorldCase]) -> list[Image | None]:
    """Image 1 of each case, unchanged."""
    return [case.case.images[0] for case in cases]


def copy_reference(cases: Sequence[WorldCase]) -> list[Image | None]:
    """Image 2 of each case, enlarged or reduced to the size of its truth."""
    sizes = [case.truth.shape[1::-1] for case in cases]
    return [
        np.asarray(cv2.resize(case.case.images[1], size, interpolation=cv2.INTER_AREA), np.uint8)
        for case, size in zip(cases, sizes, strict=True)
    ]


def wrong_reference(cases: Sequence[WorldCase]) -> list[Image | None]:
    """For two cases with exchanged references the truth of the other; the own truth without such a pair."""
    by_id = {case.case.id: case for case in cases}
    return [by_id.get(case.expectation.pair or case.case.id + SWAPPED, case).truth for case in cases]


def telea(cases: Sequence[WorldCase]) -> list[Image | None]:
    """Holes filled by Telea's fast marching method (2004)."""
    return [inpaint_classic(case, cv2.INPAINT_TELEA) for case in cases]


def navier_stokes(cases: Sequence[WorldCase]) -> list[Image | None]:
    """Holes filled by the method of Bertalmio et al. (2001)."""
    return [inpaint_classic(case, cv2.INPAINT_NS) for case in cases]


def other_truth(cases: Sequence[WorldCase]) -> list[Image | None]:
    """The truth of the next case of the same kind and size (of the case itself when it is alone)."""
    groups: dict[tuple[str, tuple[int, ...]], list[WorldCase]] = {}
    for case in cases:
        groups.setdefault((case.case.kind, case.truth.shape), []).append(case)
    following = {
        id(member): members[(place + 1) % len(members)].truth
        for members in groups.values()
        for place, member in enumerate(members)
    }
    return [following[id(case)] for case in cases]


def truth(cases: Sequence[WorldCase]) -> list[Image | None]:
    """The engine's own pictures."""
    return [case.truth for case in cases]


CHEATS: Mapping[str, Callable[[Sequence[WorldCase]], list[Image | None]]] = {
    "blank": blank,
    "noise": noise,
    "copy_source": copy_source,
    "copy_reference": copy_reference,
    "wrong_reference": wrong_reference,
    "other_truth": other_truth,
    "telea": telea,
    "navier_stokes": navier_stokes,
    "truth": truth,
}
CLASSIC = ("telea", "navier_stokes")
"""Not cheats: what was done before there were models."""
OF_REFERENCES = ("copy_reference", "wrong_reference")
"""Answers to kinds with several references alone."""


def fits(name: str, case: WorldCase) -> bool:
    """Whether a cheat can answer a case at all."""
    if name == "copy_source":
        return bool(case.case.images)
    if name in OF_REFERENCES:
        return case.case.kind in REFERENCE_METRICS
    return name not in CLASSIC or case.case.kind in FILL_KINDS
