"""Drags: one or two things moved, scaled or turned by points (section 3.2, drag editing)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from dreamomni.data.collage.families.family import Context, Draft, Rejected, Slot
from dreamomni.data.collage.families.text_to_image import TextToImageFamily
from dreamomni.data.collage.held_out import pair_combination
from dreamomni.data.collage.labels import read_labels
from dreamomni.data.collage.motions import (
    LEAST_CHANGE,
    Motion,
    Operation,
    draw_motion,
    draw_points,
    seen_change,
)
from dreamomni.data.collage.recipe import DRAG_KINDS
from dreamomni.data.collage.render import changed
from dreamomni.data.collage.scene import Placed, assets_of
from dreamomni.data.collage.staging import spacing_of
from dreamomni.data.collage.words.captions import describe
from dreamomni.data.collage.words.drag import write_drag
from dreamomni.data.collage.words.references import short_reference

_OPERATIONS: dict[str, Operation] = {"drag_move": "move", "drag_scale": "scale", "drag_rotate": "rotate"}
_HELD_OUT_BASES = frozenset({"two", "position", "color_attribution", "scene"})
"""Kinds of scenes that show a held-out pair of names in the held-out split."""


class DragFamily:
    """Draws a scene, does something to its things, and draws them again from their assets."""

    kinds: ClassVar[tuple[str, ...]] = DRAG_KINDS

    def __init__(self) -> None:
        self._scenes = TextToImageFamily()

    def draw(self, context: Context, slot: Slot) -> Draft | Rejected:
        """Make one attempt."""
        placed = self._source(context, slot)
        if isinstance(placed, Rejected):
            return placed
        motions = draw_motions(_OPERATIONS[slot.kind], placed, context, slot)
        if isinstance(motions, Rejected):
            return motions
        after = {motion.before.instance_id: motion.after for motion in motions}
        source_scene = slot.scene(placed)
        target_scene = slot.scene(after.get(item.instance_id, item) for item in placed)
        source, target = context.renderer.pair(source_scene, target_scene)
        objects, before = read_labels(target, target_scene.placed), read_labels(source, source_scene.placed)
        whole = [
            {label.instance_id for label in labels if label.visibility >= 1.0} for labels in (before, objects)
        ]
        if not set(after) <= whole[0] & whole[1]:
            return Rejected("hidden")
        mask = changed(source.pixels, target.pixels, target.edited)
        moved = {label.instance_id: label for label in before if label.instance_id in after}
        if any(seen_change(mask, source, label) < LEAST_CHANGE for label in moved.values()):
            return Rejected("no visible change")
        words, options = slot.words(), context.recipe.drag
        nouns = [
            short_reference(
                moved[motion.before.instance_id],
                before,
                slot.size,
                words,
                say_colour=words.chance(options.say_colour),
                moves=motion.operation == "move",
            )
            for motion in motions
        ]
        if not all(nouns):
            return Rejected("ambiguous")
        draws = slot.draws("points")
        points = [draw_points(motion, source, target, options, draws) for motion in motions]
        if not all(points):
            return Rejected("no point")
        caption_words = slot.words("caption")
        say_background = caption_words.chance(context.recipe.say_background)
        description = describe(target_scene, caption_words, say_background=say_background)
        return Draft(
            task="drag",
            target=target.pixels,
            images=(source.pixels,),
            mask=mask,
            instruction=write_drag(motions, [noun or "" for noun in nouns], points, options, words),
            caption=description,
            assets=assets_of(source_scene, target_scene),
            ids=target.ids,
            image_ids=(source.ids,),
            objects=objects,
            image_objects=(before,),
            drags=tuple(label for own in points for label in own),
            details={
                "description": description,
                "operation": motions[0].operation,
                "transforms": [motion.as_dict() for motion in motions],
            },
        )

    def _source(self, context: Context, slot: Slot) -> tuple[Placed, ...] | Rejected:
        weights = {
            base: weight
            for base, weight in context.recipe.drag.bases.items()
            if context.split == "train" or base in _HELD_OUT_BASES
        }
        base = slot.draws("base").weighted(weights)
        stage = self._scenes.stage(context, replace(slot, kind=base))
        return stage if isinstance(stage, Rejected) else stage.target.placed


def draw_motions(
    operation: Operation, placed: Sequence[Placed], context: Context, slot: Slot
) -> list[Motion] | Rejected:
    """Draw which things change and how; later ones keep their distance from where earlier ones went."""
    options, draws = context.recipe.drag, slot.draws("motion")
    movable = draws.shuffled(_movable(placed, context))
    if not movable:
        return Rejected("nothing to move")
    two = draws.chance(options.two_things) and len(movable) > 1
    spacing = spacing_of(context.world, slot.size)
    now = {item.instance_id: item for item in placed}
    motions: list[Motion] = []
    for item in movable[: 1 + two]:
        others = [other for number, other in now.items() if number != item.instance_id]
        motion = draw_motion(operation, item, others, slot.size, spacing, context.renderer, options, draws)
        if motion is None:
            return Rejected("no room")
        now[item.instance_id] = motion.after
        motions.append(motion)
    return motions


def _movable(placed: Sequence[Placed], context: Context) -> list[Placed]:
    """Things that can be drawn again under a map; in the held-out split, those of the held-out pair."""
    drawn = [item for item in placed if item.thing.kind != "text"]
    if context.split == "train":
        return drawn
    names = {item.thing.name for item in placed}
    return [
        item
        for item in drawn
        if any(
            other != item.thing.name and context.world.is_out(pair_combination(item.thing.name, other))
            for other in names
        )
    ]
