"""Edits after references: image 1 is edited, the others show what to put there or what to make it like.

Things of references are concrete, their colour, pattern, style, font and background are abstract (DreamOmni2,
section 3.1). Every reference could give something; only the words say which one does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from dreamomni.data.collage.arrange import all_seen
from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.families.control import expect_labels
from dreamomni.data.collage.families.family import Context, Draft, Rejected, Slot
from dreamomni.data.collage.families.reference_records import (
    Where,
    given_by,
    ground_details,
    operations_of,
    said_values,
    standard_words,
    use_of,
)
from dreamomni.data.collage.labels import PREDICATES, cosines, read_labels
from dreamomni.data.collage.multi_reference_plans import (
    ATTRIBUTE_OF,
    CONCRETE,
    ReferencePlan,
    plan_reference_edit,
)
from dreamomni.data.collage.multi_reference_staging import (
    ReferenceStage,
    Shown,
    changed_scene,
    show_references,
    stage_references,
)
from dreamomni.data.collage.naming import is_pair
from dreamomni.data.collage.recipe import REFERENCE_EDIT_KINDS
from dreamomni.data.collage.render import changed
from dreamomni.data.collage.scene import BackgroundLook, Placed, assets_of
from dreamomni.data.collage.words.captions import describe
from dreamomni.data.collage.words.multi_reference import (
    image_phrase,
    picture_noun,
    thing_phrase,
    write_reference_edit,
)
from dreamomni.data.collage.words.references import (
    locate,
    place_phrase,
    refer,
    relation_phrase,
    short_reference,
)
from dreamomni.data.collage.words.standard import standard_caption
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.sample import ObjectLabel

_CLEAR = 0.85
_VISIBLE = 0.004
"""Least part of the canvas that an edit must change."""


class MultiReferenceFamily:
    """Draws image 1 before and after, and the pictures that the words point at."""

    kinds: ClassVar[tuple[str, ...]] = REFERENCE_EDIT_KINDS

    def draw(self, context: Context, slot: Slot) -> Draft | Rejected:
        """Make one attempt."""
        plan = plan_reference_edit(context, slot)
        if plan is None:
            return Rejected("no combination")
        stage = stage_references(context, slot, plan)
        if stage is None:
            return Rejected("no room")
        shown = show_references(context, slot, plan, stage)
        if isinstance(shown, Rejected):
            return shown
        before = read_labels(context.renderer.picture(stage.source), stage.source.placed)
        if not all_seen(before, stage.source.placed, context.recipe.multi_reference.min_visibility):
            return Rejected("hidden")
        words = slot.words("reference")
        loose = words.chance(context.recipe.multi_reference.irregular)
        nouns = name_carriers(context, shown, plan.used, words)
        olds = [_name_old(context, item, before, slot.size, words) for item in _pointed(plan, stage)]
        if nouns is None or any(old is None for old in olds):
            return Rejected("ambiguous")
        rival = find_rival(plan.used, nouns, shown)
        wheres = [_where(context, slot, plan, stage, before, use, rival, words) for use in range(len(nouns))]
        instruction = _instruct(slot, plan, nouns, [old or "" for old in olds], wheres, loose)
        order = exchanged(len(shown), plan.used[0], rival if slot.variant == "swapped" else None)
        if slot.variant == "swapped" and rival is None:
            return Rejected("no swap")
        return _finish(
            context,
            slot,
            plan,
            stage,
            [shown[index] for index in order],
            order,
            _Said(instruction, tuple(nouns), tuple(wheres), loose, rival),
        )


@dataclass(frozen=True, slots=True)
class _Said:
    """What the words are, and what they leave open."""

    instruction: str
    nouns: tuple[str, ...]
    wheres: tuple[Where, ...]
    loose: bool
    rival: int | None


def name_carriers(
    context: Context, shown: Sequence[Shown], used: Sequence[int], words: Draws
) -> list[str] | None:
    """What to call the thing of each reference that is used; empty where "that thing" does.

    None where words cannot tell it from others of its picture.
    """
    options = context.recipe.multi_reference
    nouns = []
    for index in used:
        first, labels = shown[index].first, shown[index].labels
        nameless, say_colour = words.chance(options.nameless), words.chance(options.say_colour)
        if first is None or first.kind == "text" or (nameless and len(labels) == 1):
            nouns.append("")
            continue
        texts = plain_names(first, labels, shown[index].scene.size)
        if not texts:
            return None
        nouns.append(texts[-1] if say_colour else texts[0])
    return nouns


def plain_names(label: ObjectLabel, labels: Sequence[ObjectLabel], size: Size) -> list[str]:
    """Phrases that mean a thing by its name, and its colour, alone."""
    return [one.text for one in refer(label, labels, size) if one.by in ("name", "colour")]


def find_rival(used: Sequence[int], nouns: Sequence[str], shown: Sequence[Shown]) -> int | None:
    """A reference that could stand where the first one that is used stands, with the same words."""
    noun = nouns[0]
    for index, one in enumerate(shown):
        if index in used:
            continue
        first = one.first
        if first is None or first.kind == "text" or (not noun and len(one.labels) == 1):
            return index
        if noun and noun in plain_names(first, one.labels, one.scene.size):
            return index
    return None


def exchanged(count: int, one: int, other: int | None) -> list[int]:
    """Numbers from 0 in order, with two of them exchanged unless there is no other."""
    order = list(range(count))
    if other is not None:
        order[one], order[other] = order[other], order[one]
    return order


def _pointed(plan: ReferencePlan, stage: ReferenceStage) -> list[Placed | None]:
    """The thing of image 1 that each clause points at."""
    return [stage.source.placed[use] if plan.subjects else None for use in range(len(plan.used))]


def _name_old(
    context: Context, item: Placed | None, before: Sequence[ObjectLabel], size: Size, words: Draws
) -> str | None:
    """What to call a thing of image 1; empty where nothing is pointed at, None where words cannot tell."""
    say_colour = words.chance(context.recipe.multi_reference.say_colour)
    if item is None:
        return ""
    label = next(one for one in before if one.instance_id == item.instance_id)
    if label.kind == "text":
        return f'the text "{label.name}"'
    return short_reference(label, before, size, words, say_colour=say_colour)


def _where(
    context: Context,
    slot: Slot,
    plan: ReferencePlan,
    stage: ReferenceStage,
    before: Sequence[ObjectLabel],
    use: int,
    rival: int | None,
    words: Draws,
) -> Where:
    """Where an addition goes; what is said must be true of whatever reference is used."""
    say, style, pick = words.chance(context.recipe.multi_reference.say_where), words.unit(), words.unit()
    if slot.kind != "reference_add" or not say:
        return Where()
    numbers = [plan.used[use], *([rival] if rival is not None and use == 0 else [])]
    labels: list[ObjectLabel] = []
    for number in numbers:
        item = replace(stage.comers[use][number], instance_id=200)
        picture = context.renderer.picture(slot.scene([item]))
        labels += read_labels(picture, (item,))
    if len(labels) < len(numbers):
        return Where()
    options: list[Where] = []
    for anchor in before:
        names = plain_names(anchor, before, slot.size)
        if names:
            options += [
                Where(predicate, anchor, names[0])
                for predicate in PREDICATES
                if all(cosines(label.box, anchor.box)[predicate] > _CLEAR for label in labels)
            ]
    places = {locate(label, slot.size) for label in labels}
    place = next(iter(places)) if len(places) == 1 else None
    if place is not None and (not options or style < 0.3):
        return Where(location=place)
    return options[int(pick * len(options))] if options else Where()


def _instruct(
    slot: Slot,
    plan: ReferencePlan,
    nouns: Sequence[str],
    olds: Sequence[str],
    wheres: Sequence[Where],
    loose: bool,
) -> str:
    draws = slot.words()
    clauses = []
    for use, (noun, old, where) in enumerate(zip(nouns, olds, wheres, strict=True)):
        image = plan.used[use] + 2
        place = ""
        if where.anchor is not None and where.predicate is not None:
            place = f" {relation_phrase(where.predicate, where.noun, draws)}"
        elif where.location is not None:
            place = f" {place_phrase(where.location, draws)}"
        name = plan.subjects[use].name if plan.subjects else ""
        clauses.append(
            {
                "t": thing_phrase(noun, image, loose, draws),
                "i": image_phrase(image, loose, draws),
                "m": picture_noun(image, loose, draws),
                "d": old,
                "w": place,
                "is": "are" if is_pair(name) else "is",
            }
        )
    return write_reference_edit(slot.kind, clauses, loose, draws)


def _finish(
    context: Context,
    slot: Slot,
    plan: ReferencePlan,
    stage: ReferenceStage,
    shown: Sequence[Shown],
    order: Sequence[int],
    said: _Said,
) -> Draft | Rejected:
    """Draw the target, and write down what was done; `shown` is in the order of the images."""
    attribute = plan.attribute
    givers = [shown[index] for index in plan.used]
    comers: list[Placed] = []
    if attribute == "thing":
        for use, index in enumerate(plan.used):
            first = givers[use].first
            assert first is not None
            comers.append(replace(stage.comers[use][order[index]], instance_id=first.instance_id))
    value = slot.variant[1:] if slot.variant.startswith("=") else givers[0].carrier.value
    ground = givers[0].carrier.background if attribute == "background" else None
    if ground is not None and slot.variant.startswith("="):
        ground = _ground_in(context, value, ground)
    target_scene = changed_scene(context, stage, attribute, value, ground, comers)
    if attribute == "background":
        source = context.renderer.picture(stage.source)
        target = context.renderer.picture(target_scene)
    else:
        source, target = context.renderer.pair(stage.source, target_scene)
    before, after = read_labels(source, stage.source.placed), read_labels(target, target_scene.placed)
    if not all_seen(after, target_scene.placed, context.recipe.multi_reference.min_visibility):
        return Rejected("hidden")
    mask = changed(source.pixels, target.pixels, target.edited if attribute != "background" else None)
    if (mask > 0).mean() < _VISIBLE:
        return Rejected("no visible change")
    for comer, where in zip(comers, said.wheres, strict=False):
        label = next(one for one in after if one.instance_id == comer.instance_id)
        if where.predicate and where.anchor and cosines(label.box, where.anchor.box)[where.predicate] <= 0.7:
            return Rejected("unclear")
    caption_words = slot.words("caption")
    description = describe(
        target_scene,
        caption_words,
        say_background=caption_words.chance(context.recipe.say_background) or attribute == "background",
    )
    uses = [use_of(plan, use, givers[use], before, comers, value) for use in range(len(plan.used))]
    return Draft(
        task="edit",
        target=target.pixels,
        images=(source.pixels, *(one.picture.pixels for one in shown)),
        mask=mask,
        instruction=said.instruction,
        caption=description,
        assets=assets_of(stage.source, target_scene, *(one.scene for one in shown)),
        ids=target.ids,
        image_ids=(source.ids, *(one.picture.ids for one in shown)),
        objects=after,
        image_objects=(before, *(one.labels for one in shown)),
        details={
            "background": ground_details(target_scene.background),
            "description": description,
            "expect": expect_labels(after),
            **operations_of(plan, before, after, comers, said.wheres),
            "reference": {
                "kind": "concrete" if slot.kind in CONCRETE else "abstract",
                "attribute": ATTRIBUTE_OF[slot.kind],
                **uses[0],
                "uses": uses,
                "gives": {str(number): given_by(attribute, one) for number, one in enumerate(shown, start=2)},
                "swap": None if said.rival is None else [plan.used[0] + 2, said.rival + 2],
                "irregular": said.loose,
                "before": ground_details(slot.background) if attribute == "background" else plan.before,
            },
            "standard": {
                "instruction": standard_words(slot.kind, plan, givers, before, said.wheres, value, ground),
                "caption": standard_caption(after, target_scene.background, said_values(plan, uses, value)),
            },
        },
    )


def _ground_in(context: Context, name: str, look: BackgroundLook) -> BackgroundLook:
    """A plain background of another colour."""
    rgb = context.world.backgrounds[name]
    return replace(look, style="plain", colour=name, first=rgb, second=rgb, asset="", caption="")
