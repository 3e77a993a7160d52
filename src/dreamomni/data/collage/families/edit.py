"""Edits by instruction: addition, removal, replacement (section 3.2, instruction-based editing)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from dreamomni.data.collage.edit_plans import EditPlan, plan_edit
from dreamomni.data.collage.families.family import Context, Draft, Rejected, Slot
from dreamomni.data.collage.families.multi_edit import draw_multi_edit
from dreamomni.data.collage.labels import cosines, read_labels
from dreamomni.data.collage.layout import lies_in
from dreamomni.data.collage.recipe import EDIT_KINDS
from dreamomni.data.collage.render import changed
from dreamomni.data.collage.scene import Placed, Thing, assets_of
from dreamomni.data.collage.staging import Stage, stage_edit
from dreamomni.data.collage.words.captions import describe
from dreamomni.data.collage.words.instructions import write_instruction
from dreamomni.data.collage.words.references import short_reference
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.sample import ObjectLabel

_CLEAR = 0.7
"""Cosine from which an addition lies where the words put it, whatever covers parts of it."""


class EditFamily:
    """Draws a scene before and after, and the words that lead from one to the other."""

    kinds: ClassVar[tuple[str, ...]] = EDIT_KINDS

    def stage(self, context: Context, slot: Slot) -> Stage | Rejected:
        """Decide what is where, before any pixel exists."""
        plan = plan_edit(
            slot.kind, context.world, context.split, slot.background.colour, slot.draws("things")
        )
        if plan is None:
            return Rejected("no combination")
        stage = stage_edit(
            plan,
            context.world,
            context.renderer,
            slot.size,
            slot.background,
            slot.draws("looks"),
            slot.draws("layout"),
            slot.blend,
        )
        return stage or Rejected("no room")

    def draw(self, context: Context, slot: Slot) -> Draft | Rejected:
        """Make one attempt."""
        if slot.kind == "multi_edit":
            return draw_multi_edit(context, slot)
        stage = self.stage(context, slot)
        if isinstance(stage, Rejected):
            return stage
        plan = stage.plan
        assert isinstance(plan, EditPlan)
        source, target = context.renderer.pair(stage.source, stage.target)
        before, after = read_labels(source, stage.source.placed), read_labels(target, stage.target.placed)
        if len(before) < len(stage.source.placed) or len(after) < len(stage.target.placed):
            return Rejected("hidden")
        marked = _Marked.of(plan, before, after)
        if not _is_where_it_should(plan, marked, slot.size):
            return Rejected("unclear")
        ways = slot.words("reference")
        where = context.recipe.edit.say_where
        removed = anchor = None
        if marked.removed is not None:
            removed = short_reference(
                marked.removed, before, slot.size, ways, say_colour=plan.say_removed_colour, say_where=where
            )
        if marked.anchor is not None:
            anchor = short_reference(
                marked.anchor, before, slot.size, ways, say_colour=plan.say_anchor_colour
            )
        if (marked.removed and removed is None) or (marked.anchor and anchor is None):
            return Rejected("ambiguous")
        caption_words = slot.words("caption")
        say_background = caption_words.chance(context.recipe.say_background)
        description = describe(stage.target, caption_words, say_background=say_background)
        return Draft(
            task="edit",
            target=target.pixels,
            images=(source.pixels,),
            mask=changed(source.pixels, target.pixels, target.edited),
            instruction=write_instruction(plan, removed, anchor, slot.words()),
            caption=description,
            assets=assets_of(stage.source, stage.target),
            ids=target.ids,
            image_ids=(source.ids,),
            objects=after,
            image_objects=(before,),
            details={
                "description": description,
                **_expect(plan, stage.target.placed),
                "removed_instance": marked.removed and marked.removed.instance_id,
                "added_instance": marked.added and marked.added.instance_id,
                "anchor_instance": marked.anchor and marked.anchor.instance_id,
            },
        )


@dataclass(frozen=True, slots=True)
class _Marked:
    """Labels of the things that the words speak of, by the numbers of staging."""

    removed: ObjectLabel | None
    added: ObjectLabel | None
    anchor: ObjectLabel | None

    @classmethod
    def of(cls, plan: EditPlan, before: Sequence[ObjectLabel], after: Sequence[ObjectLabel]) -> "_Marked":
        sources = {label.instance_id: label for label in before}
        targets = {label.instance_id: label for label in after}
        total = len(plan.others) + 1
        return cls(
            None if plan.removed is None else sources[total],
            None if plan.added is None else targets[total + (plan.removed is not None)],
            None if plan.predicate is None else sources[1],
        )


def _is_where_it_should(plan: EditPlan, marked: _Marked, size: Size) -> bool:
    """Whether the place that the words will say is true of what can be seen."""
    if marked.added is None:
        return True
    box = marked.added.box
    if plan.predicate is not None and marked.anchor is not None:
        return cosines(box, marked.anchor.box)[plan.predicate] > _CLEAR
    # Placing rounds to whole pixels, so the centre may lie one beside the cell.
    return plan.location is None or lies_in(box, plan.location, size, 1 / min(size))


def _expect(plan: EditPlan, placed: Sequence[Placed]) -> dict[str, Any]:
    counts = Counter(item.thing for item in placed)
    free_colour = None if plan.say_added_colour else plan.added
    include = [
        {"name": thing.name, "colour": None if thing == free_colour else thing.colour, "count": count}
        for thing, count in counts.items()
    ]
    relation = None
    if plan.predicate is not None and plan.added is not None:
        relation = {"subject": plan.added.name, "predicate": plan.predicate, "object": plan.others[0].name}
    return {
        "expect": {"include": include, "relation": relation},
        "operation": plan.operation,
        "removed": _as_dict(plan.removed),
        "added": _as_dict(plan.added),
        "location": plan.location,
    }


def _as_dict(thing: Thing | None) -> dict[str, str | None] | None:
    return None if thing is None else {"name": thing.name, "colour": thing.colour}
