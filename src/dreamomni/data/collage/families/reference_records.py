"""What samples with references write down: which picture gave what, what changed, and the standard words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dreamomni.data.collage.labels import Predicate
from dreamomni.data.collage.multi_reference_plans import ReferencePlan
from dreamomni.data.collage.multi_reference_staging import Shown
from dreamomni.data.collage.scene import BackgroundLook, Placed
from dreamomni.data.collage.words.standard import ground_words, name_of, place_words, standard_edit_words, tag
from dreamomni.tasks.sample import ObjectLabel


@dataclass(frozen=True, slots=True)
class Where:
    """Where an added thing goes, as words say it: from an anchor, in a part of the canvas, or anywhere."""

    predicate: Predicate | None = None
    anchor: ObjectLabel | None = None
    noun: str = ""
    location: str | None = None


def use_of(
    plan: ReferencePlan,
    use: int,
    giver: Shown,
    before: Sequence[ObjectLabel],
    comers: Sequence[Placed],
    value: str,
) -> dict[str, Any]:
    """What one reference gives, for checks."""
    first = giver.first
    subject = before[use] if plan.subjects else None
    target = comers[use].instance_id if comers else subject and subject.instance_id
    return {
        "image": plan.used[use] + 2,
        "instance": None if first is None else first.instance_id,
        "name": None if first is None else first.name,
        "colour": None if first is None else first.colour,
        "value": value or given_by(plan.attribute, giver),
        "subject_instance": None if subject is None else subject.instance_id,
        "target_instance": target,
    }


def given_by(attribute: str, shown: Shown) -> Any:
    """What a reference has to give, as plain values."""
    if attribute == "background":
        return ground_details(shown.carrier.background)
    if attribute == "thing":
        first = shown.first
        return None if first is None else {"name": first.name, "colour": first.colour}
    return shown.carrier.value


def said_values(plan: ReferencePlan, uses: Sequence[dict[str, Any]], value: str) -> dict[int, str]:
    """What a caption adds to the thing that got a pattern, style or font, by instance number."""
    words = {"pattern": f"with {value}", "style": f"in the {value} style", "font": f"in the {value} font"}
    number = uses[0]["subject_instance"]
    return {number: words[plan.attribute]} if plan.attribute in words and number is not None else {}


def operations_of(
    plan: ReferencePlan,
    before: Sequence[ObjectLabel],
    after: Sequence[ObjectLabel],
    comers: Sequence[Placed],
    wheres: Sequence[Where],
) -> dict[str, Any]:
    """What changes, in the form of all edits."""
    names = {"colour": "recolour"} | dict.fromkeys(("pattern", "background", "style", "font"), plan.attribute)
    records = []
    new = {label.instance_id: label for label in after}
    for use, where in enumerate(wheres):
        old = before[use] if plan.subjects else None
        come = new[comers[use].instance_id] if comers else None
        if plan.attribute == "colour" and old is not None:
            come = new[old.instance_id]
        moved = plan.attribute in ("thing", "colour")
        records.append(
            {
                "operation": names.get(plan.attribute, "replace" if old is not None else "add"),
                "removed": _as_dict(old) if moved else None,
                "added": _as_dict(come) if moved else None,
                "location": where.location,
                "predicate": where.predicate,
                "removed_instance": old.instance_id if old is not None and moved else None,
                "added_instance": come.instance_id if come is not None and moved else None,
                "anchor_instance": None if where.anchor is None else where.anchor.instance_id,
            }
        )
    return {**records[0], "operations": records} if len(records) > 1 else records[0]


def standard_words(
    kind: str,
    plan: ReferencePlan,
    givers: Sequence[Shown],
    before: Sequence[ObjectLabel],
    wheres: Sequence[Where],
    value: str,
    ground: BackgroundLook | None,
) -> str:
    """The instruction of an edit in the standard form.

    Args:
        kind: One of the kinds of edits with references.
        plan: What is taken.
        givers: The references that are used.
        before: Things of image 1.
        wheres: Where each addition goes.
        value: Colour, pattern, style or font that is taken.
        ground: The background that is taken.
    """
    clauses = []
    for use, (giver, where) in enumerate(zip(givers, wheres, strict=True)):
        image = plan.used[use] + 2
        first = giver.first
        thing = "" if first is None else tag(name_of(first), image)
        anchor = "" if where.anchor is None else name_of(where.anchor)
        clauses.append(
            {
                "t": thing,
                "c": thing,
                "d": name_of(before[use]) if plan.subjects else "",
                "k": str(image),
                "v": value if ground is None else ground_words(ground),
                "w": place_words(where.predicate, anchor, where.location),
            }
        )
    return standard_edit_words(kind, clauses)


def ground_details(look: BackgroundLook) -> dict[str, str]:
    """A background as plain values, as in the details of every sample."""
    details = {"colour": look.colour, "style": look.style}
    return details | {"caption": look.caption} if look.style == "photo" else details


def _as_dict(label: ObjectLabel | None) -> dict[str, str | None] | None:
    return None if label is None else {"name": label.name, "colour": label.colour}
