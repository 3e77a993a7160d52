"""Which of several references did an answer follow? Things and colours by what is seen, the rest by pixels.

What has no body (a pattern, a style, a font, a background) is found by comparison: the engine draws the same
target with every other value, and an answer shows the value to which it is nearest. It is right when it is
clearly nearer to the truth than to any other, and what was not to change is still there.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.evaluation.expectation import Expectation, Seen
from dreamomni.evaluation.scorers import direction_holds, psnr_outside
from dreamomni.evaluation.segment import Array, find_ground, to_lab

Pixels = npt.NDArray[np.uint8]

UNCHANGED = ""
"""Name of image 1 among the rivals of a truth."""
CLEAR = 0.6
"""Least closeness of a right answer: the nearest other value is half as far again."""
LEAST_OUTSIDE = 17.0
"""Least PSNR in dB to image 1 where nothing was to change, for an answer to be right."""
FARTHEST = 16.0
"""Largest mean CIE76 distance from the truth where something was to change, for an answer to be right."""
_COMPARE_BLUR = 0.9
"""Blur in pixels at 64 px that all pictures get before they are compared."""
_GROUND_GAP = 6.0
"""Largest CIE76 distance of a background from the one that was asked for."""


def closeness(picture: Pixels, truth: Pixels, rival: Pixels) -> float:
    """How much nearer a picture is to the truth than to a rival, where these differ.

    Returns:
        0 for the rival itself, 0.5 in the middle, 1 for the truth.
    """
    apart = (truth != rival).any(axis=2)
    if not apart.any():
        return 1.0
    shown = _soft(picture)[apart]
    far = [float(np.linalg.norm(shown - _soft(other)[apart], axis=1).mean()) for other in (truth, rival)]
    return far[1] / (far[0] + far[1])


def _soft(picture: Pixels) -> Array:
    """CIE L*a*b* of a slightly blurred picture: fine noise weighs less, and so does a soft edge."""
    blur = _COMPARE_BLUR * max(1.0, min(picture.shape[:2]) / 64)
    return to_lab(np.asarray(cv2.GaussianBlur(picture.astype(np.float32), (0, 0), blur)))


def measure_taken(
    picture: Pixels,
    truth: Pixels,
    rivals: Mapping[str, Pixels],
    source: Pixels,
    mask: npt.NDArray[np.uint8],
    expectation: Expectation,
) -> dict[str, float]:
    """Say which value of a pattern, style, font or background an answer shows.

    Args:
        picture: the answer.
        truth: the target.
        rivals: the target with every other value by its name; image 1 as `UNCHANGED`.
        source: image 1.
        mask: where the truth differs from it.
        expectation: says which reference gives which value.

    Returns:
        "right" (0 or 1), "closeness" to the truth against the nearest rival, "image" (number of the image
        that was followed, 1 for an unchanged picture, 0 for none), "distance" from the truth.
    """
    found = {name: closeness(picture, truth, rival) for name, rival in rivals.items()}
    nearest = min(found, key=lambda name: found[name])
    close = found[nearest]
    outside = psnr_outside(picture, source, mask)
    around = cv2.dilate((mask > 127).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    apart = _soft(picture)[around] - _soft(truth)[around]
    distance = float(np.linalg.norm(apart, axis=1).mean())
    # A picture of something else is nearer to one value than to another, too, but follows none.
    sound = (outside is None or outside >= LEAST_OUTSIDE) and distance <= FARTHEST
    image = float(expectation.used[0])
    if close <= 0.5:
        image = 1.0 if nearest == UNCHANGED else 0.0
        image = next((float(gift.image) for gift in expectation.given if gift.value == nearest), image)
    elif not sound:
        image = 0.0
    return {
        "right": float(close >= CLEAR and sound),
        "closeness": close,
        "image": image,
        "distance": distance,
    }


def measure_ground(picture: Pixels, truth: Pixels, ids: npt.NDArray[np.int16]) -> dict[str, float]:
    """Say whether a picture has the background of the truth: "ground", 0 or 1."""
    fitted = to_lab(find_ground(picture).rgb)[ids == 0].mean(axis=0)
    wanted = to_lab(truth.astype(np.float32))[ids == 0].mean(axis=0)
    return {"ground": float(np.linalg.norm(fitted - wanted) <= _GROUND_GAP)}


def followed(expectation: Expectation, seen: Sequence[Seen], values: Mapping[str, float]) -> bool:
    """Whether an answer took what was asked from the right image, whatever else is wrong with it.

    A thing, or the colour of one, is followed when it is seen, with the relation that tells one of two images
    from the other, and nothing is that only another reference could have given.
    """
    if "image" in values:
        return values["image"] == expectation.used[0]
    counts = Counter((s.name, s.colour) for s in seen)
    if any(counts[(asked.name, asked.colour)] < asked.count for asked in expectation.asked):
        return False
    wanted = {(asked.name, asked.colour) for asked in expectation.asked}
    wanted |= {(known.name, known.colour) for known in expectation.kept}
    for gift in expectation.given:
        thing = gift.thing
        if gift.image not in expectation.used and thing is not None:
            other = (thing.name, thing.colour)
            if other not in wanted and counts[other]:
                return False
    relation = expectation.relation
    if relation is None or not expectation.used:
        return True
    first = [s for s in seen if s.name == relation.subject]
    second = [s for s in seen if s.name == relation.object]
    return any(direction_holds(a.box, relation.predicate, b.box) for a in first for b in second)
