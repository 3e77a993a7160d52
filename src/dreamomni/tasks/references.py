"""How words name input images: "image_2", "image 2", "the second picture". No torch.

Users and language models write numbers in many ways, and "the image 3 times", "3 images of cats" and "the
third picture on the wall" are none of them. Only what cannot mean anything else counts as a name.
"""

import re
from typing import NamedTuple

from dreamomni.errors import RequestError

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_CARDINALS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_SHORT = ("1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th", "9th", "10th")
_NUMBERS = {
    word: number for words in (_ORDINALS, _CARDINALS, _SHORT) for number, word in enumerate(words, start=1)
}
_LARGEST_AFTER_THE = 9
_PICTURE = r"(?:image|img|picture|photo|figure)"
# A word that goes on about an image, so that the number before it cannot count what follows it.
_GOES_ON = (
    r"(?:is|are|was|has|and|or|but|to|with|in|into|on|onto|from|as|at|for|should|must|shows|while|"
    r"instead|next|behind|over|under|below|above|like)\b"
)
_UNITS = r"(?:times?|pixels?|px|percent|degrees?|steps?|shades?|stops?|inch(?:es)?|cm|mm|points?|more|by)\b"
_APART = rf"(?![\w%]|[.:,]\d|\s+{_UNITS}|\s+x\s)"
_BEFORE_OTHERS = re.compile(
    rf"\s*(?:\Z|['\u2019\")\],;!?]|[.:](?!\d)|-(?!\d)|{_GOES_ON})",
    re.IGNORECASE,
)
_TAG = re.compile(
    r"(?<![\w/])(?:image|img)[_#](\d{1,3})(?!\w)(?!\.(?:png|jpe?g|webp|gif|bmp)\b)", re.IGNORECASE | re.ASCII
)
_NUMBERED = re.compile(
    r"(?<!\w)(?<!\ba )(?<!\ban )(?<!\beach )(?<!\bthis )(?<!\bthat )(?<!\bevery )(?<!\bwhole )(?<!\bone )"
    rf"{_PICTURE}\s?[#-]?(\d{{1,3}}|(?<=\s)(?:{'|'.join(_CARDINALS)})){_APART}",
    re.IGNORECASE | re.ASCII,
)
_ORDINAL = re.compile(
    r"(?P<before>(?:(?<!\w)(?:in|from|of|like|as|than|by|with|to|on|into|onto|and|or)\s+|\A\s*|[.!?,:]\s+)"
    r"(?:the\s+)?)"
    rf"(?P<which>{'|'.join((*_ORDINALS, *_SHORT))})\s+{_PICTURE}(?!\w)"
    r"(?!\s+(?:on|of|in|at|from|hanging|above|below|frame|album|row|to the)\b)",
    re.IGNORECASE | re.ASCII,
)
_QUOTED = re.compile(r"\"[^\"]*\"|\u201c[^\u201d]*\u201d|(?<!\w)'[^']*'(?!\w)")


class ImageName(NamedTuple):
    """One place where a text names an input image.

    Attributes:
        start: Index of its first character.
        end: Index behind its last.
        number: Of the image; 1 is the first.
    """

    start: int
    end: int
    number: int


def image_names(text: str) -> list[ImageName]:
    """Every place where a text names an input image, in order and apart from each other.

    What stands in quotation marks is text to be written, and names nothing.
    """
    quoted = [match.span() for match in _QUOTED.finditer(text)]
    found = [ImageName(*match.span(), int(match[1])) for match in _TAG.finditer(text)]
    for match in _NUMBERED.finditer(text):
        number = _number(match[1])
        # "The image 2" is a name where nothing follows that two could count; a figure 8 is skated.
        is_counted = text[: match.start()].lower().endswith("the ") and (
            number > _LARGEST_AFTER_THE or not _BEFORE_OTHERS.match(text, match.end())
        )
        if not is_counted and match[0].lower() != "figure 8":
            found.append(ImageName(*match.span(), number))
    found += [
        ImageName(match.end("before"), match.end(), _number(match["which"]))
        for match in _ORDINAL.finditer(text)
    ]
    names: list[ImageName] = []
    for name in sorted(found):
        apart = not names or name.start >= names[-1].end
        if apart and not any(start <= name.start and name.end <= end for start, end in quoted):
            names.append(name)
    return names


def with_tags(text: str) -> str:
    """The text with every name of an image as its tag: "the second picture" becomes "image_2"."""
    parts, last = [], 0
    for name in image_names(text):
        tag, before = f"image_{name.number}", text[last : name.start]
        if text[name.start : name.end] != tag:
            # "The first image" is one name; "the image_1" would be none.
            before = re.sub(r"\bthe\s\Z", "", before, flags=re.IGNORECASE)
        parts += [before, tag]
        last = name.end
    return "".join([*parts, text[last:]])


def check_references(prompt: str, num_images: int) -> None:
    """Refuse a prompt that names an image which the request does not have.

    Args:
        prompt: The user's words.
        num_images: Input images of the request. Without any, only a tag such as `image_2` names one: "figure
            2" may be wanted in the picture.

    Raises:
        RequestError: The prompt names image 3 of 2, or image 0.
    """
    for name in image_names(prompt):
        if num_images == 0 and not _TAG.fullmatch(prompt[name.start : name.end]):
            continue
        if not 1 <= name.number <= num_images:
            said = prompt[name.start : name.end]
            have = {0: "no images", 1: "one image"}.get(num_images, f"{num_images} images")
            remedy = "images are counted from 1" if name.number == 0 else f"give image {name.number} as well"
            raise RequestError(
                f"the prompt speaks of {said!r}, but the request has {have}: {remedy}, or change the words"
            )


def _number(word: str) -> int:
    return int(word) if word.isdigit() else _NUMBERS[word.lower()]
