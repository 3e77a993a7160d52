"""Prompts that quote written words."""

from collections.abc import Iterator, Sequence

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.naming import article
from dreamomni.data.collage.scene_plans import Group
from dreamomni.data.collage.words.lexicon import indefinite
from dreamomni.data.collage.words.phrasing import pick_phrase

# {t} the words, {c} their colour, {k} their colour with what else is said of the letters, {a} its article.
TEXT: tuple[str, ...] = (
    'the text "{t}" in {c}{b}',
    '"{t}" written in {c}{b}',
    'the words "{t}" in {k} letters{b}',
    '{k} text that says "{t}"{b}',
    '{k} letters that spell "{t}"{b}',
    'write "{t}" in {c}{b}',
    'a sign that says "{t}" in {c}{b}',
    '{a} {k} title "{t}"{b}',
    'the {k} text "{t}"{b}',
    'please write "{t}" in {k} letters{b}',
    'print "{t}" in {c}{b}',
    'text "{t}", color {c}{b}',
    'a picture of the text "{t}" in {c}{b}',
    '"{t}" in {k} letters{b}',
    'the writing "{t}" in {c}{b}',
    'show "{t}" in {k} writing{b}',
    'an image that reads "{t}" in {k} letters{b}',
    'lettering "{t}" in {c}{b}',
)

# {p} is the plate: "a red sign", "a red circle".
PLATE: tuple[str, ...] = (
    '{p} with the text "{t}" in {c}{b}',
    '{p} saying "{t}" in {c}{b}',
    '{p} that says "{t}" in {c}{b}',
    '{p} that says "{t}" in {k} letters{b}',
    '{p} with {k} letters that spell "{t}"{b}',
    '{p} with "{t}" written on it in {c}{b}',
    '{p} that reads "{t}" in {c}{b}',
    'the text "{t}" in {c} on {p}{b}',
    '"{t}" in {k} letters on {p}{b}',
    'the words "{t}" in {c} on {p}{b}',
    'write "{t}" in {c} on {p}{b}',
    'draw {p} that says "{t}" in {c}{b}',
    'a picture of {p} with the words "{t}" in {c}{b}',
    'show {p} with {k} text "{t}"{b}',
    'an image of {p}, and on it "{t}" in {c}{b}',
)

# As a noun in other sentences.
NOUNS: tuple[str, ...] = (
    'the text "{t}" in {c}',
    'the words "{t}" in {c}',
    '"{t}" in {k} letters',
    'the {k} text "{t}"',
    '{k} letters that spell "{t}"',
    '{a} {k} text "{t}"',
)

STRENGTHS: dict[str, str] = {
    "bold": "bold",
    "bold-narrow": "bold narrow",
    "bold-slanted": "bold slanted",
    "bold-wide": "bold wide",
    "heavy": "heavy",
    "narrow": "narrow",
    "slanted": "slanted",
    "wide": "wide",
}
"""What is said of letters in a font; nothing of those that are not listed."""

_SAY_STRENGTH = 0.4
_SIGNS = ("rectangle", "square", "oval")
_SAY_SIGN = 0.5


def written_phrase(groups: Sequence[Group], *, on_plate: bool, behind: str, draws: Draws) -> str:
    """Word a picture of written words alone, or on a plate.

    Args:
        groups: The words, and the plate if there is one.
        on_plate: Whether they stand on it.
        behind: The background (" on a cream background"), or nothing.
        draws: Stream of the words.
    """
    if not on_plate:
        return _filled(pick_phrase(TEXT, draws), groups[0], draws, b=behind)
    plate = groups[1].thing
    sign = plate.name in _SIGNS and draws.chance(_SAY_SIGN)
    noun = indefinite("sign" if sign else plate.name, plate.colour)
    return _filled(pick_phrase(PLATE, draws), groups[0], draws, p=noun, b=behind)


def written_noun(group: Group, draws: Draws) -> str:
    """Written words as a noun: the text "hello" in red."""
    return _filled(pick_phrase(NOUNS, draws), group, draws)


def written_templates() -> Iterator[str]:
    """List every template, for the corpus of a tokenizer."""
    yield from (*TEXT, *PLATE, *NOUNS)
    yield from STRENGTHS.values()
    yield "a sign an an"


def _filled(template: str, group: Group, draws: Draws, **more: str) -> str:
    colour = group.thing.colour or ""
    strength = STRENGTHS.get(group.font, "") if draws.chance(_SAY_STRENGTH) else ""
    kept = f"{strength} {colour}".strip()
    return template.format(t=group.thing.name, c=colour, k=kept, a=article("text", kept), **more)
