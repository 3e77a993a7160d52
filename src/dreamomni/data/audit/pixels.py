"""Checks of pictures: sizes, masks, and what may differ between input and target."""

from collections.abc import Iterator

import numpy as np

from dreamomni.data.audit.check import Check
from dreamomni.data.audit.facts import HOLES, ONE_PICTURE, Facts, MissingError

_DIFFERENCE_MASKS = frozenset({"edit", "drag", "segment", "detect"})
_NO_IMAGES = frozenset({"text_to_image"})
_HOLE_SHAPES = frozenset({"smear", "block", "edges"})
_MAX_IMAGES = 5


def form(facts: Facts) -> Iterator[str]:
    """Arrays have the types and sizes of the data format; without this nothing else can be asked."""
    sample = facts.sample
    for view in facts.views:
        if view.pixels.dtype != np.uint8 or view.pixels.ndim != 3 or view.pixels.shape[2] != 3:
            yield f"{view.title} is {view.pixels.dtype} of shape {view.pixels.shape}, not uint8 (H, W, 3)"
        elif view.ids is not None and view.ids.shape != view.pixels.shape[:2]:
            yield f"{view.title} is {view.pixels.shape[:2]}, its id map {view.ids.shape}"
        elif view.ids is not None and not np.issubdtype(view.ids.dtype, np.integer):
            yield f"the id map of {view.title} holds {view.ids.dtype}"
    if sample.mask is not None:
        if sample.mask.dtype != np.uint8 or sample.mask.shape != sample.target.shape[:2]:
            yield f"the mask is {sample.mask.dtype} of shape {sample.mask.shape}"
        elif not np.isin(sample.mask, (0, 255)).all():
            yield f"the mask has values other than 0 and 255, such as {_other_value(sample.mask)}"


def sizes(facts: Facts) -> Iterator[str]:
    """Number of images and masks fits the task, and image 1 of an edit is as large as the target."""
    sample = facts.sample
    task, count = sample.task, len(sample.images)
    if task in _NO_IMAGES and (count or sample.mask is not None):
        yield f"{task} has {count} images and {'a' if sample.mask is not None else 'no'} mask"
    if task not in _NO_IMAGES and not 1 <= count <= _MAX_IMAGES:
        yield f"{task} has {count} images"
    for name, values in (("id maps", sample.image_ids), ("lists of labels", sample.image_objects)):
        if len(values) != count:
            yield f"{count} images have {len(values)} {name}"
    if task in ONE_PICTURE and count and sample.images[0].shape != sample.target.shape:
        yield f"image 1 is {sample.images[0].shape[:2]}, the target {sample.target.shape[:2]}"
    if task in _DIFFERENCE_MASKS | HOLES and sample.mask is None:
        yield f"{task} has no mask"


def difference(facts: Facts) -> Iterator[str]:
    """The mask is white exactly where image 1 and target differ; so nothing differs outside it."""
    wrong = facts.mask != facts.difference
    if wrong.any():
        missed = int((facts.difference & ~facts.mask).sum())
        yield (
            f"{missed} pixels differ outside the mask, {int(wrong.sum()) - missed} inside do not, first at "
            f"{_first(wrong)}"
        )
    if not facts.difference.any():
        yield "image 1 and target are equal"


def kept(facts: Facts) -> Iterator[str]:
    """Outside the hole, image 1 and target are equal."""
    wrong = facts.difference & ~facts.mask
    if wrong.any():
        yield f"{int(wrong.sum())} pixels differ outside the hole, first at {_first(wrong)}"


def filled(facts: Facts) -> Iterator[str]:
    """Inside the hole, image 1 is the fill; the hole is neither nothing nor everything."""
    if facts.detail("hole") not in _HOLE_SHAPES:
        yield f"the hole is said to be {facts.detail('hole')!r}"
    if not facts.mask.any() or facts.mask.all():
        yield f"the hole has {int(facts.mask.sum())} of {facts.mask.size} pixels"
    fill = np.array(facts.detail("fill"))
    wrong = facts.mask & (facts.source.pixels != fill).any(axis=2)
    if wrong.any():
        yield f"{int(wrong.sum())} pixels of the hole are not {fill.tolist()}, first at {_first(wrong)}"


def outpainted(facts: Facts) -> Iterator[str]:
    """What outpainting keeps is one rectangle that does not reach every edge, so the hole is the outside."""
    kept_pixels = ~facts.mask
    if not kept_pixels.any():
        return
    rows, columns = np.flatnonzero(kept_pixels.any(axis=1)), np.flatnonzero(kept_pixels.any(axis=0))
    inside = kept_pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if not inside.all():
        yield "what outpainting keeps is no rectangle"
    if inside.shape == kept_pixels.shape:
        yield "outpainting keeps everything"


def hole_labels(facts: Facts) -> Iterator[str]:
    """Image 1 shows the target's instances but for those pixels that are in the hole."""
    source, target = facts.source, facts.target
    if source.ids is None or target.ids is None:
        raise MissingError("image 1 or target has no id map")
    wrong = np.where(facts.mask, source.ids != 0, source.ids != target.ids)
    if wrong.any():
        yield f"{int(wrong.sum())} numbers of the id map of image 1 are wrong, first at {_first(wrong)}"


def _other_value(mask: np.ndarray) -> int:
    return int(mask[~np.isin(mask, (0, 255))][0])


def _first(where: np.ndarray) -> str:
    row, column = np.argwhere(where)[0]
    return f"x {column}, y {row}"


FORM = Check("form", form)
"""Asked first: when it fails, nothing else is asked."""

CHECKS = (
    Check("sizes", sizes),
    Check("changed mask", difference, _DIFFERENCE_MASKS, exact=True),
    Check("outside the hole", kept, HOLES, exact=True),
    Check("inside the hole", filled, HOLES, exact=True),
    Check("outpainted edges", outpainted, frozenset({"outpaint"})),
    Check("instances in the hole", hole_labels, HOLES),
)
