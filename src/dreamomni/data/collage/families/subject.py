"""Pictures of things out of one to five source images (section 3.2, subject-driven generation)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from dreamomni.data.collage.arrange import all_seen, arrange_free, draw_companions, in_order
from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.families.control import expect_labels
from dreamomni.data.collage.families.family import Context, Draft, Rejected, Slot
from dreamomni.data.collage.held_out import count_combination
from dreamomni.data.collage.labels import PREDICATES, read_labels
from dreamomni.data.collage.layout import place_free, place_related
from dreamomni.data.collage.plans import draw_names
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.collage.render import Picture
from dreamomni.data.collage.scene import Look, Placed, Scene, Thing, assets_of
from dreamomni.data.collage.staging import draw_backdrop, side_of, spacing_of
from dreamomni.data.collage.words.captions import background_phrase
from dreamomni.data.collage.words.places import WHERE
from dreamomni.data.collage.words.references import Reference, refer
from dreamomni.data.collage.words.subject import Subject, describe_subjects, write_long, write_short
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.sample import ObjectLabel

_LARGER = 1.3
_TURNED = 12.0
_SAME_COLOUR_TWIN = 0.3
_RELATED = 0.5
_WHERE = tuple(phrase for phrases in WHERE.values() for phrase in phrases)


@dataclass(frozen=True, slots=True)
class _Counts:
    """How many things each source shows, and how many of them go into the target."""

    things: tuple[int, ...]
    subjects: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Source:
    """A source image.

    Attributes:
        scene: Its plan.
        subjects: Its instances that go into the target.
        picture: Its pixels.
        labels: What they show.
    """

    scene: Scene
    subjects: tuple[Placed, ...]
    picture: Picture
    labels: tuple[ObjectLabel, ...]


@dataclass(frozen=True, slots=True)
class _Move:
    """What becomes of a subject's looks: its share of the shorter side times `scale`, turned by `turn`."""

    scale: float
    turn: float

    @property
    def changes(self) -> tuple[str, ...]:
        """What words may say of it."""
        found = []
        if self.scale >= _LARGER:
            found.append("larger")
        elif self.scale <= 1 / _LARGER:
            found.append("smaller")
        if abs(self.turn) >= _TURNED:
            found.append("turned left" if self.turn > 0 else "turned right")
        return tuple(found)


class SubjectFamily:
    """Draws sources with distractors, and a target of what is chosen from them."""

    kinds: ClassVar[tuple[str, ...]] = ("subject",)

    def draw(self, context: Context, slot: Slot) -> Draft | Rejected:
        """Make one attempt."""
        choices = slot.draws("things")
        sizes = source_sizes(context.recipe, slot.path, slot.size)
        counts = _draw_counts(context, len(sizes), choices)
        names = draw_names(context.world, context.split, sum(counts.subjects), choices)
        if names is None:
            return Rejected("no combination")
        companions = draw_companions(context, names, sum(counts.things) - sum(counts.subjects), choices)
        sources: list[_Source] = []
        next_number = 1
        for index, (num_things, num_subjects) in enumerate(zip(counts.things, counts.subjects, strict=True)):
            start = sum(counts.subjects[:index])
            mine = names[start : start + num_subjects]
            source = _draw_source(
                context, slot, index, sizes[index], mine, companions, num_things, next_number
            )
            if isinstance(source, Rejected):
                return source
            sources.append(source)
            next_number += len(source.scene.placed)
        arranged = _arrange_target(context, slot, sources)
        if arranged is None:
            return Rejected("no room")
        placed, moves = arranged
        target_scene = slot.scene(placed)
        target = context.renderer.picture(target_scene)
        labels = read_labels(target, target_scene.placed)
        if not all_seen(labels, placed, context.recipe.reference.min_visibility):
            return Rejected("hidden")
        subjects = _tell(sources, labels, moves, slot, context.recipe.reference.say_change)
        if subjects is None:
            return Rejected("ambiguous")
        words, caption_words = slot.words(), slot.words("caption")
        behind = background_phrase(target_scene.background, words)
        write = write_long if words.chance(context.recipe.reference.long_words) else write_short
        description = describe_subjects(
            [subject.label for subject in subjects],
            background_phrase(target_scene.background, caption_words),
            caption_words,
        )
        return Draft(
            task="subject",
            target=target.pixels,
            images=tuple(source.picture.pixels for source in sources),
            instruction=write(subjects, slot.size, behind, words),
            caption=description,
            assets=assets_of(target_scene, *(source.scene for source in sources)),
            ids=target.ids,
            image_ids=tuple(source.picture.ids for source in sources),
            objects=labels,
            image_objects=tuple(source.labels for source in sources),
            details={
                "description": description,
                "expect": expect_labels(labels),
                "subjects": [_as_dict(subject, moves) for subject in subjects],
            },
        )


def source_sizes(recipe: CollageRecipe, path: tuple[int, str, int], canvas: Size) -> tuple[Size, ...]:
    """Size of every source image, image 1 first: those of the first attempt, in every attempt.

    So they are known without drawing anything, and crowded samples do not end up with fewer sources.

    Args:
        recipe: Its `reference` decides.
        path: Root of the streams of the sample.
        canvas: Size of the target.
    """
    num_sources = Draws(*path, "things", 0).weighted(in_order(recipe.reference.num_sources))
    sizes = recipe.reference.source_sizes or (canvas,)
    return tuple(Draws(*path, _source_stream(index), 0).pick(sizes) for index in range(num_sources))


def _source_stream(index: int) -> str:
    return f"source {index + 1}"


def _draw_counts(context: Context, num_sources: int, draws: Draws) -> _Counts:
    options = context.recipe.reference
    draws.unit()  # the number of sources of this attempt, which is that of the first
    things = [draws.integer(*options.source_objects) for _ in range(num_sources)]
    wanted = [draws.chance(options.second_subject) for _ in range(num_sources)]
    subjects = [1] * num_sources
    spare = options.max_subjects - num_sources
    for index, second in enumerate(wanted):
        if second and things[index] > 1 and spare > 0:
            subjects[index] += 1
            spare -= 1
    if context.split == "held_out" and sum(subjects) < 2:
        # The held-out pair must be in the target.
        things[0], subjects[0] = max(things[0], 2), 2
    return _Counts(tuple(things), tuple(subjects))


def _draw_source(
    context: Context,
    slot: Slot,
    index: int,
    size: Size,
    subjects: Sequence[str],
    companions: Sequence[str],
    num_things: int,
    first_number: int,
) -> _Source | Rejected:
    """Draw one source image: its own background, its subjects, and things that stay behind."""
    options = context.recipe.reference
    draws = slot.draws(_source_stream(index))
    draws.unit()  # the size in this attempt, which is that in the first
    background = draw_backdrop(context.recipe, context.world, draws)
    grounds = (background.colour, slot.background.colour)
    things: list[Thing] = []
    for name in subjects:
        # What can be told from one background must be told from the other too.
        thing = context.world.draw_thing(name, grounds, draws)
        if thing is None:
            return Rejected("no combination")
        things.append(thing)
    others = _draw_others(context, things, companions, num_things - len(things), background.colour, draws)
    placed = arrange_free(context, [*things, *others], size, draws, draws)
    if placed is None:
        return Rejected("no room")
    # arrange_free numbers from 1 in the order of the things: the subjects come first.
    chosen = range(first_number, first_number + len(things))
    placed = tuple(replace(item, instance_id=item.instance_id + first_number - 1) for item in placed)
    scene = Scene(size, background, placed, slot.blend)
    picture = context.renderer.picture(scene)
    labels = read_labels(picture, placed)
    if not all_seen(labels, placed, options.min_visibility):
        return Rejected("hidden")
    by_number = {item.instance_id: item for item in placed}
    return _Source(scene, tuple(by_number[number] for number in chosen), picture, labels)


def _draw_others(
    context: Context,
    subjects: Sequence[Thing],
    companions: Sequence[str],
    count: int,
    ground: str,
    draws: Draws,
) -> list[Thing]:
    """Things that stay behind: others, and now and then a second one of a subject's name."""
    world = context.world
    others: list[Thing] = []
    first = subjects[0]
    twin_wanted = draws.chance(context.recipe.reference.twins)
    if count > 0 and twin_wanted and not world.is_out(count_combination(2, first.name)):
        unlike = () if first.colour is None or draws.chance(_SAME_COLOUR_TWIN) else (first.colour,)
        twin = world.draw_thing(first.name, ground, draws, unlike=unlike)
        others += [twin] if twin is not None else []
    for name in draws.shuffled(companions)[: count - len(others)]:
        thing = world.draw_thing(name, ground, draws)
        others += [thing] if thing is not None else []
    return others


def _arrange_target(
    context: Context, slot: Slot, sources: Sequence[_Source]
) -> tuple[tuple[Placed, ...], dict[int, _Move]] | None:
    """Give the subjects new sizes, angles and places; instance numbers stay those of the sources."""
    looks, layout = slot.draws("looks"), slot.draws("layout")
    chosen = [(source, item) for source in sources for item in source.subjects]
    canvas = slot.size
    drawn: list[Look] = []
    moves: dict[int, _Move] = {}
    for source, item in chosen:
        look, move = _draw_change(context, item.look, source.scene.size, canvas, len(chosen), looks)
        drawn.append(look)
        moves[item.instance_id] = move
    sides = [side_of(context.renderer.sprite(look)) for look in drawn]
    spacing = spacing_of(context.world, canvas)
    order = layout.shuffled(range(len(chosen)))
    first = None
    if len(chosen) > 1 and layout.chance(_RELATED):
        one, two = order[:2]
        first = place_related([sides[one]], layout.pick(PREDICATES), [sides[two]], canvas, layout, spacing)
    if first is None:
        boxes = place_free([sides[number] for number in order], canvas, layout, spacing)
    else:
        taken = [*first[0], *first[1]]
        rest = place_free([sides[number] for number in order[2:]], canvas, layout, spacing, taken=taken)
        boxes = None if rest is None else [*taken, *rest]
    if boxes is None:
        return None
    placed = tuple(
        replace(chosen[number][1], look=drawn[number], x=box.x0, y=box.y0)
        for number, box in zip(order, boxes, strict=True)
    )
    return placed, moves


def _draw_change(
    context: Context, look: Look, source: Size, canvas: Size, total: int, looks: Draws
) -> tuple[Look, _Move]:
    options = context.recipe.reference
    low, high = context.recipe.object_size(total)
    before = look.size / min(source)
    share = min(max(before * looks.uniform(*options.scale), low), high)
    size = max(1, round(share * min(canvas)))
    turned, angle = looks.chance(options.turn), looks.uniform(-options.max_turn, options.max_turn)
    turn = round(angle, 1) if turned else 0.0
    changed = replace(look, size=size, angle=round(look.angle + turn, 1))
    return changed, _Move(round(size / min(canvas) / before, 4), turn)


def _tell(
    sources: Sequence[_Source],
    labels: tuple[ObjectLabel, ...],
    moves: dict[int, _Move],
    slot: Slot,
    say_change: float,
) -> tuple[Subject, ...] | None:
    """Find words for every subject in its source; None where there are none."""
    draws = slot.draws("tell")
    in_target = {label.instance_id: label for label in labels}
    subjects = []
    for number, source in enumerate(sources, start=1):
        in_source = {label.instance_id: label for label in source.labels}
        for item in source.subjects:
            label = in_source[item.instance_id]
            references = _plain(refer(label, source.labels, source.scene.size))
            if not references:
                return None
            target = in_target[item.instance_id]
            say = draws.chance(say_change) and bool(refer(target, labels, slot.size))
            changes = moves[item.instance_id].changes if say else ()
            subjects.append(Subject(number, target, label, references, changes))
    return tuple(draws.shuffled(subjects))


def _plain(references: Sequence[Reference]) -> tuple[str, ...]:
    """The phrases that stay clear when words about the target follow: no places or relations of a source.

    "the fox beneath the ladybug of image 1" could be read as an order to place it there.
    """
    short = [one.text for one in references if one.by in ("name", "colour")]
    ends = [one.text for one in references if one.by in ("place", "size") and not one.text.endswith(_WHERE)]
    return tuple(short or ends)


def _as_dict(subject: Subject, moves: dict[int, _Move]) -> dict[str, Any]:
    move = moves[subject.label.instance_id]
    return {
        "image": subject.image,
        "source_instance": subject.source_label.instance_id,
        "target_instance": subject.label.instance_id,
        "name": subject.label.name,
        "colour": subject.label.colour,
        "scale": move.scale,
        "turn": move.turn,
    }
