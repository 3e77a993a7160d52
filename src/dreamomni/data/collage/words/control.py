"""Instructions of control samples: what to show, and what of image 1 to follow."""

import itertools
from collections.abc import Iterator, Sequence

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.words.phrasing import finish, pick_phrase
from dreamomni.data.collage.words.references import join_words, list_things, locate, place_phrase
from dreamomni.tasks.conditioning import FOLLOWING_MAP, MAP_WORDS
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.sample import ObjectLabel

# {x} is the whole picture in words, {m} what the map shows. The first is the plain one.
CONTROL: tuple[str, ...] = (
    FOLLOWING_MAP,
    "{x}, following {m} of image 1",
    "{x}, with {m} of image 1",
    "{x}, guided by {m} of the image",
    "{x}, based on {m} of image 1",
    "{x}, with {m} taken from image 1",
    "draw {x}, following {m} of the image",
    "show {x}, keeping to {m} of image 1",
    "generate {x} from {m} of the image",
    "create {x} that matches {m} of image 1",
    "make a picture of {x} that fits {m} of the image",
    "use {m} of image 1 to draw {x}",
    "turn {m} of the image into {x}",
    "follow {m} of image 1 and show {x}",
    "keep {m} of the image and paint {x}",
    "from {m} of image 1, make {x}",
    "please draw {x} with {m} of the image",
    "can you paint {x} by {m} of image 1",
    "an image of {x}, with {m} as in image 1",
    "let {m} of image 1 become {x}",
)

MAPS: dict[str, tuple[str, ...]] = {kind: MAP_WORDS[kind] for kind in ("canny", "depth", "segmentation")}
"""Words for the maps that the engine makes; requests know more kinds."""

_SAY_PLACE = 0.3
_ROW_GAP = 0.08

DESCRIPTION: tuple[str, ...] = ("{x}", "a picture of {x}", "an image of {x}", "a scene with {x}")


def write_control(control: str, content: str, draws: Draws) -> str:
    """Word a control sample.

    Args:
        control: "canny", "depth" or "segmentation".
        content: Everything in the target, with its background.
        draws: Stream of the words.
    """
    phrase = pick_phrase(CONTROL, draws)
    return finish(phrase.format(x=content, m=pick_phrase(MAPS[control], draws)), draws)


def write_content(labels: Sequence[ObjectLabel], size: Size, draws: Draws) -> str | None:
    """Name everything in a picture so that no other picture has the same map and the same words.

    Things of one name in several colours look alike in a map, so the words say which is where.

    Args:
        labels: Everything in the picture.
        size: Canvas.
        draws: Stream of the words.

    Returns:
        The words, or None when things of one name stand in no clear order.
    """
    groups: dict[tuple[str, str], list[ObjectLabel]] = {}
    for label in labels:
        groups.setdefault((label.kind, label.name), []).append(label)
    plain, ordered = [], []
    for group in groups.values():
        if len({label.colour for label in group}) == 1:
            location = locate(group[0], size) if len(group) == 1 and draws.chance(_SAY_PLACE) else None
            plain.append(list_things(group) + (f" {place_phrase(location, draws)}" if location else ""))
        else:
            row = _in_a_row(group, size)
            if row is None:
                return None
            ordered.append(row)
    return ", and ".join([*([join_words(plain)] if plain else []), *ordered])


def _in_a_row(group: Sequence[ObjectLabel], size: Size) -> str | None:
    for axis, words in ((0, "from left to right"), (1, "from top to bottom")):
        row = sorted(group, key=lambda label: label.box.centre[axis])
        gaps = [b.box.centre[axis] - a.box.centre[axis] for a, b in itertools.pairwise(row)]
        if min(gaps) > _ROW_GAP * size[axis]:
            return f"{words} {join_words([list_things([label]) for label in row])}"
    return None


def describe_content(content: str, draws: Draws) -> str:
    """Word the caption of a picture whose content is given in words."""
    return finish(pick_phrase(DESCRIPTION, draws).format(x=content), draws)


def control_templates() -> Iterator[str]:
    """List every template, for the corpus of a tokenizer."""
    yield from (*CONTROL, *DESCRIPTION, "from left to right", "from top to bottom")
    for phrases in MAPS.values():
        yield from phrases
