"""Where several edits of one picture happen: one slot for each thing that is there, comes or goes."""

from dataclasses import dataclass, replace

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.layout import place_free
from dreamomni.data.collage.multi_edit_plans import MultiEditPlan
from dreamomni.data.collage.render import Renderer
from dreamomni.data.collage.scene import BackgroundLook, BlendLook, Look, Placed, Scene, Thing
from dreamomni.data.collage.staging import Stage, draw_look, side_of, spacing_of
from dreamomni.data.collage.world import World
from dreamomni.tasks.geometry import Box, Size


@dataclass(frozen=True, slots=True)
class _Shown:
    """A thing as it is drawn, with its number and the size of its pixels."""

    number: int
    thing: Thing
    look: Look
    side: Size

    def centred(self, box: Box) -> Placed:
        """The thing in the middle of its slot."""
        x = box.x0 + (box.width - self.side.width) // 2
        y = box.y0 + (box.height - self.side.height) // 2
        return Placed(self.number, self.thing, self.look, x, y)


def stage_multi_edit(
    plan: MultiEditPlan,
    world: World,
    renderer: Renderer,
    size: Size,
    background: BackgroundLook,
    looks: Draws,
    layout: Draws,
    blend: BlendLook,
) -> Stage | None:
    """Give sizes and places to several edits, or None when they were not found.

    Instances of the source are numbered first: those of the steps, in their order, then those that stay. What
    comes is numbered after them, in the order of the steps; a thing with a new colour keeps its number.
    """
    pairs = [(step.before, step.after) for step in plan.steps] + [(thing, thing) for thing in plan.staying]
    last = sum(before is not None for before, _ in pairs)
    known, new = iter(range(1, last + 1)), iter(range(last + 1, last + 1 + len(pairs)))
    slots: list[tuple[_Shown | None, _Shown | None]] = []
    for before, after in pairs:
        old = comer = None
        if before is not None:
            look = draw_look(before, len(pairs), world, size, looks)
            old = _Shown(next(known), before, look, side_of(renderer.sprite(look)))
        if after is not None and old is not None and old.thing.name == after.name:
            look = replace(old.look, rgb=world.rgb_of(after))
            comer = _Shown(old.number, after, look, old.side)
        elif after is not None:
            look = draw_look(after, len(pairs), world, size, looks)
            # The newcomer is as large as what it replaces.
            look = look if old is None else replace(look, size=old.look.size)
            comer = _Shown(next(new), after, look, side_of(renderer.sprite(look)))
        slots.append((old, comer))
    boxes = place_free([_extent(slot) for slot in slots], size, layout, spacing_of(world, size))
    if boxes is None:
        return None
    places = list(zip(slots, boxes, strict=True))
    order = layout.shuffled(places) if world.recipe.max_overlap > 0 else places
    source = tuple(old.centred(box) for (old, _), box in order if old is not None)
    target = tuple(comer.centred(box) for (_, comer), box in order if comer is not None)
    return Stage(plan, Scene(size, background, source, blend), Scene(size, background, target, blend))


def _extent(slot: tuple[_Shown | None, _Shown | None]) -> Size:
    sides = [shown.side for shown in slot if shown is not None]
    return Size(max(side.width for side in sides), max(side.height for side in sides))
