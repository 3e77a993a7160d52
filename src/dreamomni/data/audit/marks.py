"""Checks of segmentation and detection: the target made again from image 1, its id map, and the details."""

from collections.abc import Iterator

import numpy as np

from dreamomni.data.audit.check import Check
from dreamomni.data.audit.facts import Facts, Mask, MissingError, bounds


def filled(facts: Facts) -> Iterator[str]:
    """The target is image 1 with exactly the pixels of the asked instances in the named colour."""
    wanted = facts.source.pixels.copy()
    wanted[np.isin(_ids(facts), _instances(facts))] = facts.detail("fill")
    yield from _compare(facts, wanted)
    yield from _colour(facts, "fill_colour", "fill")
    if facts.target.ids is None or not np.array_equal(facts.target.ids, _ids(facts)):
        yield "filling changed the id map"
    for number in _instances(facts):
        label = facts.target.by_id.get(number)
        if label is not None and label.colour != facts.detail("fill_colour"):
            yield f"the filled {label.name} is labelled {label.colour} in the target"


def boxed(facts: Facts) -> Iterator[str]:
    """The target is image 1 with outlines around the boxes of the asked instances in the named colour."""
    stroke = int(facts.detail("stroke"))
    found = [bounds(facts.source.mask(number)) for number in _instances(facts)]
    said = [tuple(box) for box in facts.detail("boxes")]
    if said != found:
        yield f"the boxes are {said}, the pixels span {found}"
    outline = np.zeros(_ids(facts).shape, bool)
    for box in said:
        outline |= _outline(outline.shape, box, stroke)
    wanted = facts.source.pixels.copy()
    wanted[outline] = facts.detail("box_rgb")
    yield from _compare(facts, wanted)
    yield from _colour(facts, "box_colour", "box_rgb")
    if facts.target.ids is None or not np.array_equal(facts.target.ids, np.where(outline, 0, _ids(facts))):
        yield "the id map of the target is not that of image 1 without the outlines"


def _outline(shape: tuple[int, ...], box: tuple[int, ...], stroke: int) -> Mask:
    """A frame of `stroke` pixels just outside a box; at the edge of the canvas it moves inside."""
    height, width = shape
    x0, y0, x1, y1 = box
    left, top = max(x0 - stroke, 0), max(y0 - stroke, 0)
    right, bottom = min(x1 + stroke, width), min(y1 + stroke, height)
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    outside = (columns < left) | (columns >= right) | (rows < top) | (rows >= bottom)
    inside = (
        (columns >= left + stroke)
        & (columns < right - stroke)
        & (rows >= top + stroke)
        & (rows < bottom - stroke)
    )
    return np.asarray(~outside & ~inside)


def _instances(facts: Facts) -> list[int]:
    numbers = [int(number) for number in facts.detail("instances")]
    unknown = set(numbers) - set(facts.source.areas)
    if unknown or not numbers:
        raise MissingError(
            f"instances {sorted(unknown) or numbers} were asked for, image 1 does not show them"
        )
    return numbers


def _ids(facts: Facts) -> np.ndarray:
    if facts.source.ids is None:
        raise MissingError("image 1 has no id map")
    return facts.source.ids


def _colour(facts: Facts, name: str, value: str) -> Iterator[str]:
    known = facts.vocabulary.colours.get(facts.detail(name))
    if known is None or tuple(known) != tuple(facts.detail(value)):
        yield f"{facts.detail(name)!r} is {known}, it was painted as {facts.detail(value)}"
    if (facts.source.pixels == np.array(facts.detail(value))).all(axis=2).any():
        yield f"image 1 has pixels in the colour of the mark already ({facts.detail(name)})"


def _compare(facts: Facts, wanted: np.ndarray) -> Iterator[str]:
    wrong = (facts.target.pixels != wanted).any(axis=2)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        yield f"{int(wrong.sum())} pixels of the target are wrong, first at x {column}, y {row}"


CHECKS = (
    Check("filled region", filled, frozenset({"segment"})),
    Check("drawn boxes", boxed, frozenset({"detect"})),
)
