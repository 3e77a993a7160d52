"""Answers that need no model. A measure that lets them pass measures nothing; `truth` shows its ceiling.

| name | answer | what it deserves |
|---|---|---|
| blank | a white canvas | nothing |
| noise | uniform noise | nothing |
| copy_source | the picture to edit, unchanged (edits only) | no edit followed, PSNR at its cap |
| other_truth | the truth of the next case of the same kind | luck: what a well-drawn but deaf answer gets |
| truth | the engine's own picture | everything; what is missing are the checker's mistakes |
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from dreamomni.evaluation.cases import WorldCase
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
    "other_truth": other_truth,
    "truth": truth,
}
EDIT_ONLY = frozenset({"copy_source"})
"""Cheats that need a source picture."""
