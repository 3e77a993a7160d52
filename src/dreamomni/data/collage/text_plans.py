"""What text samples write, in which letters, and what stands with the words (section 3.2, T2I)."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.held_out import colour_combination
from dreamomni.data.collage.labels import Predicate
from dreamomni.data.collage.options.text_to_image import TextToImageOptions
from dreamomni.data.collage.palette import RGB
from dreamomni.data.collage.scene import Thing, ThingKind
from dreamomni.data.collage.scene_plans import Group, TextToImagePlan
from dreamomni.data.collage.words.written import LETTERS, MORE_WORDS, PHRASES, WRITTEN_WORDS
from dreamomni.data.collage.world import World

PLATES: tuple[str, ...] = ("rectangle", "rectangle", "oval", "circle", "square")
"""Shapes that words may stand on."""

_READABLE = 60.0
"""Smallest difference of brightness (of 255) between letters and what they stand on."""
# Lines of text are wide: there is seldom room beside them.
_PREDICATES: Mapping[Predicate, float] = {"above": 0.4, "below": 0.4, "left of": 0.1, "right of": 0.1}


def plan_text(world: World, background: str, draws: Draws) -> TextToImagePlan | None:
    """Decide what a text sample shows.

    Written words are no things of the world, so no colour of theirs is held out; what stands with them is.

    Args:
        world: Things, colours, fonts and held-out combinations.
        background: Name of the background colour.
        draws: Stream of the things.

    Returns:
        The plan, or None when the draw led nowhere (the caller draws again from a new stream).
    """
    options = world.recipe.text_to_image
    lines = _draw_lines(options, draws)
    font = draws.pick(world.fonts)
    style = draws.weighted(options.text_with)
    if style == "plate":
        plate = _draw_plate(world, background, draws)
        if plate is None or plate.colour is None:
            return None
        ground = world.colours[plate.colour]
        inks = [name for name, rgb in world.colours.items() if abs(_luma(rgb) - _luma(ground)) >= _READABLE]
        if not inks:
            return None
        words = _words(lines, draws.pick(inks), font)
        return TextToImagePlan("text", (words, Group(plate)), on_plate=True)
    words = _words(lines, draws.pick(world.visible_on(background)), font)
    if style == "alone":
        return TextToImagePlan("text", (words,))
    kind: ThingKind = "shape" if style == "shape" else "sticker"
    other = world.draw_thing(draws.pick(world.pool(kind)), background, draws, kind=kind)
    if other is None:
        return None
    predicate: Predicate = draws.weighted(_PREDICATES)
    return TextToImagePlan("text", (words, Group(other)), predicate)


def _words(lines: Sequence[str], colour: str, font: str) -> Group:
    return Group(Thing(" ".join(lines), colour, "text"), font=font, lines=tuple(lines))


def _draw_plate(world: World, background: str, draws: Draws) -> Thing | None:
    name = draws.pick(PLATES)
    colours = [c for c in world.visible_on(background) if not world.is_out(colour_combination(name, c))]
    return Thing(name, draws.pick(colours), "shape") if colours else None


def _luma(rgb: RGB) -> float:
    return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]


def _draw_lines(options: TextToImageOptions, draws: Draws) -> list[str]:
    """Words or a phrase, in one case, broken into lines of whole words."""
    if draws.chance(options.text_random):
        return ["".join(draws.pick(LETTERS) for _ in range(draws.integer(3, 8)))]
    if draws.chance(options.text_phrases):
        words = draws.pick(PHRASES).split()
    else:
        bank = (*WRITTEN_WORDS, *MORE_WORDS)
        words = [draws.pick(bank) for _ in range(draws.weighted(options.text_words))]
    case = draws.pick((str.lower, str.upper, str.capitalize, str.title))
    words = case(" ".join(words)).split()
    num_lines = min(draws.weighted(options.text_lines), len(words))
    # Lines take equally many words, as nearly as can be.
    edges = [round(len(words) * line / num_lines) for line in range(num_lines + 1)]
    return [" ".join(words[start:end]) for start, end in pairwise(edges)]
