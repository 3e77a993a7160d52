"""Checks of segmentation and detection: the target made again from image 1, its id map, and the details."""

from collections.abc import Iterator, Sequence

import numpy as np

from dreamomni.data.audit.check import Check
from dreamomni.data.audit.facts import Bounds, Facts, MissingError, View, bounds, outline


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
    frames = np.zeros(_ids(facts).shape, bool)
    for box in said:
        frames |= outline(frames.shape, box, stroke)
    wanted = facts.source.pixels.copy()
    wanted[frames] = facts.detail("box_rgb")
    yield from _compare(facts, wanted)
    yield from _colour(facts, "box_colour", "box_rgb")
    if facts.target.ids is None or not np.array_equal(facts.target.ids, np.where(frames, 0, _ids(facts))):
        yield "the id map of the target is not that of image 1 without the outlines"


def marked_among_edits(facts: Facts) -> Iterator[str]:
    """Marks among other edits: the whole region has the colour, the frame lies around the pixels."""
    target = facts.target
    for record in facts.marks:
        fills = record["operation"] == "segment"
        word, rgb = (
            (record["fill_colour"], record["fill"]) if fills else (record["box_colour"], record["box_rgb"])
        )
        if tuple(facts.vocabulary.colours.get(word, ())) != tuple(rgb):
            yield f"{word!r} was painted as {rgb}"
        painted = (target.pixels == np.array(rgb)).all(axis=2)
        if fills:
            region = np.isin(_target_ids(facts), [int(number) for number in record["instances"]])
        else:
            found = [bounds(target.mask(int(number))) for number in record["instances"]]
            fits = [_fits(box, one, target) for box, one in zip(record["boxes"], found, strict=True)]
            if not all(fits):
                yield f"the boxes are {record['boxes']}, the pixels span {found}"
            region = np.zeros(painted.shape, bool)
            for box in record["boxes"]:
                region |= outline(region.shape, box, int(record["stroke"]))
        if (painted != region).any():
            yield f"{int((painted != region).sum())} pixels are {word} outside the mark, or are not inside"
        for number in record["instances"]:
            label = target.by_id.get(int(number))
            if label is None or (fills and label.colour != word):
                yield f"instance {number}, which is marked in {word}, is labelled {label and label.colour}"


def _fits(box: Sequence[int], found: Bounds | None, view: View) -> bool:
    """Whether a box is that of the pixels and of those which an outline at the edge of the canvas hides."""
    if found is None or view.covered is None:
        return False
    whole = view.covered.copy()
    x0, y0, x1, y1 = box
    whole[:y0], whole[y1:], whole[:, :x0], whole[:, x1:] = False, False, False, False
    whole[found[1] : found[3], found[0] : found[2]] = True
    return tuple(box) == bounds(whole) and box[0] <= found[0] and box[3] >= found[3]


def _instances(facts: Facts) -> list[int]:
    numbers = [int(number) for number in facts.detail("instances")]
    unknown = set(numbers) - set(facts.source.areas)
    if unknown or not numbers:
        raise MissingError(
            f"instances {sorted(unknown) or numbers} were asked for, image 1 does not show them"
        )
    return numbers


def _target_ids(facts: Facts) -> np.ndarray:
    if facts.target.ids is None:
        raise MissingError("the target has no id map")
    return facts.target.ids


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
    Check("filled region", filled, frozenset({"segment"}), exact=True),
    Check("drawn boxes", boxed, frozenset({"detect"}), exact=True),
    Check(
        "marks among edits", marked_among_edits, frozenset({"edit"}), lambda facts: bool(facts.marks), True
    ),
)
