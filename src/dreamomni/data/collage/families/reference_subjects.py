"""Pictures of references alone: their things together, on the background of one, in the colour of another."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from dreamomni.data.collage.arrange import all_seen, draw_companions
from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.families.control import expect_labels
from dreamomni.data.collage.families.family import Context, Draft, Rejected, Slot
from dreamomni.data.collage.families.multi_reference import exchanged, find_rival, name_carriers
from dreamomni.data.collage.families.reference_records import ground_details
from dreamomni.data.collage.labels import PREDICATES, Predicate, cosines, read_labels
from dreamomni.data.collage.layout import place_free, place_related
from dreamomni.data.collage.multi_reference_plans import (
    ATTRIBUTE_OF,
    CONCRETE,
    Carrier,
    subject_reference_sizes,
)
from dreamomni.data.collage.multi_reference_staging import Shown, show_carrier
from dreamomni.data.collage.plans import draw_names
from dreamomni.data.collage.recipe import REFERENCE_SUBJECT_KINDS
from dreamomni.data.collage.scene import BackgroundLook, Placed, Scene, Thing, assets_of
from dreamomni.data.collage.staging import draw_backdrop, side_of, spacing_of
from dreamomni.data.collage.words.captions import background_phrase
from dreamomni.data.collage.words.lexicon import indefinite
from dreamomni.data.collage.words.multi_reference import (
    SCENE_GROUNDS,
    image_phrase,
    thing_phrase,
    write_coloured,
    write_scene,
)
from dreamomni.data.collage.words.phrasing import pick_phrase
from dreamomni.data.collage.words.references import relation_phrase
from dreamomni.data.collage.words.standard import (
    ground_words,
    name_of,
    standard_scene,
    tag,
)
from dreamomni.data.collage.words.subject import describe_subjects
from dreamomni.tasks.sample import ObjectLabel

_EMPTY_GROUND = 0.5
_CLEAR = 0.7


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which reference gives what; numbers of references count from 0.

    Attributes:
        carriers: What the references show.
        things: References that give a thing, in the order of the words; for a colour the thing, then what
            gives the colour.
        ground: The one that gives the background, or None.
        predicate: Where the first of two things lies from the second, or None.
    """

    carriers: tuple[Carrier, ...]
    things: tuple[int, ...]
    ground: int | None
    predicate: Predicate | None


class ReferenceSubjectFamily:
    """Draws references, and a target of what is chosen from them."""

    kinds: ClassVar[tuple[str, ...]] = REFERENCE_SUBJECT_KINDS

    def draw(self, context: Context, slot: Slot) -> Draft | Rejected:
        """Make one attempt."""
        plan = _plan(context, slot)
        if plan is None:
            return Rejected("no combination")
        shown: list[Shown] = []
        number = 1
        for index, carrier in enumerate(plan.carriers):
            draws = slot.draws(f"reference {index + 1}")
            found = show_carrier(context, slot, carrier, ATTRIBUTE_OF[slot.kind], number, draws)
            if isinstance(found, Rejected):
                return found
            shown.append(found)
            number += len(carrier.things)
        words = slot.words("reference")
        loose = words.chance(context.recipe.multi_reference.irregular)
        nouns = name_carriers(context, shown, plan.things, words)
        if nouns is None:
            return Rejected("ambiguous")
        instruction = _instruct(slot, plan, nouns, loose)
        swap = _find_swap(context, slot, plan, nouns, shown)
        if slot.variant == "swapped":
            if swap is None:
                return Rejected("no swap")
            shown = [shown[index] for index in exchanged(len(shown), *swap)]
        return _finish(context, slot, plan, shown, instruction, loose, swap)


def _plan(context: Context, slot: Slot) -> _Plan | None:
    world, options = context.world, context.recipe.multi_reference
    draws = slot.draws("things")
    sizes = subject_reference_sizes(context.recipe, slot.path, slot.size)
    grounds = [draw_backdrop(context.recipe, world, draws) for _ in sizes]
    order = draws.shuffled(range(len(sizes)))
    takes_ground, predicate = draws.chance(options.background_image), draws.pick(PREDICATES)
    if slot.kind == "subject_colour":
        return _plan_colour(context, slot, grounds, sizes, order, draws)
    ground = None
    if takes_ground and (len(sizes) > 2 or context.split == "train"):
        ground = order.pop()
        # What is behind must be seen to come from there, and from no other picture.
        looks = [(look.style, look.colour, look.asset) for look in grounds]
        if looks.count(looks[ground]) > 1:
            return None
    chosen, others = tuple(order[:2]), order[2:]
    names = draw_names(world, context.split, 2, draws)
    if names is None:
        return None
    behind = slot.background if ground is None else grounds[ground]
    shown: dict[int, tuple[Thing, ...]] = {}
    for index, name in zip(chosen, names, strict=False):
        thing = world.draw_thing(name, (grounds[index].colour, behind.colour), draws)
        if thing is None:
            return None
        shown[index] = (thing,)
    spare = draw_companions(context, names, len(sizes), draws)
    for index in others:
        like = shown[draws.pick(chosen)][0]
        places = (grounds[index].colour, behind.colour)
        if draws.chance(options.rivals) and like.colour is not None:
            thing = world.draw_thing(like.name, places, draws, unlike=(like.colour,))
        else:
            thing = world.draw_thing(spare.pop(), places, draws) if spare else None
        if thing is None:
            return None
        shown[index] = (thing,)
    if ground is not None:
        empty = draws.chance(_EMPTY_GROUND) or not spare
        own = None if empty else world.draw_thing(spare.pop(), grounds[ground].colour, draws)
        shown[ground] = () if own is None else (own,)
    carriers = [
        Carrier(size, look, shown[index])
        for index, (size, look) in enumerate(zip(sizes, grounds, strict=True))
    ]
    return _Plan(tuple(carriers), chosen, ground, predicate if len(chosen) == 2 else None)


def _plan_colour(
    context: Context,
    slot: Slot,
    grounds: Sequence[BackgroundLook],
    sizes: Sequence[Any],
    order: Sequence[int],
    draws: Draws,
) -> _Plan | None:
    world, options = context.world, context.recipe.multi_reference
    names = draw_names(world, context.split, 2, draws)
    if names is None:
        return None
    thing_at, colour_at, others = order[0], order[1], order[2:]
    thing = world.draw_thing(names[0], grounds[thing_at].colour, draws)
    if thing is None or thing.colour is None or not world.is_recolourable(thing):
        return None
    values = [one for one in world.colours_of(thing.name, slot.background.colour) if one != thing.colour]
    if len(values) < 1 + bool(others):
        return None
    values = draws.shuffled(values)
    spare = draw_companions(context, names, len(sizes), draws)
    shown = {thing_at: thing}
    for place, index in enumerate((colour_at, *others)):
        value = values[0] if not place else values[1 + place % (len(values) - 1)]
        same = not place or draws.chance(options.rivals) or not spare
        other = world.thing_in(names[1] if same else spare.pop(), value, grounds[index].colour, draws)
        if other is None:
            return None
        shown[index] = other
    carriers = [
        Carrier(size, look, (shown[index],), shown[index].colour or "")
        for index, (size, look) in enumerate(zip(sizes, grounds, strict=True))
    ]
    return _Plan(tuple(carriers), (thing_at, colour_at), None, None)


def _find_swap(
    context: Context, slot: Slot, plan: _Plan, nouns: Sequence[str], shown: Sequence[Shown]
) -> tuple[int, int] | None:
    """Two references that may change places under the same words, so that the picture changes."""
    coloured = slot.kind == "subject_colour"
    # Of a colour the picture that gives it is exchanged, of a scene the first thing's.
    first = 1 if coloured else 0
    order = [plan.things[first], *(one for one in plan.things if one != plan.things[first])]
    barred = [*order, *(() if plan.ground is None else (plan.ground,))]
    rival = find_rival(barred, [nouns[first]], shown)
    if rival is not None:
        return order[0], rival
    if len(plan.things) < 2 or any(nouns):
        return None
    if coloured:
        one, other = (shown[index].carrier.things[0] for index in plan.things)
        found = context.world.colours_of(other.name, slot.background.colour)
        if one.colour not in found or not context.world.is_recolourable(other):
            return None
    return plan.things[0], plan.things[1]


def _instruct(slot: Slot, plan: _Plan, nouns: Sequence[str], loose: bool) -> str:
    draws = slot.words()
    texts = [
        thing_phrase(noun, index + 1, loose, draws) for noun, index in zip(nouns, plan.things, strict=True)
    ]
    if plan.ground is None:
        behind = background_phrase(slot.background, draws)
    else:
        where = image_phrase(plan.ground + 1, loose, draws)
        behind = pick_phrase(SCENE_GROUNDS, draws).format(i=where)
    if slot.kind == "subject_colour":
        return write_coloured(texts[0], texts[1], behind, loose, draws)
    things = texts[0]
    if plan.predicate is not None:
        things = f"{texts[0]} {relation_phrase(plan.predicate, texts[1], draws)}"
    return write_scene(things, behind, loose, draws)


def _finish(
    context: Context,
    slot: Slot,
    plan: _Plan,
    shown: Sequence[Shown],
    instruction: str,
    loose: bool,
    swap: tuple[int, int] | None,
) -> Draft | Rejected:
    """Draw the target, and write down where everything came from; `shown` is in the order of the images."""
    ground = slot.background if plan.ground is None else shown[plan.ground].carrier.background
    placed = _arrange(context, slot, plan, shown)
    if placed is None:
        return Rejected("no room")
    scene = Scene(slot.size, ground, placed, slot.blend)
    target = context.renderer.picture(scene)
    labels = read_labels(target, placed)
    if not all_seen(labels, placed, context.recipe.multi_reference.min_visibility):
        return Rejected("hidden")
    if plan.predicate is not None and cosines(labels[0].box, labels[1].box)[plan.predicate] <= _CLEAR:
        return Rejected("unclear")
    caption_words = slot.words("caption")
    description = describe_subjects(labels, background_phrase(ground, caption_words), caption_words)
    uses = [_use(index, shown[index], labels) for index in plan.things]
    standard = _standard(slot, plan, shown, labels, ground)
    expect = expect_labels(labels)
    if plan.predicate is not None:
        names = [label.name for label in labels]
        expect["relation"] = {"subject": names[0], "predicate": plan.predicate, "object": names[1]}
    return Draft(
        task="subject",
        target=target.pixels,
        images=tuple(one.picture.pixels for one in shown),
        instruction=instruction,
        caption=description,
        assets=assets_of(scene, *(one.scene for one in shown)),
        ids=target.ids,
        image_ids=tuple(one.picture.ids for one in shown),
        objects=labels,
        image_objects=tuple(one.labels for one in shown),
        details={
            "background": ground_details(ground),
            "description": description,
            "expect": expect,
            "reference": {
                "kind": "concrete" if slot.kind in CONCRETE else "abstract",
                "attribute": ATTRIBUTE_OF[slot.kind],
                **uses[-1 if slot.kind == "subject_colour" else 0],
                "uses": uses,
                "ground": None if plan.ground is None else plan.ground + 1,
                "predicate": plan.predicate,
                "gives": {str(number): _gives(one) for number, one in enumerate(shown, start=1)},
                "swap": None if swap is None else [swap[0] + 1, swap[1] + 1],
                "irregular": loose,
            },
            # Of a picture that is made anew, the standard form is one description.
            "standard": {"instruction": standard, "caption": standard},
        },
    )


def _arrange(context: Context, slot: Slot, plan: _Plan, shown: Sequence[Shown]) -> tuple[Placed, ...] | None:
    """The chosen things with new sizes and places, in the colour that one of them gives."""
    looks, layout = slot.draws("looks"), slot.draws("layout")
    coloured = slot.kind == "subject_colour"
    chosen = [shown[index].scene.placed[0] for index in plan.things[: 1 if coloured else None]]
    firsts = [shown[index].first for index in plan.things]
    low, high = context.world.object_size(len(chosen))
    new: list[Placed] = []
    for item, first in zip(chosen, firsts, strict=False):
        # Layers may be in any order; the first label is the thing that is meant.
        assert first is not None
        scene = shown[plan.things[len(new)]].scene
        own = next(one for one in scene.placed if one.instance_id == first.instance_id)
        look = own.look.sized(max(1, round(looks.uniform(low, high) * min(slot.size))))
        thing = own.thing
        if coloured:
            giver = firsts[1]
            assert giver is not None
            thing = replace(thing, colour=giver.colour)
            look = replace(look, rgb=context.world.rgb_of(thing))
        new.append(replace(item, instance_id=own.instance_id, thing=thing, look=look))
    sides = [side_of(context.renderer.sprite(item.look)) for item in new]
    spacing = spacing_of(context.world, slot.size)
    if plan.predicate is None:
        boxes = place_free(sides, slot.size, layout, spacing)
    else:
        related = place_related(sides[:1], plan.predicate, sides[1:], slot.size, layout, spacing)
        boxes = related and [*related[0], *related[1]]
    if boxes is None:
        return None
    return tuple(replace(item, x=box.x0, y=box.y0) for item, box in zip(new, boxes, strict=True))


def _use(index: int, shown: Shown, labels: Sequence[ObjectLabel]) -> dict[str, Any]:
    first = shown.first
    assert first is not None
    there = any(label.instance_id == first.instance_id for label in labels)
    return {
        "image": index + 1,
        "instance": first.instance_id,
        "name": first.name,
        "colour": first.colour,
        "value": first.colour,
        "target_instance": first.instance_id if there else None,
    }


def _gives(shown: Shown) -> dict[str, Any]:
    first = shown.first
    thing = None if first is None else {"name": first.name, "colour": first.colour}
    return {"thing": thing, "background": ground_details(shown.carrier.background)}


def _standard(
    slot: Slot,
    plan: _Plan,
    shown: Sequence[Shown],
    labels: Sequence[ObjectLabel],
    ground: BackgroundLook,
) -> str:
    behind = ground_words(ground)
    behind = behind.replace("the ", "a ", 1) if plan.ground is None else tag(behind, plan.ground + 1)
    nouns = [
        tag(indefinite(label.name, label.colour), index + 1)
        for label, index in zip(labels, plan.things, strict=False)
    ]
    if slot.kind == "subject_colour":
        giver = shown[plan.things[1]].first
        assert giver is not None
        nouns = [f"{nouns[0]} in the color of {tag(name_of(giver), plan.things[1] + 1)}"]
    return standard_scene(nouns, plan.predicate, behind)
