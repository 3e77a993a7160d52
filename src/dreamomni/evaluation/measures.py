"""Numbers measured on the pixels of one answer, by its task.

What is judged by the things that are seen is in `scorers`.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.palette import PALETTE
from dreamomni.evaluation.cases import WorldCase
from dreamomni.evaluation.checker import Detection
from dreamomni.evaluation.reading import read
from dreamomni.evaluation.references import measure_ground, measure_taken
from dreamomni.evaluation.regions import (
    box_agreement,
    depth_agreement,
    drawn_boxes,
    edge_agreement,
    moved_region,
    overlap,
    painted_region,
    region_agreement,
)
from dreamomni.evaluation.scorers import psnr_inside

Pixels = npt.NDArray[np.uint8]
Look = Callable[[Pixels], Sequence[Detection]]
"""The checker, with masks."""


def measure(member: WorldCase, picture: Pixels, look: Look) -> dict[str, float]:
    """All numbers of one answer; none for kinds that are judged by what was seen.

    Args:
        member: the case with its labels.
        picture: (H, W, 3) uint8 of the size of its truth.
        look: called for kinds that need the checker's masks.
    """
    sample, kind = member.sample, member.case.kind
    match kind:
        case "text":
            return _text(member, picture)
        case "drag_move" | "drag_scale" | "drag_rotate":
            assert sample.ids is not None
            assert sample.image_ids[0] is not None
            moved = {transform["instance_id"] for transform in sample.details["transforms"]}
            found = moved_region(picture, sample.images[0], sample.image_ids[0], sample.ids, moved)
            value = {"iou": overlap(found, np.isin(sample.ids, list(moved)))}
        case "inpaint" | "outpaint":
            assert sample.mask is not None
            value = {"psnr_hole": psnr_inside(picture, sample.target, sample.mask)}
        case "canny":
            edges = sample.images[0][..., 0] > 0
            details = sample.details
            value = {"f1": edge_agreement(picture, edges, details["low"], details["high"])}
        case "depth":
            levels = sample.details["levels"]
            exact = [(o.name, o.colour, int(levels[str(o.instance_id)])) for o in sample.objects]
            value = {"order": depth_agreement(look(picture), sample.images[0][..., 0], exact)}
        case "segmentation":
            value = {"iou": region_agreement(picture, look(picture), sample.images[0])}
        case "segment":
            assert sample.ids is not None
            painted = painted_region(picture, sample.images[0], tuple(sample.details["fill"]))
            value = {"iou": overlap(painted, np.isin(sample.ids, sample.details["instances"]))}
        case "detect":
            painted = painted_region(picture, sample.images[0], tuple(sample.details["box_rgb"]))
            stroke = sample.details["stroke"]
            true = [_inside_of(box, stroke, painted.shape) for box in sample.details["boxes"]]
            value = {"iou": box_agreement(drawn_boxes(painted), true)}
        case "subject_scene" if member.expectation.ground:
            assert sample.ids is not None
            value = measure_ground(picture, sample.target, sample.ids)
        case "reference_pattern" | "reference_style" | "reference_background" | "reference_font":
            assert sample.mask is not None
            value = measure_taken(
                picture, sample.target, member.rivals, sample.images[0], sample.mask, member.expectation
            )
        case _:
            value = {}
    return {name: round(number, 4) for name, number in value.items()}


def pasted(member: WorldCase, picture: Pixels) -> Pixels:
    """The answer to a hole with all known pixels put back, as every inpainting tool does."""
    assert member.mask is not None
    whole = member.truth.copy()
    inside = member.mask > 127
    whole[inside] = picture[inside]
    return whole


def inpaint_classic(member: WorldCase, method: int) -> Pixels:
    """Fill the hole of a case by `cv2.inpaint`, radius 3 pixels.

    Args:
        member: of kind inpaint or outpaint.
        method: `cv2.INPAINT_TELEA` or `cv2.INPAINT_NS`.
    """
    assert member.mask is not None
    return np.asarray(cv2.inpaint(member.case.images[0], member.mask, 3, method), dtype=np.uint8)


def _text(member: WorldCase, picture: Pixels) -> dict[str, float]:
    (asked, *_) = member.expectation.asked
    found = read(picture, asked.name, PALETTE.get(asked.colour or ""))
    return {"right": float(found.right), "correlation": found.correlation}


def _inside_of(box: Sequence[int], stroke: int, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """What the outline of a box encloses: at the border of the canvas it is drawn inside of the box."""
    height, width = shape[:2]
    x0, y0, x1, y1 = box
    return (
        max(x0 - stroke, 0) + stroke,
        max(y0 - stroke, 0) + stroke,
        min(x1 + stroke, width) - stroke,
        min(y1 + stroke, height) - stroke,
    )
