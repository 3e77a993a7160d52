"""What a picture must show to be right: plain, serialisable facts, read off a sample's exact labels."""

from collections.abc import Sequence
from typing import Literal

from dreamomni.config import StrictConfig
from dreamomni.evaluation.checker import Detection
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.sample import ObjectLabel, TrainingSample

BoxTuple = tuple[int, int, int, int]
Predicate = Literal["left of", "right of", "above", "below"]

T2I_METRICS: dict[str, str] = {
    "single": "single_object",
    "two": "two_objects",
    "counting": "counting",
    "colors": "colors",
    "position": "position",
    "color_attribution": "color_attribution",
}
"""Kinds of text-to-image samples, and GenEval's names for their scores."""
EDIT_METRICS: dict[str, str] = {"add": "edit_add", "remove": "edit_remove", "replace": "edit_replace"}
"""Kinds of edit samples, and the names of their scores."""


class Asked(StrictConfig):
    """Things that the words ask for; ``colour`` is None when the words name none."""

    name: str
    colour: str | None
    count: int = 1


class AskedRelation(StrictConfig):
    """Where the ``subject`` must lie, seen from the ``object``; both are names of asked things."""

    subject: str
    predicate: Predicate
    object: str


class Known(StrictConfig):
    """A thing in the source or in the truth, with its place."""

    name: str
    colour: str | None
    box: BoxTuple


class Seen(StrictConfig):
    """A detection without its mask: all that a verdict needs."""

    name: str | None
    colour: str | None
    box: BoxTuple
    score: float

    @classmethod
    def of(cls, detection: Detection) -> "Seen":
        """Keep what a record keeps of a detection."""
        box = detection.box
        return cls(
            name=detection.name,
            colour=detection.colour,
            box=(box.x0, box.y0, box.x1, box.y1),
            score=detection.score,
        )

    def __str__(self) -> str:
        return f"{self.colour or 'unclear'} {self.name or 'unreadable thing'}"


class Expectation(StrictConfig):
    """What one case must show.

    Attributes:
        kind: "single", ..., "add", "remove" or "replace".
        width: of the picture in pixels.
        height: of the picture in pixels.
        asked: for a prompt, all things that it names; for an edit, the thing to add (if any).
        relation: of the first asked thing to another, when the words state one.
        location: name of the part of the canvas where the added thing must be, when the words state one.
        kept: for an edit, the things of the source that must stay.
        removed: for an edit, the thing that must go.
    """

    kind: str
    width: int
    height: int
    asked: tuple[Asked, ...]
    relation: AskedRelation | None = None
    location: str | None = None
    kept: tuple[Known, ...] = ()
    removed: Known | None = None

    @property
    def is_edit(self) -> bool:
        """Whether the case changes a source picture."""
        return self.kind in EDIT_METRICS

    @property
    def metric(self) -> str:
        """Name of the score that the case counts for."""
        return (EDIT_METRICS if self.is_edit else T2I_METRICS)[self.kind]


def expectation_of(sample: TrainingSample) -> Expectation:
    """Read off a sample what a right answer to its words must show."""
    details = sample.details
    height, width = sample.target.shape[:2]
    stated = details["expect"]["relation"]
    relation = None if stated is None else AskedRelation(**stated)
    size = Size(width, height)
    if sample.task != "edit":
        asked = tuple(Asked(**item) for item in details["expect"]["include"])
        return Expectation(
            kind=sample.kind, width=size.width, height=size.height, asked=asked, relation=relation
        )
    before = {label.instance_id: label for label in sample.source_objects}
    after = {label.instance_id: label for label in sample.objects}
    gone = [before[number] for number in before.keys() - after.keys()]
    come = [after[number] for number in after.keys() - before.keys()]
    return Expectation(
        kind=sample.kind,
        width=size.width,
        height=size.height,
        asked=tuple(Asked(name=label.name, colour=_asked_colour(sample, label)) for label in come),
        relation=relation,
        location=details["location"],
        kept=_known([after[number] for number in sorted(before.keys() & after.keys())]),
        removed=_known(gone)[0] if gone else None,
    )


def _asked_colour(sample: TrainingSample, added: ObjectLabel) -> str | None:
    """Colour that the words give the added thing: the sample's expectation leaves it out when they do not."""
    stated = [item["colour"] for item in sample.details["expect"]["include"] if item["name"] == added.name]
    return added.colour if added.colour in stated else None


def _known(labels: Sequence[ObjectLabel]) -> tuple[Known, ...]:
    return tuple(
        Known(
            name=label.name,
            colour=label.colour,
            box=(label.box.x0, label.box.y0, label.box.x1, label.box.y1),
        )
        for label in labels
    )
