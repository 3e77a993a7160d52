"""Several edits in one instruction: each speaks of the source, and of different things in it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.families.family import Context, Draft, Rejected, Slot
from dreamomni.data.collage.labels import PREDICATES, Predicate, cosines, read_labels
from dreamomni.data.collage.multi_edit_plans import EditStep, MultiEditPlan, plan_multi_edit
from dreamomni.data.collage.multi_edit_staging import stage_multi_edit
from dreamomni.data.collage.render import changed
from dreamomni.data.collage.scene import Placed, Thing, assets_of
from dreamomni.data.collage.words.captions import describe
from dreamomni.data.collage.words.lexicon import indefinite
from dreamomni.data.collage.words.multi_edits import write_clause, write_instructions
from dreamomni.data.collage.words.references import (
    locate,
    place_phrase,
    relation_phrase,
    short_reference,
)
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.sample import ObjectLabel

_CLEAR = 0.85
_WHERE: Mapping[str, float] = {"relation": 0.5, "location": 0.35, "nowhere": 0.15}


@dataclass(frozen=True, slots=True)
class _Where:
    """Where an addition stands: in a named place, or seen from a thing of the source that stays."""

    location: str | None = None
    predicate: Predicate | None = None
    anchor: ObjectLabel | None = None
    words: str = ""


def draw_multi_edit(context: Context, slot: Slot) -> Draft | Rejected:
    """Make one attempt at several edits."""
    world, recipe = context.world, context.recipe
    plan = plan_multi_edit(world, context.split, slot.background.colour, slot.draws("things"))
    if plan is None:
        return Rejected("no combination")
    stage = stage_multi_edit(
        plan,
        world,
        context.renderer,
        slot.size,
        slot.background,
        slot.draws("looks"),
        slot.draws("layout"),
        slot.blend,
    )
    if stage is None:
        return Rejected("no room")
    source, target = context.renderer.pair(stage.source, stage.target)
    before, after = read_labels(source, stage.source.placed), read_labels(target, stage.target.placed)
    if len(before) < len(stage.source.placed) or len(after) < len(stage.target.placed):
        return Rejected("hidden")
    words = slot.words()
    clauses, operations = [], []
    for step, one, two in _label_steps(plan, before, after):
        there = one and short_reference(
            one, before, slot.size, words, say_colour=step.say_colour, say_where=recipe.edit.say_where
        )
        if one is not None and there is None:
            return Rejected("ambiguous")
        where = _Where()
        if step.operation == "add" and two is not None:
            where = _find_where(two, before, after, slot.size, slot.draws("where"), words)
        name = step.before.name if step.before is not None else ""
        clauses.append(
            write_clause(step.operation, there or "", _new_words(step), where.words, words, name=name)
        )
        operations.append(_as_details(step, one, two, where))
    caption_words = slot.words("caption")
    say_background = caption_words.chance(recipe.say_background)
    description = describe(stage.target, caption_words, say_background=say_background)
    return Draft(
        task="edit",
        target=target.pixels,
        images=(source.pixels,),
        mask=changed(source.pixels, target.pixels, target.edited),
        instruction=write_instructions(clauses, words),
        caption=description,
        assets=assets_of(stage.source, stage.target),
        ids=target.ids,
        image_ids=(source.ids,),
        objects=after,
        image_objects=(before,),
        details={
            "description": description,
            "expect": {"include": _include(plan, stage.target.placed), "relation": None},
            "operation": "multi_edit",
            "operations": operations,
            "removed": None,
            "added": None,
            "location": None,
        },
    )


def _label_steps(
    plan: MultiEditPlan, before: Sequence[ObjectLabel], after: Sequence[ObjectLabel]
) -> list[tuple[EditStep, ObjectLabel | None, ObjectLabel | None]]:
    """Each step with the label of what it changes and of what it makes, by the numbers of staging."""
    sources = {label.instance_id: label for label in before}
    targets = {label.instance_id: label for label in after}
    next_source = iter(range(1, len(sources) + 1))
    next_new = iter(range(len(sources) + 1, len(sources) + len(plan.steps) + 1))
    found = []
    for step in plan.steps:
        one = None if step.before is None else sources[next(next_source)]
        if step.operation == "recolour" and one is not None:
            two: ObjectLabel | None = targets[one.instance_id]
        else:
            two = None if step.after is None else targets[next(next_new)]
        found.append((step, one, two))
    return found


def _find_where(
    added: ObjectLabel,
    before: Sequence[ObjectLabel],
    after: Sequence[ObjectLabel],
    size: Size,
    draws: Draws,
    words: Draws,
) -> _Where:
    """One true place of an addition, read off the labels; none when nothing is clear."""
    location = locate(added, size)
    # Only what no edit changes can be looked from.
    staying = [label for label in before if label in after]
    relations = [
        (predicate, label)
        for label in staying
        for predicate in PREDICATES
        if cosines(added.box, label.box)[predicate] > _CLEAR
    ]
    style = draws.weighted(_WHERE)
    if style == "relation" and relations:
        predicate, anchor = draws.pick(relations)
        noun = short_reference(anchor, before, size, words)
        if noun is not None:
            return _Where(None, predicate, anchor, f" {relation_phrase(predicate, noun, words)}")
    if style != "nowhere" and location is not None:
        return _Where(location, words=f" {place_phrase(location, words)}")
    return _Where()


def _new_words(step: EditStep) -> str:
    if step.after is None:
        return ""
    if step.operation == "recolour":
        return step.after.colour or ""
    return indefinite(step.after.name, step.after.colour if step.say_new_colour else None)


def _as_details(
    step: EditStep, one: ObjectLabel | None, two: ObjectLabel | None, where: _Where
) -> dict[str, Any]:
    return {
        "operation": step.operation,
        "removed": _as_dict(step.before),
        "added": _as_dict(step.after),
        "removed_instance": one and one.instance_id,
        "added_instance": two and two.instance_id,
        "location": where.location,
        "predicate": where.predicate,
        "anchor_instance": where.anchor and where.anchor.instance_id,
    }


def _as_dict(thing: Thing | None) -> dict[str, str | None] | None:
    return None if thing is None else {"name": thing.name, "colour": thing.colour}


def _include(plan: MultiEditPlan, placed: Sequence[Placed]) -> list[dict[str, Any]]:
    free = {step.after for step in plan.steps if not step.say_new_colour}
    return [
        {"name": thing.name, "colour": None if thing in free else thing.colour, "count": count}
        for thing, count in Counter(item.thing for item in placed).items()
    ]
