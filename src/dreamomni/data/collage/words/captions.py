"""Prompts of text-to-image samples."""

from collections.abc import Iterator, Sequence

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.scene import BackgroundLook, Scene
from dreamomni.data.collage.scene_plans import Group, TextToImagePlan
from dreamomni.data.collage.words.lexicon import counted
from dreamomni.data.collage.words.phrasing import finish, pick_phrase
from dreamomni.data.collage.words.places import WHERE
from dreamomni.data.collage.words.written_captions import written_noun, written_phrase

# Frames hold a whole description; {b} is the background or nothing. The first is the plain one.
FRAMES: tuple[str, ...] = (
    "{x}{b}",
    "a picture of {x}{b}",
    "an image of {x}{b}",
    "a drawing of {x}{b}",
    "an illustration of {x}{b}",
    "a photo of {x}{b}",
    "a painting of {x}{b}",
    "a collage of {x}{b}",
    "draw {x}{b}",
    "show {x}{b}",
    "show me {x}{b}",
    "paint {x}{b}",
    "create {x}{b}",
    "make a picture of {x}{b}",
    "please draw {x}{b}",
    "i want to see {x}{b}",
    "a scene with {x}{b}",
    "a canvas with {x}{b}",
    "just {x}{b}",
)

_DESCRIPTION_FRAMES = FRAMES[:8]

TWO: tuple[str, ...] = (
    "{x} and {y}",
    "{x} with {y}",
    "{x} and also {y}",
    "{x} together with {y}",
    "both {x} and {y}",
    "{x} plus {y}",
    "{x}, {y}",
    "{x} as well as {y}",
)

RELATIONS: dict[str, tuple[str, ...]] = {
    "left of": ("to the left of", "left of", "on the left of", "on the left side of"),
    "right of": ("to the right of", "right of", "on the right of", "on the right side of"),
    "above": ("above", "over", "higher than", "somewhere above"),
    "below": ("below", "under", "lower than", "beneath"),
}

POSITION: tuple[str, ...] = (
    "{x} {r} {y}",
    "{x} placed {r} {y}",
    "{x} that {is} {r} {y}",
    "{y} with {x} {after}",
    "{y} and {x} {after}",
)

# A place in front leaves no room for a frame ("a picture of above a house ...").
FRONTED: tuple[str, ...] = ("{r} {y} there {is} {x}{b}", "{r} {y} {is} {x}{b}", "{r} {y} you see {x}{b}")

AFTER: dict[str, tuple[str, ...]] = {
    "left of": ("to the left of {it}", "on the left of {it}"),
    "right of": ("to the right of {it}", "on the right of {it}"),
    "above": ("above {it}", "over {it}"),
    "below": ("below {it}", "under {it}"),
}

BACKGROUND: dict[str, tuple[str, ...]] = {
    "plain": (
        "on a {c} background",
        "against a {c} background",
        "on a plain {c} background",
        "with a {c} background",
    ),
    "gradient": ("on a {c} gradient", "on a soft {c} background", "on a {c} background"),
    "stripes": ("on a striped {c} background", "with {c} stripes behind", "on {c} stripes"),
    "dots": ("on a dotted {c} background", "with {c} dots behind", "on {c} dots"),
    "noise": ("on a cloudy {c} background", "on a textured {c} background", "on uneven {c}"),
}

PHOTO: tuple[str, ...] = ("in front of {c}", "with {c} behind", "on a photo of {c}", "before {c}")
"""Photos are named by their caption."""

SIZES: dict[str, tuple[str, ...]] = {"large": ("large", "big"), "small": ("small", "little", "tiny")}

EMPTY: tuple[str, ...] = ("an empty picture{b}", "nothing{b}", "an empty canvas{b}")

_DIGITS = 0.1
_FRONTED = 0.08


def write_prompt(
    plan: TextToImagePlan, background: BackgroundLook, say_background: bool, draws: Draws
) -> str:
    """Word the prompt of a text-to-image sample.

    Args:
        plan: What the words must say.
        background: What is behind.
        say_background: Whether to name the background.
        draws: Stream of the words.
    """
    behind = background_phrase(background, draws) if say_background else ""
    digits = draws.chance(_DIGITS)
    if plan.form == "text" and plan.predicate is None:
        phrase = written_phrase(plan.groups, on_plate=plan.on_plate, behind=behind, draws=draws)
        return finish(phrase, draws)
    nouns = [_noun(group, digits, draws) for group in plan.groups]
    if plan.predicate is not None:
        fronted = draws.chance(_FRONTED)
        content = _position(
            plan.groups, nouns, plan.predicate, FRONTED if fronted else POSITION, behind, draws
        )
        if fronted:
            return finish(content, draws)
    elif len(nouns) == 2:
        content = pick_phrase(TWO, draws).format(x=nouns[0], y=nouns[1])
    else:
        content = _listed(nouns)
    return finish(pick_phrase(FRAMES, draws).format(x=content, b=behind), draws)


def describe(scene: Scene, draws: Draws, *, say_background: bool) -> str:
    """Name everything in a scene with its number and colour."""
    behind = background_phrase(scene.background, draws) if say_background else ""
    counts: dict[tuple[str, str, str | None], int] = {}
    for item in scene.placed:
        key = (item.thing.kind, item.thing.name, item.thing.colour)
        counts[key] = counts.get(key, 0) + 1
    nouns = [
        f'the text "{name}" in {colour}' if kind == "text" else counted(count, name, colour)
        for (kind, name, colour), count in counts.items()
    ]
    if not nouns and scene.background.style == "photo":
        return finish(scene.background.caption or "a photo", draws)
    if not nouns:
        return finish(pick_phrase(EMPTY, draws).format(b=behind), draws)
    return finish(pick_phrase(_DESCRIPTION_FRAMES, draws).format(x=_listed(nouns), b=behind), draws)


def caption_templates() -> Iterator[str]:
    """List every template, for the corpus of a tokenizer."""
    yield from (*FRAMES, *TWO, *POSITION, *FRONTED, *EMPTY)
    for bank in (RELATIONS, AFTER, BACKGROUND):
        for phrases in bank.values():
            yield from phrases


def shape_templates() -> Iterator[str]:
    """List what is said of shapes alone: how large they are, and their place on the canvas."""
    for bank in (SIZES, WHERE):
        for phrases in bank.values():
            yield from phrases


def _noun(group: Group, digits: bool, draws: Draws) -> str:
    if group.thing.kind == "text":
        return written_noun(group, draws)
    colour = group.thing.colour if group.say_colour else None
    if group.size:
        colour = f"{pick_phrase(SIZES[group.size], draws)} {colour or ''}".strip()
    noun = counted(group.count, group.thing.name, colour, digits=digits)
    return noun if group.location is None else f"{noun} {pick_phrase(WHERE[group.location], draws)}"


def _position(
    groups: Sequence[Group],
    nouns: Sequence[str],
    predicate: str,
    bank: Sequence[str],
    behind: str,
    draws: Draws,
) -> str:
    phrase = pick_phrase(bank, draws)
    relation = pick_phrase(RELATIONS[predicate], draws)
    after = pick_phrase(AFTER[predicate], draws)
    return phrase.format(
        x=nouns[0],
        y=nouns[1],
        r=relation,
        b=behind,
        after=after.format(it="it" if groups[1].count == 1 else "them"),
        **{"is": "is" if groups[0].count == 1 else "are"},
    )


def background_phrase(look: BackgroundLook, draws: Draws) -> str:
    """Name a background, with a space in front: " on a cream background"; nothing where no words fit."""
    if look.style == "photo":
        return " " + pick_phrase(PHOTO, draws).format(c=look.caption) if look.caption else ""
    return " " + pick_phrase(BACKGROUND[look.style], draws).format(c=look.colour)


def _listed(nouns: Sequence[str]) -> str:
    return nouns[0] if len(nouns) == 1 else f"{', '.join(nouns[:-1])} and {nouns[-1]}"
