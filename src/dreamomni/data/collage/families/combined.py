"""Operations of several families in one instruction ("more complex task combinations", section 3.2)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from dreamomni.data.collage.arrange import arrange_free
from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.families.family import Context, Draft, Rejected, Slot
from dreamomni.data.collage.families.perception import free_colours, mark
from dreamomni.data.collage.held_out import colour_combination
from dreamomni.data.collage.labels import read_labels
from dreamomni.data.collage.layout import place_free
from dreamomni.data.collage.motions import (
    LEAST_CHANGE,
    OPERATIONS,
    Motion,
    box_of,
    draw_motion,
    draw_points,
    seen_change,
)
from dreamomni.data.collage.options.combined import FAMILY_OF, CombinedOptions
from dreamomni.data.collage.plans import draw_names
from dreamomni.data.collage.recipe import COMBINED_KINDS
from dreamomni.data.collage.render import Picture, changed
from dreamomni.data.collage.scene import Placed, Thing, assets_of
from dreamomni.data.collage.staging import draw_look, side_of, spacing_of
from dreamomni.data.collage.words.captions import describe
from dreamomni.data.collage.words.combined import write_mark_clause, write_motion_clause
from dreamomni.data.collage.words.lexicon import indefinite
from dreamomni.data.collage.words.multi_edits import write_clause, write_instructions
from dreamomni.data.collage.words.perception import describe_marked
from dreamomni.data.collage.words.references import Reference, locate, place_phrase, short_reference
from dreamomni.tasks.sample import DragLabel, ObjectLabel


@dataclass(frozen=True, slots=True)
class Step:
    """One operation and what it is about.

    Attributes:
        operation: "add", "remove", "replace", "move", "scale", "rotate", "segment" or "detect".
        before: The thing in the source, or None for an addition.
        after: What is there afterwards, or None for a removal.
        motion: The drag, if it is one.
    """

    operation: str
    before: Placed | None
    after: Placed | None
    motion: Motion | None = None


@dataclass(frozen=True, slots=True)
class _Mark:
    """A segmentation or detection: the finished picture, and how it was marked."""

    picture: Picture
    label: ObjectLabel
    colour: str
    stroke: int


class CombinedFamily:
    """Draws a scene, does several things to it, and says all of them at once."""

    kinds: ClassVar[tuple[str, ...]] = COMBINED_KINDS

    def draw(self, context: Context, slot: Slot) -> Draft | Rejected:
        """Make one attempt."""
        operations = draw_operations(context.recipe.combined, slot.words("operations"))
        found = _stage(operations, context, slot)
        if isinstance(found, Rejected):
            return found
        placed, steps = found
        source_scene, target_scene = slot.scene(placed), slot.scene(_after(placed, steps))
        source, target = context.renderer.pair(source_scene, target_scene)
        before, after = read_labels(source, source_scene.placed), read_labels(target, target_scene.placed)
        if len(before) < len(source_scene.placed) or len(after) < len(target_scene.placed):
            return Rejected("hidden")
        marked = _mark(steps, target, after, context, slot)
        if isinstance(marked, Rejected):
            return marked
        picture = target if marked is None else marked.picture
        objects = read_labels(picture, target_scene.placed)
        mask = changed(source.pixels, picture.pixels, target.edited if marked is None else None)
        sources = {label.instance_id: label for label in before}
        targets = {label.instance_id: label for label in objects}
        points: list[tuple[DragLabel, ...]] = []
        draws = slot.draws("points")
        for step in steps:
            own: tuple[DragLabel, ...] = ()
            if step.motion is not None:
                number = step.motion.before.instance_id
                if number not in targets or min(sources[number].visibility, targets[number].visibility) < 1:
                    return Rejected("hidden")
                if seen_change(mask, source, sources[number]) < LEAST_CHANGE:
                    return Rejected("no visible change")
                own = draw_points(step.motion, source, picture, context.recipe.drag, draws)
                if not own:
                    return Rejected("no point")
            points.append(own)
        if len(objects) < len(after):
            return Rejected("hidden")
        # Words must stay true while one operation follows the other.
        everything = (*before, *(label for label in after if label.instance_id not in sources))
        words = slot.words()
        nouns = _name(steps, everything, context, slot, words)
        if nouns is None:
            return Rejected("ambiguous")
        clauses, details = [], []
        for step, noun, own in zip(steps, nouns, points, strict=True):
            new = next(
                (label for label in after if step.after and label.instance_id == step.after.instance_id), None
            )
            location = locate(new, slot.size) if step.operation == "add" and new else None
            clauses.append(_clause(step, noun, own, location, marked, context, words))
            details.append(_as_details(step, own, location, marked, context))
        if marked is not None and steps[-1].operation == "segment":
            objects = tuple(
                replace(label, colour=marked.colour)
                if label.instance_id == marked.label.instance_id
                else label
                for label in objects
            )
        caption_words = slot.words("caption")
        say_background = caption_words.chance(context.recipe.say_background)
        description = describe(target_scene, caption_words, say_background=say_background)
        if marked is not None:
            reference = Reference(nouns[-1], "name")
            content = description[0].lower() + description[1:].rstrip(".")
            description = describe_marked(
                steps[-1].operation, content, reference, marked.colour, False, caption_words
            )
        return Draft(
            task="edit",
            target=picture.pixels,
            images=(source.pixels,),
            mask=mask,
            instruction=write_instructions(clauses, words),
            caption=description,
            assets=assets_of(source_scene, target_scene),
            ids=picture.ids,
            image_ids=(source.ids,),
            objects=objects,
            image_objects=(before,),
            drags=tuple(label for own in points for label in own),
            details={
                "description": description,
                "operation": "combined",
                "operations": details,
                "transforms": [step.motion.as_dict() for step in steps if step.motion],
            },
        )


def draw_operations(options: CombinedOptions, draws: Draws) -> tuple[str, ...]:
    """Draw operations of at least two families; one of perception at most, and that last."""
    num = draws.integer(*options.num_operations)
    chosen: list[str] = []
    while len(chosen) < num:
        families = {FAMILY_OF[name] for name in chosen}
        last_chance = len(chosen) == num - 1 and len(families) == 1
        weights: dict[str, float] = {
            name: weight
            for name, weight in sorted(options.operations.items())
            if not (FAMILY_OF[name] == "perception" and "perception" in families)
            and not (last_chance and FAMILY_OF[name] in families)
        }
        chosen.append(draws.weighted(weights))
    return tuple(sorted(chosen, key=lambda name: FAMILY_OF[name] == "perception"))


def _stage(
    operations: Sequence[str], context: Context, slot: Slot
) -> tuple[tuple[Placed, ...], list[Step]] | Rejected:
    """Find things for all operations, their places in the source, and what becomes of them."""
    world, draws = context.world, slot.draws("things")
    num_old = sum(name != "add" for name in operations)
    num_new = sum(name in ("add", "replace") for name in operations)
    num_staying = draws.integer(*context.recipe.combined.num_staying)
    names = draw_names(world, context.split, num_old + num_new + num_staying, draws)
    if names is None:
        return Rejected("no combination")
    drawn = [world.draw_thing(name, slot.background.colour, draws) for name in names]
    things = [thing for thing in drawn if thing is not None]
    if len(things) < len(drawn):
        return Rejected("no combination")
    olds, news = [*things[:num_old], *things[num_old + num_new :]], things[num_old : num_old + num_new]
    looks, layout, motion_draws = slot.draws("looks"), slot.draws("layout"), slot.draws("motion")
    placed = arrange_free(context, olds, slot.size, looks, layout)
    if placed is None:
        return Rejected("no room")
    now = {item.instance_id: item for item in placed}
    # Things of the source are numbered in the order of the operations, those that stay come after them.
    next_old, next_new = iter(range(1, num_old + 1)), iter(enumerate(news, start=len(olds) + 1))
    steps = []
    for operation in operations:
        item = None if operation == "add" else now.pop(next(next_old))
        step: Step | None
        if operation in ("add", "replace"):
            number, thing = next(next_new)
            after = _come(number, thing, item, list(now.values()), len(things), context, slot, looks, layout)
            step = None if after is None else Step(operation, item, after)
        elif operation in OPERATIONS and item is not None:
            motion = draw_motion(
                next(name for name in OPERATIONS if name == operation),
                item,
                list(now.values()),
                slot.size,
                spacing_of(world, slot.size),
                context.renderer,
                context.recipe.drag,
                motion_draws,
            )
            step = None if motion is None else Step(operation, item, motion.after, motion)
        else:
            step = Step(operation, item, None if operation == "remove" else item)
        if step is None:
            return Rejected("no room")
        if step.after is not None:
            now[step.after.instance_id] = step.after
        steps.append(step)
    return placed, steps


def _come(
    number: int,
    thing: Thing,
    place: Placed | None,
    others: Sequence[Placed],
    total: int,
    context: Context,
    slot: Slot,
    looks: Draws,
    layout: Draws,
) -> Placed | None:
    """Place a new thing where another was, or anywhere; None when there is no room."""
    spacing = spacing_of(context.world, slot.size)
    taken = [box_of(other, context.renderer) for other in others]
    look = draw_look(thing, total, context.world, slot.size, looks)
    if place is None:
        boxes = place_free([side_of(context.renderer.sprite(look))], slot.size, layout, spacing, taken)
        return None if boxes is None else Placed(number, thing, look, boxes[0].x0, boxes[0].y0)
    look = replace(look, size=place.look.size)
    side, old = side_of(context.renderer.sprite(look)), box_of(place, context.renderer)
    x, y = old.x0 + (old.width - side.width) // 2, old.y0 + (old.height - side.height) // 2
    placed = Placed(number, thing, look, x, y)
    box = box_of(placed, context.renderer)
    inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= slot.size.width and box.y1 <= slot.size.height
    return placed if inside and all(spacing.allows(box, other) for other in taken) else None


def _after(placed: Sequence[Placed], steps: Sequence[Step]) -> list[Placed]:
    """What is in the target: everything keeps its layer, what comes lies on top."""
    now: dict[int, Placed | None] = {item.instance_id: item for item in placed}
    for step in steps:
        if step.before is not None:
            now[step.before.instance_id] = step.after
    added = [step.after for step in steps if step.before is None and step.after is not None]
    return [*(item for item in now.values() if item is not None), *added]


def _mark(
    steps: Sequence[Step], target: Picture, labels: Sequence[ObjectLabel], context: Context, slot: Slot
) -> _Mark | Rejected | None:
    """Segment or detect what the last step asks for; None when it asks for neither."""
    step = steps[-1]
    if FAMILY_OF[step.operation] != "perception" or step.before is None:
        return None
    options, draws = context.recipe.perception, slot.draws("marks")
    label = next(label for label in labels if label.instance_id == step.before.instance_id)
    if label.visibility < options.min_visibility:
        return Rejected("hidden")
    colours = [
        colour
        for colour in free_colours(context, target.pixels, labels, slot.background.colour)
        if not context.world.is_out(colour_combination(label.name, colour))
    ]
    if not colours:
        return Rejected("no colour")
    colour = draws.pick(colours)
    stroke = max(1, round(draws.uniform(*options.stroke) * min(slot.size)))
    picture = mark(step.operation, target, [label], context.world.colours[colour], stroke)
    return _Mark(picture, label, colour, stroke)


def _name(
    steps: Sequence[Step], labels: Sequence[ObjectLabel], context: Context, slot: Slot, words: Draws
) -> list[str] | None:
    """What to call the thing of each step; empty for an addition, None when words cannot tell."""
    nouns = []
    for step in steps:
        if step.before is None:
            nouns.append("")
            continue
        label = next(label for label in labels if label.instance_id == step.before.instance_id)
        say_colour = words.chance(context.recipe.combined.say_colour)
        moves = step.operation == "move"
        noun = short_reference(label, labels, slot.size, words, say_colour=say_colour, moves=moves)
        if noun is None:
            return None
        nouns.append(noun)
    return nouns


def _clause(
    step: Step,
    noun: str,
    points: Sequence[DragLabel],
    location: str | None,
    marked: _Mark | None,
    context: Context,
    words: Draws,
) -> str:
    if step.motion is not None:
        return write_motion_clause(step.motion, noun, points, context.recipe.drag, words)
    if FAMILY_OF[step.operation] == "perception" and marked is not None:
        return write_mark_clause(step.operation, noun, marked.colour, words)
    new, where = "", f" {place_phrase(location, words)}" if location else ""
    if step.after is not None:
        new = indefinite(step.after.thing.name, step.after.thing.colour)
    name = step.before.thing.name if step.before is not None else ""
    return write_clause(step.operation, noun, new, where, words, name=name)


def _as_details(
    step: Step, points: Sequence[DragLabel], location: str | None, marked: _Mark | None, context: Context
) -> dict[str, Any]:
    details: dict[str, Any] = {
        "operation": step.operation,
        "removed": None,
        "added": None,
        "location": location,
        "instance_id": step.before and step.before.instance_id,
    }
    if step.motion is not None:
        return details | {"num_points": len(points), "amount": round(step.motion.amount, 4)}
    if FAMILY_OF[step.operation] == "perception" and marked is not None:
        rgb = list(context.world.colours[marked.colour])
        details["instances"] = [marked.label.instance_id]
        if step.operation == "segment":
            return details | {"fill": rgb, "fill_colour": marked.colour}
        box = list(marked.label.box)
        return details | {
            "boxes": [box],
            "stroke": marked.stroke,
            "box_colour": marked.colour,
            "box_rgb": rgb,
        }
    if step.before is not None:
        details["removed"] = _as_dict(step.before.thing)
    if step.after is not None:
        details["added"] = _as_dict(step.after.thing)
        details["added_instance"] = step.after.instance_id
    return details


def _as_dict(thing: Thing) -> dict[str, str | None]:
    return {"name": thing.name, "colour": thing.colour}
