"""Texts that use every word that a recipe can say."""

import re
from collections.abc import Iterator

from dreamomni.data.collage.recipe import EDIT_KINDS, CollageRecipe
from dreamomni.data.collage.words.captions import caption_templates
from dreamomni.data.collage.words.instructions import instruction_templates
from dreamomni.data.collage.words.lexicon import WRITTEN_WORDS, counted, definite, indefinite
from dreamomni.data.collage.words.phrasing import as_sentence
from dreamomni.data.collage.world import World

_FIELD = re.compile(r"\{\w+\}")


def coverage(recipe: CollageRecipe, world: World) -> Iterator[str]:
    """Yield short texts that together hold every word that prompts, captions and instructions may use."""
    kinds = {kind for kind, weight in recipe.mixture.items() if weight > 0}
    names = [*world.names, *(world.pool("shape") if "shapes" in kinds else ())]
    templates = [*caption_templates(), *(instruction_templates() if kinds & set(EDIT_KINDS) else ())]
    colour = next(iter(world.colours))
    for template in templates:
        for verb in ("is", "are") if "{is}" in template else ("",):
            text = _FIELD.sub(
                f"the {colour} {names[0]}", template.replace("{is}", verb).replace("{b}", "")
            ).strip()
            if text:
                yield text
                yield as_sentence(text)
    for name in names:
        for text in (indefinite(name), definite(name), counted(2, name), indefinite(name, colour)):
            yield text
            yield as_sentence(text)
    for other in world.colours:
        for text in (
            indefinite(names[0], other),
            definite(names[0], other),
            counted(2, names[0], other),
            other,
        ):
            yield text
            yield as_sentence(text)
    for count in range(2, 7):
        for digits in (False, True):
            text = counted(count, names[0], digits=digits)
            yield text
            yield as_sentence(text)
    for background in world.backgrounds:
        yield f"{indefinite(names[0])} on a {background} background"
        yield as_sentence(f"{indefinite(names[0])} on a {background} background")
    yield "it them"
    if "text" in kinds:
        for word in WRITTEN_WORDS:
            yield f'the text "{word}" "{word.upper()}" "{word.capitalize()}"'
