"""Edits by instruction: addition, removal, replacement (section 3.2, instruction-based editing)."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

from dreamomni.data.collage.edit_plans import EditPlan, plan_edit
from dreamomni.data.collage.families.family import Context, Draft, Rejected, Slot
from dreamomni.data.collage.families.multi_edit import draw_multi_edit
from dreamomni.data.collage.labels import read_labels
from dreamomni.data.collage.recipe import EDIT_KINDS
from dreamomni.data.collage.render import changed
from dreamomni.data.collage.scene import Placed, Thing, assets_of
from dreamomni.data.collage.staging import Stage, stage_edit
from dreamomni.data.collage.words.captions import describe
from dreamomni.data.collage.words.instructions import write_instruction


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
        )
        return stage or Rejected("no room")

    def draw(self, context: Context, slot: Slot) -> Draft | Rejected:
        """Make one attempt."""
        if slot.kind == "multi_edit":
            return draw_multi_edit(context, slot)
        stage = self.stage(context, slot)
        if isinstance(stage, Rejected):
            return stage
        assert isinstance(stage.plan, EditPlan)
        source, target = context.renderer.pair(stage.source, stage.target)
        caption_words = slot.words("caption")
        say_background = caption_words.chance(context.recipe.say_background)
        description = describe(stage.target, caption_words, say_background=say_background)
        return Draft(
            task="edit",
            target=target.pixels,
            images=(source.pixels,),
            mask=changed(source.pixels, target.pixels),
            instruction=write_instruction(stage.plan, slot.words()),
            caption=description,
            assets=assets_of(stage.source, stage.target),
            ids=target.ids,
            image_ids=(source.ids,),
            objects=read_labels(target, stage.target.placed),
            image_objects=(read_labels(source, stage.source.placed),),
            details={"description": description, **_expect(stage.plan, stage.target.placed)},
        )


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


def _as_dict(thing: Thing | None) -> dict[str, str] | None:
    return None if thing is None else {"name": thing.name, "colour": thing.colour}
