"""The standard form of a request with references: one sentence for one set of facts (DreamOmni2, 3.2).

The model is trained on it, and a rewriter learns to turn whatever a user says into it. So it names what the
pictures show, marks every picture as image_N, and leaves nothing to chance.
"""

from collections.abc import Iterator, Sequence

from dreamomni.data.collage.scene import BackgroundLook
from dreamomni.data.collage.words.lexicon import bare, indefinite
from dreamomni.data.collage.words.places import WHERE
from dreamomni.tasks.sample import ObjectLabel

_RELATIONS = {"left of": "to the left of", "right of": "to the right of", "above": "above", "below": "below"}
_EDITS: dict[str, str] = {
    "reference_add": "Add {t} to image_1{w}.",
    "reference_replace": "Replace {d} in image_1 with {t}.",
    "reference_colour": "Change the color of {d} in image_1 to the {v} of {c}.",
    "reference_pattern": "Give {d} in image_1 the {v} of {c}.",
    "reference_style": "Draw {d} in image_1 in the {v} style of {c}.",
    "reference_background": "Change the background of image_1 to {v} of image_{k}.",
    "reference_font": "Write {d} in image_1 in the {v} font of image_{k}.",
}
_GROUNDS = {
    "plain": "the {c} background",
    "gradient": "the {c} gradient",
    "stripes": "the striped {c} background",
    "dots": "the dotted {c} background",
    "noise": "the cloudy {c} background",
    "photo": "the photo",
}


def tag(noun: str, image: int) -> str:
    """A thing and the picture that shows it: "the red star (image_2)"."""
    return f"{noun} (image_{image})"


def name_of(label: ObjectLabel) -> str:
    """A thing with its colour: "the red star", or the words that it is."""
    if label.kind == "text":
        return f'the text "{label.name}"'
    return f"the {bare(label.name, label.colour)}"


def place_words(predicate: str | None, anchor: str, location: str | None) -> str:
    """Where something goes, with a comma in front: ", to the left of the blue house"; or nothing."""
    if predicate is not None:
        return f", {_RELATIONS[predicate]} {anchor}"
    return f", {WHERE[location][0]}" if location is not None else ""


def ground_words(look: BackgroundLook) -> str:
    """A background as a noun: "the cream background"."""
    return _GROUNDS[look.style].format(c=look.colour)


def standard_edit_words(kind: str, clauses: Sequence[dict[str, str]]) -> str:
    """The instruction of an edit in the standard form, a sentence for each reference that is used.

    Args:
        kind: One of the kinds of edits with references.
        clauses: {t} what comes, tagged; {d} the thing of image 1; {c} what has the value {v}, tagged; {k} the
            number of the image; {w} where.
    """
    return " ".join(_EDITS[kind].format(**fields) for fields in clauses)


def standard_caption(labels: Sequence[ObjectLabel], look: BackgroundLook, values: dict[int, str]) -> str:
    """What a picture shows, everything with its colour, and with what was given to it.

    Args:
        labels: Everything in the picture.
        look: Its background.
        values: By instance number, words like "in the outline style".
    """
    nouns = []
    for label in labels:
        noun = f'the text "{label.name}" in {label.colour}' if label.kind == "text" else ""
        noun = noun or indefinite(label.name, label.colour)
        nouns.append(f"{noun} {values[label.instance_id]}" if label.instance_id in values else noun)
    listed = _listed(nouns) if nouns else "Nothing"
    ground = ground_words(look).replace("the ", "a ", 1)
    return f"{listed[0].upper()}{listed[1:]} on {ground}."


def standard_scene(nouns: Sequence[str], predicate: str | None, behind: str) -> str:
    """A picture of references in the standard form: "A red star (image_1) to the left of ..., on ..."."""
    if predicate is not None and len(nouns) == 2:
        text = f"{nouns[0]} {_RELATIONS[predicate]} {nouns[1]}"
    else:
        text = _listed(list(nouns))
    return f"{text[0].upper()}{text[1:]}, on {behind}."


def standard_templates() -> Iterator[str]:
    """List every template, for the corpus of a tokenizer."""
    yield from (*_EDITS.values(), *_RELATIONS.values(), *_GROUNDS.values())
    yield from (f"image_{number} (image_{number})," for number in range(1, 6))
    yield "stripes dots checks outline border neon pattern style font. with in color a cream background on"


def _listed(nouns: Sequence[str]) -> str:
    return nouns[0] if len(nouns) == 1 else f"{', '.join(nouns[:-1])} and {nouns[-1]}"
