"""What a picture must show to be right: plain, serialisable facts, read off a sample's exact labels."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from dreamomni.config import StrictConfig
from dreamomni.evaluation.checker import Detection
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
TASK_METRICS: dict[str, str] = {
    "text": "text",
    "multi_edit": "edit_multi",
    "drag_move": "drag_move",
    "drag_scale": "drag_scale",
    "drag_rotate": "drag_rotate",
    "inpaint": "inpaint_psnr",
    "outpaint": "outpaint_psnr",
    "canny": "canny_f1",
    "depth": "depth_order",
    "segmentation": "segmentation_iou",
    "subject": "subject",
    "segment": "segment_iou",
    "detect": "detect_iou",
}
"""Kinds of all other samples, and the names of their first scores."""

REFERENCE_METRICS: dict[str, str] = {
    kind: kind
    for kind in (
        "reference_add",
        "reference_replace",
        "reference_colour",
        "reference_pattern",
        "reference_style",
        "reference_background",
        "reference_font",
        "subject_scene",
        "subject_colour",
    )
}
"""Kinds with several references, and the names of their scores: the shares of right answers."""


class Measure(NamedTuple):
    """How a kind is scored that is measured on pixels rather than judged by what was seen.

    Attributes:
        value: name of the number in an answer's values; larger is better.
        good: from this number on an answer is shown as right; the score itself is the mean of the numbers.
        least_truth: a case whose own truth has less cannot be measured, so it is unscored.
        words: what the number is, for people.
    """

    value: str
    good: float
    least_truth: float
    words: str


_DRAG = Measure("iou", 0.5, 0.85, "overlap of the moved thing")
_FILL = Measure("psnr_hole", 20.0, 0.0, "dB in the hole")
_TAKEN = Measure("right", 1.0, 1.0, "taken from the right reference")
MEASURES: dict[str, Measure] = {
    "text": Measure("right", 1.0, 1.0, "string right"),
    "drag_move": _DRAG,
    "drag_scale": _DRAG,
    "drag_rotate": _DRAG,
    "inpaint": _FILL,
    "outpaint": _FILL,
    "canny": Measure("f1", 0.7, 0.99, "F1 of the edges"),
    "depth": Measure("order", 1.0, 1.0, "of the pairs in the order of the map"),
    "segmentation": Measure("iou", 0.7, 0.85, "overlap of the regions"),
    "segment": Measure("iou", 0.7, 0.9, "overlap of the painted region"),
    "detect": Measure("iou", 0.5, 0.85, "overlap of the boxes"),
    "reference_pattern": _TAKEN,
    "reference_style": _TAKEN,
    "reference_background": _TAKEN,
    "reference_font": _TAKEN,
}
"""The kinds that are measured, and how."""


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


class EditStep(StrictConfig):
    """One of several edits.

    Attributes:
        operation: "add", "remove", "replace" or "recolour".
        removed: the thing of the source that is changed, for all but an addition.
        added: what comes; for a new colour, the thing in it.
        location: name of the part of the canvas where an added thing must be, when the words state one.
        predicate: where an added thing must be, seen from ``anchor``, when the words state it.
        anchor: a thing that stays.
    """

    operation: Literal["add", "remove", "replace", "recolour"]
    removed: Known | None = None
    added: Asked | None = None
    location: str | None = None
    predicate: Predicate | None = None
    anchor: Known | None = None


class Given(StrictConfig):
    """What one reference has to give.

    Attributes:
        image: number of the image.
        thing: the thing that it shows, or the thing to be made in its colour; None for what has no body.
        value: pattern, style, font or name of a background; empty for things and colours.
    """

    image: int
    thing: Asked | None = None
    value: str = ""


class Expectation(StrictConfig):
    """What one case must show.

    Attributes:
        kind: "single", ..., "add", ..., "detect".
        width: of the picture in pixels.
        height: of the picture in pixels.
        asked: for a prompt, all things that it names; for an edit, the things to add; for subjects, the
            things chosen from the sources.
        relation: of the first asked thing to another, when the words state one.
        location: name of the part of the canvas where the added thing must be, when the words state one.
        kept: for an edit, the things of the source that must stay.
        removed: for an edit, the thing that must go.
        steps: for several edits, each of them.
        rejected: for subjects, the things of the sources that were not chosen, as far as they differ from
            those that were.
        given: what each reference has to give, for kinds with several.
        used: numbers of the images that something is taken from.
        ground: whether the background comes from one of them, too.
        pair: id of the case with the same words and two references exchanged; of the second of the two.
    """

    kind: str
    width: int
    height: int
    asked: tuple[Asked, ...]
    relation: AskedRelation | None = None
    location: str | None = None
    kept: tuple[Known, ...] = ()
    removed: Known | None = None
    steps: tuple[EditStep, ...] = ()
    rejected: tuple[Asked, ...] = ()
    given: tuple[Given, ...] = ()
    used: tuple[int, ...] = ()
    ground: bool = False
    pair: str | None = None

    @property
    def is_edit(self) -> bool:
        """Whether the case is one addition, removal or replacement in a source picture."""
        return self.kind in EDIT_METRICS

    @property
    def measure(self) -> Measure | None:
        """How the case is measured; None when it is judged by what was seen."""
        return MEASURES.get(self.kind)

    @property
    def metric(self) -> str:
        """Name of the score that the case counts for."""
        return (T2I_METRICS | EDIT_METRICS | TASK_METRICS | REFERENCE_METRICS)[self.kind]


def expectation_of(sample: TrainingSample) -> Expectation:
    """Read off a sample what a right answer to its words must show."""
    height, width = sample.target.shape[:2]
    facts: dict[str, Any] = {"asked": ()}
    if sample.kind in T2I_METRICS or sample.kind == "text":
        facts = _prompt_facts(sample)
    elif sample.kind in EDIT_METRICS:
        facts = _edit_facts(sample)
    elif sample.kind == "multi_edit":
        facts = _multi_edit_facts(sample)
    elif sample.kind == "subject":
        facts = _subject_facts(sample)
    elif sample.kind in REFERENCE_METRICS:
        facts = _reference_facts(sample)
    elif sample.task == "control":
        facts = {"asked": _include(sample)}
    return Expectation(kind=sample.kind, width=width, height=height, **facts)


def _prompt_facts(sample: TrainingSample) -> dict[str, Any]:
    return {"asked": _include(sample), "relation": _relation(sample)}


def _edit_facts(sample: TrainingSample) -> dict[str, Any]:
    before, after = _by_number(sample.source_objects), _by_number(sample.objects)
    gone = [before[number] for number in before.keys() - after.keys()]
    come = [after[number] for number in after.keys() - before.keys()]
    return {
        "asked": tuple(Asked(name=label.name, colour=_asked_colour(sample, label)) for label in come),
        "relation": _relation(sample),
        "location": sample.details["location"],
        "kept": _known([after[number] for number in sorted(before.keys() & after.keys())]),
        "removed": _known(gone)[0] if gone else None,
    }


def _multi_edit_facts(sample: TrainingSample) -> dict[str, Any]:
    before, after = _by_number(sample.source_objects), _by_number(sample.objects)
    steps = []
    for told in sample.details.get("operations") or [sample.details]:
        removed, added = before.get(told["removed_instance"]), after.get(told["added_instance"])
        anchor = before.get(told["anchor_instance"])
        steps.append(
            EditStep(
                operation=told["operation"],
                removed=None if removed is None else _known([removed])[0],
                added=None if added is None else Asked(name=added.name, colour=_asked_colour(sample, added)),
                location=told["location"],
                predicate=told["predicate"],
                anchor=None if anchor is None else _known([anchor])[0],
            )
        )
    kept = [
        after[number]
        for number in sorted(before.keys() & after.keys())
        if (before[number].name, before[number].colour) == (after[number].name, after[number].colour)
    ]
    asked = tuple(step.added for step in steps if step.added is not None)
    return {"asked": asked, "kept": _known(kept), "steps": tuple(steps)}


def _subject_facts(sample: TrainingSample) -> dict[str, Any]:
    chosen = {(label.name, label.colour) for label in sample.objects}
    others = {(label.name, label.colour) for labels in sample.image_objects for label in labels} - chosen
    rejected = (Asked(name=name, colour=colour) for name, colour in sorted(others, key=str))
    return {"asked": _include(sample), "rejected": tuple(rejected)}


def _reference_facts(sample: TrainingSample) -> dict[str, Any]:
    record = sample.details["reference"]
    facts: dict[str, Any] = {"used": tuple(use["image"] for use in record["uses"])}
    if sample.task == "subject":
        facts |= {**_prompt_facts(sample), "ground": record["ground"] is not None}
        facts["rejected"] = _subject_facts(sample)["rejected"]
    elif sample.kind in MEASURES:
        facts["asked"] = ()
    else:
        facts |= _multi_edit_facts(sample)
    # A colour is given to one thing, whatever reference has it.
    subject = sample.objects[0].name if record["attribute"] == "colour" and sample.task == "subject" else None
    if record["attribute"] == "colour" and subject is None:
        number = record["uses"][0]["subject_instance"]
        subject = next(label.name for label in sample.objects if label.instance_id == number)
    given = []
    for number, gift in record["gives"].items():
        thing, value = None, ""
        if isinstance(gift, str) and record["attribute"] == "colour":
            thing = Asked(name=str(subject), colour=gift)
        elif isinstance(gift, str):
            value = gift
        elif record["attribute"] == "background":
            value = str(gift["colour"])
        elif gift is not None:
            shown = gift if "name" in gift else gift["thing"]
            if shown is not None:
                name = subject if record["attribute"] == "colour" else shown["name"]
                thing = Asked(name=str(name), colour=shown["colour"])
        given.append(Given(image=int(number), thing=thing, value=value))
    return facts | {"given": tuple(given)}


def _include(sample: TrainingSample) -> tuple[Asked, ...]:
    return tuple(Asked(**item) for item in sample.details["expect"]["include"])


def _relation(sample: TrainingSample) -> AskedRelation | None:
    stated = sample.details["expect"]["relation"]
    return None if stated is None else AskedRelation(**stated)


def _by_number(labels: Sequence[ObjectLabel]) -> dict[int, ObjectLabel]:
    return {label.instance_id: label for label in labels}


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
