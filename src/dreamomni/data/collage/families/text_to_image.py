"""Pictures from words alone: things, numbers, colours, places, shapes, written words (section 3.2, T2I)."""

from typing import Any, ClassVar

from dreamomni.data.collage.families.family import Context, Draft, Rejected, Slot
from dreamomni.data.collage.labels import read_labels
from dreamomni.data.collage.plans import plan_text_to_image
from dreamomni.data.collage.recipe import TEXT_TO_IMAGE_KINDS
from dreamomni.data.collage.scene import assets_of
from dreamomni.data.collage.scene_plans import TextToImagePlan
from dreamomni.data.collage.staging import Stage, stage_text_to_image
from dreamomni.data.collage.words.captions import background_phrase, describe, write_prompt
from dreamomni.data.collage.words.descriptions import (
    as_details,
    make_statements,
    seen_groups,
    write_description,
)


class TextToImageFamily:
    """Draws one scene and words for it."""

    kinds: ClassVar[tuple[str, ...]] = TEXT_TO_IMAGE_KINDS

    def stage(self, context: Context, slot: Slot) -> Stage | Rejected:
        """Decide what is where, before any pixel exists."""
        plan = plan_text_to_image(
            slot.kind, context.world, context.split, slot.background.colour, slot.draws("things")
        )
        if plan is None:
            return Rejected("no combination")
        stage = stage_text_to_image(
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
        stage = self.stage(context, slot)
        if isinstance(stage, Rejected):
            return stage
        assert isinstance(stage.plan, TextToImagePlan)
        picture = context.renderer.picture(stage.target)
        caption_words = slot.words("caption")
        say_background = caption_words.chance(context.recipe.say_background)
        labels = read_labels(picture, stage.target.placed)
        # What words speak of must be seen.
        if len(labels) < len(stage.target.placed):
            return Rejected("hidden")
        details = _expect(stage.plan)
        if stage.plan.form == "description":
            groups = seen_groups(labels)
            statements = make_statements(groups, slot.size, slot.draws("statements"))
            if statements is None:
                return Rejected("unclear")
            words = slot.words()
            behind = background_phrase(slot.background, words) if say_background else ""
            prompt = write_description(groups, statements, behind, slot.size, words)
            details["statements"] = as_details(groups, statements)
        else:
            prompt = write_prompt(stage.plan, stage.target.background, say_background, slot.words())
        return Draft(
            task="text_to_image",
            target=picture.pixels,
            instruction=prompt,
            caption=prompt,
            assets=assets_of(stage.target),
            ids=picture.ids,
            objects=labels,
            details={
                "description": describe(stage.target, caption_words, say_background=say_background),
                **details,
            },
        )


def _expect(plan: TextToImagePlan) -> dict[str, Any]:
    relation = None
    if plan.predicate is not None:
        names = [group.thing.name for group in plan.groups]
        relation = {"subject": names[0], "predicate": plan.predicate, "object": names[1]}
    include = [
        {
            "name": group.thing.name,
            "colour": group.thing.colour if group.say_colour else None,
            "count": group.count,
        }
        for group in plan.groups
    ]
    expect = {"include": include, "relation": relation}
    facts = [
        {"name": group.thing.name, "size": group.size, "location": group.location}
        for group in plan.groups
        if group.size or group.location
    ]
    more = {"facts": facts} if facts else {}
    return {**more, "expect": expect, "operation": None, "removed": None, "added": None, "location": None}
