"""What users say who give several pictures: orderly, and as people really type (DreamOmni2, section 3.2).

Every phrase tells which picture is meant, in one of many ways; the loose banks also leave out verbs, name
nothing, and call pictures what they like.
"""

from collections.abc import Iterator, Sequence

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.words.phrasing import finish, pick_phrase

ORDINALS: tuple[str, ...] = ("first", "second", "third", "fourth", "fifth")

IMAGES: tuple[str, ...] = ("image {k}", "the {o} image")
LOOSE_IMAGES: tuple[str, ...] = (
    "the {o} picture",
    "Figure {k}",
    "the {o} photo",
    "picture {k}",
    "figure {k}",
    "photo {k}",
    "pic {k}",
    "the {o} one",
)
FROM: tuple[str, ...] = ("of", "in", "from")

# {i} is a picture with one of the words above.
NAMELESS: tuple[str, ...] = ("the thing {i}", "the object {i}", "the item {i}")
LOOSE_NAMELESS: tuple[str, ...] = ("that thing {i}", "that item {i}", "this thing {i}", "that object {i}")

# {t} is a thing with its picture, {m} a picture, {i} the same with a preposition, {d} a thing of image 1,
# {w} where something goes, with a space in front.
ORDERLY: dict[str, tuple[str, ...]] = {
    "reference_add": (
        "add {t}{w}",
        "put {t}{w}",
        "place {t}{w}",
        "insert {t}{w}",
        "draw {t}{w}",
        "include {t}{w}",
        "add {t} to image 1{w}",
        "please add {t}{w}",
        "can you add {t}{w}",
        "bring {t} into image 1{w}",
    ),
    "reference_replace": (
        "replace {d} with {t}",
        "change {d} into {t}",
        "swap {d} for {t}",
        "exchange {d} for {t}",
        "substitute {t} for {d}",
        "put {t} in place of {d}",
        "use {t} instead of {d}",
        "turn {d} into {t}",
        "please replace {d} with {t}",
        "can you replace {d} with {t}",
    ),
    "reference_colour": (
        "give {d} the color of {t}",
        "paint {d} in the color of {t}",
        "make {d} the same color as {t}",
        "change the color of {d} to that of {t}",
        "color {d} like {t}",
        "recolor {d} with the color of {t}",
        "{d} should have the color of {t}",
        "please give {d} the color of {t}",
        "can you paint {d} in the color of {t}",
        "match the color of {d} to {t}",
    ),
    "reference_pattern": (
        "give {d} the pattern of {t}",
        "make {d} have the same pattern as {t}",
        "fill {d} with the pattern of {t}",
        "put the pattern of {t} on {d}",
        "{d} should have the pattern of {t}",
        "use the pattern of {t} for {d}",
        "apply the pattern of {t} to {d}",
        "please give {d} the pattern of {t}",
        "can you give {d} the same pattern as {t}",
        "copy the pattern of {t} onto {d}",
    ),
    "reference_style": (
        "draw {d} in the style of {t}",
        "give {d} the style of {t}",
        "make {d} have the same style as {t}",
        "apply the style of {t} to {d}",
        "{d} should have the style of {t}",
        "redraw {d} in the style of {t}",
        "change the style of {d} to that of {t}",
        "please draw {d} in the style of {t}",
        "can you give {d} the same style as {t}",
        "use the style of {t} for {d}",
    ),
    "reference_background": (
        "change the background to that {i}",
        "use the background {i}",
        "give image 1 the background {i}",
        "replace the background with the one {i}",
        "put everything on the background {i}",
        "the background should be the one {i}",
        "make the background the same as in {m}",
        "please use the background {i}",
        "can you take the background {i}",
        "set the background to the one {i}",
    ),
    "reference_font": (
        "write {d} in the font {i}",
        "change the font of {d} to that {i}",
        "use the font {i} for {d}",
        "give {d} the font {i}",
        "make {d} have the same font as the text {i}",
        "set {d} in the font {i}",
        "{d} should have the font {i}",
        "please write {d} in the font {i}",
        "can you write {d} in the letters {i}",
        "apply the font {i} to {d}",
    ),
}
LOOSE: dict[str, tuple[str, ...]] = {
    "reference_add": (
        "i want {t} here{w}",
        "{t}, put it{w} please",
        "take {t} and put it here{w}",
        "this needs {t}{w}",
        "i like {t}, add it{w}",
        "can {t} be here too{w}",
        "{t} should be in my picture{w}",
        "copy {t} into my picture{w}",
        "same picture but with {t}{w}",
        "how about {t}{w}",
    ),
    "reference_replace": (
        "i do not like {d}, i want {t} there",
        "not {d} but {t}",
        "instead of {d} {t} please",
        "{d} must go, put {t} there",
        "get rid of {d} and use {t}",
        "where {d} {is} i want {t}",
        "take {t} and put it where {d} {is}",
        "{t} looks better than {d}, swap them",
        "can {d} be {t}",
        "same picture but with {t} instead of {d}",
    ),
    "reference_colour": (
        "make {d} like {t}, i mean the color",
        "i want {d} in the same color as {t}",
        "see {t}? that color for {d}",
        "same color as {t} for {d} please",
        "{d} but in the color of {t}",
        "i like how {t} is colored, do that to {d}",
        "the color of {t} would look good on {d}",
        "let {d} look like {t} in color",
        "can {d} be colored like {t}",
        "{t} has the right color for {d}",
    ),
    "reference_pattern": (
        "make {d} like {t}, i mean the pattern",
        "i want {d} with the same pattern as {t}",
        "see {t}? that pattern for {d}",
        "same pattern as {t} on {d} please",
        "{d} but patterned like {t}",
        "the pattern of {t} would look good on {d}",
        "i like the pattern of {t}, do that to {d}",
        "can {d} be patterned like {t}",
    ),
    "reference_style": (
        "make {d} like {t}, i mean how it is drawn",
        "i want {d} drawn like {t}",
        "see {t}? draw {d} that way",
        "same style as {t} for {d} please",
        "{d} but drawn like {t}",
        "i like how {t} is drawn, do that to {d}",
        "can {d} be drawn like {t}",
        "let {d} look drawn like {t}",
    ),
    "reference_background": (
        "make it look like {m} behind",
        "i want the background {i} here",
        "same background as in {m} please",
        "my picture but on the background {i}",
        "i like the background {i}, use it",
        "can it all be on the background {i}",
        "the background {i} looks better, take that",
        "put my picture on what is behind in {m}",
    ),
    "reference_font": (
        "make {d} look like the letters {i}",
        "i want {d} in the font {i}",
        "same font as in {m} for {d} please",
        "i like the letters {i}, write {d} like that",
        "{d} but in the font {i}",
        "can {d} be written like in {m}",
    ),
}

# {a} and {c} are things with their pictures, {b} a background with a space in front, {r} a relation.
SCENES: tuple[str, ...] = (
    "place {s}{b}",
    "a picture of {s}{b}",
    "show {s}{b}",
    "put {s}{b}",
    "draw {s}{b}",
    "create an image of {s}{b}",
    "make a picture with {s}{b}",
    "generate {s}{b}",
    "please show {s}{b}",
    "{s}{b}",
)
LOOSE_SCENES: tuple[str, ...] = (
    "i want {s} together{b}",
    "can i have {s}{b}",
    "take {s} and make a picture of it{b}",
    "something with {s}{b}",
    "combine {s}{b}",
    "{s} please{b}",
)
SCENE_GROUNDS: tuple[str, ...] = (
    " on the background {i}",
    " in front of the background {i}",
    " with the background {i}",
    " against the background {i}",
)
COLOURED: tuple[str, ...] = (
    "draw {a} in the color of {c}{b}",
    "show {a} in the color of {c}{b}",
    "a picture of {a} in the color of {c}{b}",
    "{a} with the color of {c}{b}",
    "make a picture of {a} colored like {c}{b}",
    "generate {a} in the same color as {c}{b}",
    "create an image of {a} with the color of {c}{b}",
    "paint {a} in the color of {c}{b}",
    "please draw {a} in the color of {c}{b}",
    "{a} in the color of {c}{b}",
)
LOOSE_COLOURED: tuple[str, ...] = (
    "i want {a} but colored like {c}{b}",
    "can i see {a} in the color of {c}{b}",
    "take {a} and give it the color of {c}{b}",
    "{a}, same color as {c}{b}",
    "what would {a} look like in the color of {c}{b}",
    "something like {a} but with the color of {c}{b}",
)

_JOINTS = (" and ", ", and ", ". then ", ", then ")


def picture_noun(image: int, loose: bool, draws: Draws) -> str:
    """Call a picture by its number: "image 2", "the second picture".

    Args:
        image: Its number from 1.
        loose: Whether people say it as they like.
        draws: Stream of the words.
    """
    return pick_phrase(LOOSE_IMAGES if loose else IMAGES, draws).format(k=image, o=ORDINALS[image - 1])


def image_phrase(image: int, loose: bool, draws: Draws) -> str:
    """The same with a preposition: "of image 2"."""
    return f"{pick_phrase(FROM, draws)} {picture_noun(image, loose, draws)}"


def thing_phrase(noun: str, image: int, loose: bool, draws: Draws) -> str:
    """Say which thing of which picture: "the star of image 2"; without a noun "that thing in image 2"."""
    where = image_phrase(image, loose, draws)
    if noun:
        return f"{noun} {where}"
    return pick_phrase(LOOSE_NAMELESS if loose else NAMELESS, draws).format(i=where)


def write_reference_edit(kind: str, clauses: Sequence[dict[str, str]], loose: bool, draws: Draws) -> str:
    """Word an edit with references.

    Args:
        kind: One of the kinds with banks above.
        clauses: What goes into the template of each clause.
        loose: Whether the words are as people type.
        draws: Stream of the words.
    """
    bank = (LOOSE if loose else ORDERLY)[kind]
    parts = [pick_phrase(bank, draws).format(**fields) for fields in clauses]
    return finish(draws.pick(_JOINTS).join(parts) if len(parts) > 1 else parts[0], draws)


def write_scene(things: str, behind: str, loose: bool, draws: Draws) -> str:
    """Word a picture of things out of references."""
    bank = LOOSE_SCENES if loose else SCENES
    return finish(pick_phrase(bank, draws).format(s=things, b=behind), draws)


def write_coloured(thing: str, colour: str, behind: str, loose: bool, draws: Draws) -> str:
    """Word a picture of a thing in the colour of another."""
    bank = LOOSE_COLOURED if loose else COLOURED
    return finish(pick_phrase(bank, draws).format(a=thing, c=colour, b=behind), draws)


def multi_reference_templates() -> Iterator[str]:
    """List every template, for the corpus of a tokenizer."""
    yield from (*IMAGES, *LOOSE_IMAGES, *FROM, *NAMELESS, *LOOSE_NAMELESS, *ORDINALS)
    for bank in (*ORDERLY.values(), *LOOSE.values()):
        yield from bank
    yield from (*SCENES, *LOOSE_SCENES, *SCENE_GROUNDS, *COLOURED, *LOOSE_COLOURED, *_JOINTS)
    yield from (f"image {number} Figure {number}" for number in range(1, 6))
