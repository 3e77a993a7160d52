"""One sample as an auditor sees it: pictures with their masks, and what the details promise."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamomni.data.audit.nouns import Vocabulary
from dreamomni.data.audit.sentences import Sentence, read
from dreamomni.tasks.sample import ObjectLabel, TrainingSample

Mask = npt.NDArray[np.bool_]
Bounds = tuple[int, int, int, int]

ONE_PICTURE = frozenset({"edit", "inpaint", "outpaint", "drag", "control", "segment", "detect"})
"""Tasks whose image 1 has the size of the target."""
HOLES = frozenset({"inpaint", "outpaint"})
MARKS = frozenset({"segment", "detect"})
_FRAMES = frozenset({"box", "frame", "rectangle"})


class MissingError(Exception):
    """The details lack what their task promises; the message says what."""


@dataclass(frozen=True)
class View:
    """One picture of a sample.

    Attributes:
        title: "target" or "image 1", "image 2", ...
        pixels: uint8 (H, W, 3).
        ids: (H, W) instance numbers, or None where the picture shows no instances.
        labels: What the sample says is there.
        covered: Pixels that something without a number may hide: a hole, the outline of a drawn box.
    """

    title: str
    pixels: np.ndarray
    ids: np.ndarray | None
    labels: tuple[ObjectLabel, ...]
    covered: Mask | None = None

    @cached_property
    def areas(self) -> dict[int, int]:
        """Visible pixels of every instance in the id map."""
        if self.ids is None:
            return {}
        counts = np.bincount(self.ids.ravel())
        return {number: int(count) for number, count in enumerate(counts) if number > 0 and count > 0}

    @cached_property
    def by_id(self) -> dict[int, ObjectLabel]:
        """Labels by instance number."""
        return {label.instance_id: label for label in self.labels}

    def mask(self, instance_id: int) -> Mask:
        """Visible pixels of an instance, bool (H, W)."""
        if self.ids is None:
            raise MissingError(f"{self.title} has no id map")
        return np.asarray(self.ids == instance_id)

    def named(self, name: str, colour: str | None = None) -> list[ObjectLabel]:
        """Labels with a name, and a colour where one is given."""
        return [
            label
            for label in self.labels
            if label.name == name and (colour is None or label.colour == colour) and label.kind != "text"
        ]


def outline(shape: tuple[int, ...], box: Sequence[int], stroke: int) -> Mask:
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


def bounds(mask: Mask) -> Bounds | None:
    """Smallest half-open box (x0, y0, x1, y1) around the pixels of a mask, None when it is empty."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if columns.size == 0:
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@dataclass(frozen=True)
class Operation:
    """One edit as the details tell it: (name, colour) of what goes and comes, and where."""

    operation: str
    removed: tuple[str, str | None] | None
    added: tuple[str, str | None] | None
    location: str | None
    record: Mapping[str, Any]


@dataclass(frozen=True)
class Facts:
    """A sample with everything that several checks derive from it.

    Attributes:
        sample: The sample.
        vocabulary: What words may mean.
        held_out: (salt, fraction) of the recipe's rule, where it is known.
        exact: Whether the pixels are as they were drawn; False when they come from lossy files.
    """

    sample: TrainingSample
    vocabulary: Vocabulary
    held_out: tuple[str, float] | None = None
    exact: bool = True

    @cached_property
    def target(self) -> View:
        """The target."""
        return View("target", self.sample.target, self.sample.ids, self.sample.objects, self.outlines)

    @cached_property
    def images(self) -> tuple[View, ...]:
        """The input images."""
        sample = self.sample
        ids: Sequence[np.ndarray | None] = sample.image_ids or (None,) * len(sample.images)
        labels: Sequence[tuple[ObjectLabel, ...]] = sample.image_objects or ((),) * len(sample.images)
        hole = None if sample.mask is None or sample.task not in HOLES else self.mask
        return tuple(
            View(f"image {number}", pixels, id_map, tuple(objects), hole if number == 1 else None)
            for number, (pixels, id_map, objects) in enumerate(
                zip(sample.images, ids, labels, strict=True), start=1
            )
        )

    @property
    def views(self) -> Iterator[View]:
        """All pictures: the target, then the images."""
        yield self.target
        yield from self.images

    @property
    def source(self) -> View:
        """Image 1."""
        if not self.images:
            raise MissingError("there is no image 1")
        return self.images[0]

    @cached_property
    def difference(self) -> Mask:
        """Pixels of image 1 and target that differ in any channel, bool (H, W)."""
        return np.asarray((self.source.pixels != self.sample.target).any(axis=2))

    @cached_property
    def mask(self) -> Mask:
        """White pixels of the sample's mask, bool (H, W)."""
        if self.sample.mask is None:
            raise MissingError("there is no mask")
        return np.asarray(self.sample.mask == 255)

    @cached_property
    def operations(self) -> tuple[Operation, ...]:
        """Every edit of the sample, in order."""
        details = self.sample.details
        records = details.get("operations")
        if records is None:
            records = [details] if details.get("operation") is not None else []
        return tuple(
            Operation(
                str(record["operation"]),
                _thing(record.get("removed")),
                _thing(record.get("added")),
                record.get("location"),
                record,
            )
            for record in records
        )

    @property
    def marks(self) -> tuple[Mapping[str, Any], ...]:
        """Details of every segmentation and detection in the sample."""
        if self.sample.task in MARKS:
            return ({**self.sample.details, "operation": self.sample.task},)
        records = self.sample.details.get("operations") or ()
        return tuple(record for record in records if record.get("operation") in MARKS)

    @cached_property
    def outlines(self) -> Mask | None:
        """Pixels of all boxes that were drawn, None without any."""
        shape = self.sample.target.shape[:2]
        frames = [
            outline(shape, box, int(record["stroke"]))
            for record in self.marks
            if record["operation"] == "detect"
            for box in record["boxes"]
        ]
        return None if not frames else np.asarray(np.any(frames, axis=0))

    @property
    def with_references(self) -> bool:
        """Whether the sample takes something from one of several references, and says what."""
        record = self.sample.details.get("reference")
        return isinstance(record, Mapping) and "uses" in record

    @cached_property
    def rewritten(self) -> frozenset[int]:
        """Instances that are words and got another font."""
        if not self.with_references or self.sample.details["reference"].get("attribute") != "font":
            return frozenset()
        return frozenset(int(use["subject_instance"]) for use in self.sample.details["reference"]["uses"])

    @cached_property
    def filled(self) -> frozenset[int]:
        """Instances whose region was filled."""
        return frozenset(
            int(number)
            for record in self.marks
            if record["operation"] == "segment"
            for number in record["instances"]
        )

    @cached_property
    def recoloured(self) -> frozenset[int]:
        """Instances that an edit gave another colour, their region filled or not."""
        return self.filled | frozenset(
            int(one.record["removed_instance"])
            for one in self.operations
            if one.operation == "recolour" and one.record["removed_instance"] == one.record["added_instance"]
        )

    @cached_property
    def unmarked(self) -> View:
        """The target with the colours that things had before a region was filled, as words name them."""
        if not self.filled:
            return self.target
        before = self.source.by_id
        labels = tuple(
            replace(label, colour=before[label.instance_id].colour)
            if label.instance_id in self.filled and label.instance_id in before
            else label
            for label in self.target.labels
        )
        return replace(self.target, labels=labels)

    @cached_property
    def words(self) -> Vocabulary:
        """What words may mean here: a rectangle around a thing is no thing."""
        if not any(record["operation"] == "detect" for record in self.marks):
            return self.vocabulary
        shown = {label.name for view in self.views for label in view.labels}
        return replace(self.vocabulary, names=self.vocabulary.names - (_FRAMES - shown))

    @cached_property
    def _sentences(self) -> dict[str, Sentence]:
        return {}

    def read(self, text: str) -> Sentence:
        """What a text of the sample says."""
        if text not in self._sentences:
            # What a photograph shows was told by its owner: nothing of it is said of the things.
            caption = (self.sample.details.get("background") or {}).get("caption")
            plain = text.replace(caption, " " * len(caption)) if caption else text
            self._sentences[text] = read(plain, self.words)
        return self._sentences[text]

    def detail(self, name: str) -> Any:
        """Return a value that the task's details must have.

        Raises:
            MissingError: They lack it.
        """
        if self.sample.details.get(name) is None:
            raise MissingError(f"details lack {name!r}")
        return self.sample.details[name]


def _thing(record: Any) -> tuple[str, str | None] | None:
    return None if record is None else (str(record["name"]), record["colour"])
