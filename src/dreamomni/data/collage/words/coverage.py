"""Texts that use every word that a recipe can say."""

import re
from collections.abc import Iterator

from dreamomni.data.collage.recipe import (
    COMBINED_KINDS,
    DRAG_KINDS,
    EDIT_KINDS,
    INPAINT_KINDS,
    MULTI_REFERENCE_KINDS,
    PERCEPTION_KINDS,
    REFERENCE_KINDS,
    CollageRecipe,
)
from dreamomni.data.collage.words.captions import PHOTO, caption_templates, shape_templates
from dreamomni.data.collage.words.combined import combined_templates
from dreamomni.data.collage.words.control import control_templates
from dreamomni.data.collage.words.descriptions import description_templates
from dreamomni.data.collage.words.drag import drag_templates
from dreamomni.data.collage.words.instructions import instruction_templates
from dreamomni.data.collage.words.lexicon import counted, definite, indefinite
from dreamomni.data.collage.words.multi_edits import multi_edit_templates
from dreamomni.data.collage.words.multi_reference import multi_reference_templates
from dreamomni.data.collage.words.perception import perception_templates
from dreamomni.data.collage.words.phrasing import as_sentence
from dreamomni.data.collage.words.references import reference_templates
from dreamomni.data.collage.words.standard import standard_templates
from dreamomni.data.collage.words.subject import subject_templates
from dreamomni.data.collage.words.written import MORE_WORDS, PHRASES, WRITTEN_WORDS
from dreamomni.data.collage.words.written_captions import written_templates
from dreamomni.data.collage.world import World

_FIELD = re.compile(r"\{\w+\}")
_ADJACENT = re.compile(r"([\w}])(?=\{)")


def coverage(recipe: CollageRecipe, world: World) -> Iterator[str]:
    """Yield short texts that together hold every word that prompts, captions and instructions may use."""
    kinds = _kinds_of(recipe)
    names = [*world.names, *(world.pool("shape") if "shapes" in kinds else ())]
    templates = [*caption_templates(), *(instruction_templates() if kinds & set(EDIT_KINDS) else ())]
    # Things are told from their like, and places are named, wherever words follow the picture.
    if kinds & {"multi_edit", *DRAG_KINDS, *REFERENCE_KINDS, *PERCEPTION_KINDS, *COMBINED_KINDS}:
        templates += [*reference_templates(), *instruction_templates()]
    if kinds & {"multi_edit", *COMBINED_KINDS}:
        templates += multi_edit_templates()
    if kinds & {*PERCEPTION_KINDS, *COMBINED_KINDS}:
        templates += perception_templates()
    if "description" in kinds:
        templates += description_templates()
    if kinds & set(REFERENCE_KINDS):
        templates += [*control_templates(), *subject_templates()]
    if kinds & {*DRAG_KINDS, *COMBINED_KINDS}:
        templates += [*drag_templates(), *combined_templates()]
    if kinds & set(MULTI_REFERENCE_KINDS):
        templates += [*reference_templates(), *instruction_templates()]
        templates += [*multi_reference_templates(), *standard_templates()]
    if recipe.edit.equal_twins or recipe.edit.say_where:
        templates += reference_templates()
    if "text" in kinds:
        templates += written_templates()
    if "shapes" in kinds:
        templates += shape_templates()
    if recipe.background_styles.get("photo", 0) > 0:
        templates += PHOTO
    templates = [_ADJACENT.sub(r"\1 ", template.replace("{b}", "")) for template in templates]
    colour = next(iter(world.colours))
    for template in templates:
        for verb in ("is", "are") if "{is}" in template else ("",):
            text = _FIELD.sub(f"the {colour} {names[0]}", template.replace("{is}", verb)).strip()
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
        phrases = " ".join(PHRASES).split()
        for word in dict.fromkeys((*WRITTEN_WORDS, *MORE_WORDS, *phrases)):
            yield f'the text "{word}" "{word.upper()}" "{word.capitalize()}"'


def _kinds_of(recipe: CollageRecipe) -> set[str]:
    """Kinds of the mixture, and the kinds of scenes that some of them are made from."""
    kinds: set[str] = {kind for kind, weight in recipe.mixture.items() if weight > 0}
    for users, bases in ((DRAG_KINDS, recipe.drag.bases), (INPAINT_KINDS, recipe.inpaint.bases)):
        if kinds & set(users):
            kinds |= {base for base, weight in bases.items() if weight > 0}
    if kinds & set(REFERENCE_KINDS) and recipe.reference.shapes > 0:
        kinds.add("shapes")
    return kinds
