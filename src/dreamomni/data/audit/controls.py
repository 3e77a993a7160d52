"""Checks of control maps: edges, depth and regions made a second time."""

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from dreamomni.data.audit.check import Check
from dreamomni.data.audit.facts import Facts, MissingError
from dreamomni.data.audit.labels import neighbours

_TASKS = frozenset({"control"})


def canny(facts: Facts) -> Iterator[str]:
    """The edge map is that of OpenCV on the target's three channels, with the recorded thresholds."""
    low, high = facts.detail("low"), facts.detail("high")
    if not 0 < low <= high:
        yield f"the thresholds are {low} and {high}"
    edges = cv2.Canny(facts.target.pixels, low, high)
    yield from _compare(facts, np.repeat(np.asarray(edges)[..., None], 3, axis=2))
    if not np.asarray(edges).any():
        yield "the map has no edge"


def depth(facts: Facts) -> Iterator[str]:
    """Every instance has its grey level, the background 0, and what covers another is brighter."""
    levels = {int(number): int(level) for number, level in facts.detail("levels").items()}
    yield from _painted(facts, {number: (level,) * 3 for number, level in levels.items()})
    if any(not 0 < level < 256 for level in levels.values()):
        yield f"the levels {levels} are not from 1 to 255"
    if len(set(levels.values())) < len(levels):
        yield f"two layers have one level: {levels}"
    labels = facts.target.by_id
    for number, label in labels.items():
        beside = neighbours(facts.target, number)
        if label.visibility < 1 or len(beside) != 1 or number not in levels:
            continue
        other = labels.get(next(iter(beside)))
        if other is None or other.visibility == 1 or neighbours(facts.target, other.instance_id) != {number}:
            continue
        # A whole thing beside one that only it can hide lies in front of it.
        if not _at_edge(facts, other.instance_id) and levels[number] <= levels[other.instance_id]:
            yield f"{label.name} covers {other.name}, but has the lower level"


def segmentation(facts: Facts) -> Iterator[str]:
    """Every instance has the colour of the palette, and different entries differ."""
    palette = {key: tuple(colour) for key, colour in facts.detail("palette").items()}
    by_name = facts.detail("palette_of") == "name"
    colours = {}
    for number, label in facts.target.by_id.items():
        key = label.name if by_name else str(number)
        if key not in palette:
            yield f"the palette lacks {key!r}"
            return
        colours[number] = palette[key]
    yield from _painted(facts, colours)
    table = np.array([(0, 0, 0), *palette.values()], int)
    gaps = np.abs(table[:, None] - table[None]).max(axis=2) + 999 * np.eye(len(table), dtype=int)
    if gaps.min() < 24:
        yield f"two colours of the palette are nearly equal: {palette}"


def _painted(facts: Facts, colours: dict[int, tuple[int, ...]]) -> Iterator[str]:
    """Compare image 1 with the target's id map, painted."""
    ids = facts.target.ids
    if ids is None:
        raise MissingError("the target has no id map")
    missing = set(facts.target.areas) - set(colours)
    if missing:
        yield f"instances {sorted(missing)} have no colour in the map"
        return
    wanted = np.zeros((*ids.shape, 3), int)
    for number, colour in colours.items():
        wanted[ids == number] = colour
    yield from _compare(facts, wanted)
    own = facts.source.ids
    if own is None or not np.array_equal(own, ids):
        yield "the id map of image 1 is not that of the target"


def _compare(facts: Facts, wanted: np.ndarray) -> Iterator[str]:
    if facts.source.pixels.shape != wanted.shape:
        yield f"the map is {facts.source.pixels.shape}, not {wanted.shape}"
        return
    wrong = (facts.source.pixels != wanted).any(axis=2)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        yield f"{int(wrong.sum())} pixels of the map are wrong, first at x {column}, y {row}"


def _at_edge(facts: Facts, number: int) -> bool:
    mask = facts.target.mask(number)
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


def _of(control: str) -> Callable[[Facts], bool]:
    # A map that a model made cannot be made again here.
    return lambda facts: facts.detail("control") == control and "model" not in facts.sample.details


CHECKS = (
    Check("edge map", canny, _TASKS, _of("canny"), exact=True),
    Check("depth map", depth, _TASKS, _of("depth")),
    Check("region map", segmentation, _TASKS, _of("segmentation")),
)
