"""The standard format of instructions (DreamOmni2 section 3.2): what a rewriter writes and the network reads.

An answer is `<gen> CONTENT </gen>`. For an edit, the content is `[instruction]: ..., [caption]: ...`: what to
do, and what the result shows. For a generation it is one description. Input images are named `image_1`,
`(image_2)`. Language models bend every part of this, so the parser mends what has one reading, says what it
mended, and lists the rest as problems. No torch.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal

from dreamomni.tasks.references import image_names, with_tags

EDIT_SUFFIX = " It is editing task."
GENERATE_SUFFIX = " It is generation task."
"""What the published rewriter was trained to see behind the user's words."""

OPENING = "<gen> "
CLOSING = " </gen>"
MAX_CONTENT_CHARACTERS = 4_000
"""Several times what the text encoders read (512 tokens): more is a model that does not stop."""

_MAX_LAYERS = 8

RewriteTask = Literal["edit", "generate"]

_TAG = re.compile(r"<\s*(/?)\s*gen\s*/?\s*>", re.IGNORECASE)
_CUT_TAG = re.compile(r"<\s*/?\s*(?:g(?:e(?:n\s*)?)?)?$", re.IGNORECASE)
_FENCE = re.compile(r"```[\w-]*")
_MARKER = re.compile(
    r"[*_]*\[\s*(instruction|caption)\s*:?\s*\][*_]*\s*:?[*_]*\s*"
    r"|(?:\A|(?<=\n)|(?<=,))\s*[*_]*(instruction|caption)[*_]*\s*:[*_]*\s*",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?](?=[\"')\]\u201d\u2019]*(?:\s|$))[\"')\]\u201d\u2019]*")


@dataclass(frozen=True, slots=True)
class ParsedAnswer:
    """What an answer says.

    Attributes:
        content: What the network reads; the empty string where nothing could be read.
        instruction: What to do, of an edit.
        caption: What the result shows: of an edit where the answer has it; the whole of a generation.
        problems: What cannot be mended, one sentence each; an answer with any is not to be used.
        repairs: What was mended.
    """

    content: str
    instruction: str | None = None
    caption: str | None = None
    problems: tuple[str, ...] = ()
    repairs: tuple[str, ...] = ()


def request_text(prompt: str, task: RewriteTask) -> str:
    """The words that a rewriter is asked with, behind the images."""
    return prompt + (EDIT_SUFFIX if task == "edit" else GENERATE_SUFFIX)


def standard_edit(instruction: str, caption: str | None) -> str:
    """Content for an edit; without a caption, the instruction alone.

    Raises:
        ValueError: A part is empty, or spells a tag or a marker of the format.
    """
    instruction = _field("instruction", _bare_instruction(instruction))
    start = f"[instruction]: {instruction}"
    return start if caption is None else f"{start}, [caption]: {_field('caption', _bare(caption))}"


def standard_generation(caption: str) -> str:
    """Content for a generation: the description alone.

    Raises:
        ValueError: It is empty, or spells a tag or a marker of the format.
    """
    return _field("caption", _bare(caption))


def wrap(content: str) -> str:
    """The answer that carries this content."""
    return f"{OPENING}{content}{CLOSING}"


def parse_answer(text: str, num_images: int, task: RewriteTask | None = None) -> ParsedAnswer:
    """Read an answer. Any text is taken; nothing is raised.

    Args:
        text: What the language model wrote.
        num_images: Input images that it was shown: other numbers in it are a problem.
        task: What was asked for. None goes by the answer's own form.
    """
    parsed = _parse(text, num_images, task)
    # What is left when one layer is mended may be bent itself: a marker within a marker, quotes in quotes.
    for _ in range(_MAX_LAYERS):
        if (
            parsed.problems
            or (again := _parse(wrap(parsed.content), num_images, task)).content == parsed.content
        ):
            return parsed
        parsed = replace(again, repairs=(*parsed.repairs, *again.repairs))
    return ParsedAnswer("", problems=("the answer is a tangle of markers",), repairs=parsed.repairs)


def _parse(text: str, num_images: int, task: RewriteTask | None) -> ParsedAnswer:
    reader = _Reader(text)
    body, cut = reader.body()
    if not body:
        return reader.refuse("the answer is empty")
    instruction, caption, rest = reader.fields(body)
    is_edit = task == "edit" or (task is None and (instruction is not None or caption is not None))
    if not reader.enveloped and instruction is None and caption is None:
        return reader.refuse("the answer has neither <gen> tags nor an [instruction]")
    if is_edit and instruction is None:
        if caption is not None:
            return reader.refuse("the answer has a caption but no instruction")
        instruction = rest
        reader.mended("its text, which has no markers, is taken as the instruction")
    if cut:
        instruction, caption, rest = reader.whole_sentences(instruction, caption, rest)
        if instruction is None and caption is None and rest is None:
            return reader.refuse("the answer ends in the middle of its first sentence")
    if is_edit and caption is None:
        reader.mended("it has no caption")
    if is_edit:
        instruction = _bare_instruction(reader.tags(instruction or ""))
        caption = None if caption is None else _bare(reader.tags(caption)) or None
        if not instruction:
            return reader.refuse("the instruction of the answer is empty")
        content = standard_edit(instruction, caption)
    else:
        if instruction is not None or caption is not None:
            reader.mended("it has the form of an edit")
            rest = ". ".join(part.strip().rstrip(".") for part in (instruction, caption) if part) + "."
        instruction, caption = None, _bare(reader.tags(rest or ""))
        if not caption:
            return reader.refuse("the answer is empty")
        content = caption
    return reader.result(content, instruction, caption, num_images)


class _Reader:
    """One reading of one answer: collects what is mended."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.repairs: list[str] = []
        self.enveloped = False

    def mended(self, what: str) -> None:
        self.repairs.append(what)

    def refuse(self, problem: str) -> ParsedAnswer:
        return ParsedAnswer("", problems=(problem,), repairs=tuple(self.repairs))

    def result(
        self, content: str, instruction: str | None, caption: str | None, num_images: int
    ) -> ParsedAnswer:
        problems = []
        outside = sorted({name.number for name in image_names(content) if not 1 <= name.number <= num_images})
        if outside:
            names = ", ".join(f"image_{number}" for number in outside)
            problems.append(f"the answer names {names}, but there are {num_images} images")
        if len(content) > MAX_CONTENT_CHARACTERS:
            problems.append(
                f"the answer has {len(content):,} characters, more than {MAX_CONTENT_CHARACTERS:,}"
            )
        if any(character == "\ufffd" or 0xD800 <= ord(character) < 0xE000 for character in content):
            problems.append("the answer has characters that are no text")
        if not self.repairs and self.text.strip() != wrap(content):
            self.mended("its markers and the marks around them put in order")
        return ParsedAnswer(content, instruction, caption, tuple(problems), tuple(self.repairs))

    def body(self) -> tuple[str, bool]:
        """What stands between the tags, and whether the answer seems to end before its end."""
        text = self.text.replace("\x00", " ")
        if _FENCE.search(text):
            text = _FENCE.sub("\n", text)
            self.mended("markdown fences left out")
        trimmed = _CUT_TAG.sub("", text.rstrip("\ufffd \t\r\n"))
        ended = len(trimmed) < len(text.rstrip("\ufffd \t\r\n"))
        text = trimmed if ended else text
        tags = list(_TAG.finditer(text))
        self.enveloped = bool(tags)
        edges = [0, *(edge for tag in tags for edge in tag.span()), len(text)]
        before = [None, *("close" if tag[1] else "open" for tag in tags)]
        after = [*before[1:], None]
        pieces = [text[edges[2 * index] : edges[2 * index + 1]] for index in range(len(before))]
        filled = [i for i, piece in enumerate(pieces) if _bare(piece)]
        # The best enclosed piece, and of equals the first.
        ranks = [
            [i for i in filled if before[i] == "open" and after[i] == "close"],
            [i for i in filled if before[i] == "open"],
            [i for i in filled if after[i] == "close"],
            [] if tags else filled,
        ]
        chosen = next((i for rank in ranks for i in rank), None)
        if chosen is None:
            return "", False
        if text.strip() != wrap(_bare(pieces[chosen])):
            self.mended("its <gen> tags, or words around them, put right")
        return _bare(pieces[chosen]), before[chosen] == "open" and after[chosen] is None and not ended

    def fields(self, body: str) -> tuple[str | None, str | None, str | None]:
        """Instruction and caption; where there is no marker, the rest alone."""
        markers = [match for match in _MARKER.finditer(body) if match[1]] or list(_MARKER.finditer(body))
        if not markers:
            return None, None, body
        if body[: markers[0].start()].strip():
            self.mended("words before its first marker left out")
        ends = [match.start() for match in markers[1:]] + [len(body)]
        found: dict[str, str] = {}
        for match, end in zip(markers, ends, strict=True):
            value = body[match.end() : end].strip()
            value = _bare(value.rstrip(",") if end < len(body) else value)
            if value:
                found.setdefault((match[1] or match[2]).lower(), value)
        if len(markers) > len(found):
            self.mended("a marker without words, or named twice, left out")
        return found.get("instruction"), found.get("caption"), None

    def whole_sentences(
        self, instruction: str | None, caption: str | None, rest: str | None
    ) -> tuple[str | None, str | None, str | None]:
        """Without the unfinished sentence at the end of whichever part comes last."""
        self.mended("it has no end, and its last sentence is left out unless it is whole")
        if caption is not None:
            return instruction, _sentences(caption), None
        if instruction is not None:
            return _sentences(instruction), None, None
        return None, None, _sentences(rest or "")

    def tags(self, text: str) -> str:
        tagged = with_tags(text)
        if tagged != text:
            self.mended("names of images written as tags")
        return tagged


def _sentences(text: str) -> str | None:
    """The text up to its last whole sentence, or None where none is whole."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    return text[: ends[-1]].strip() if ends else None


def _bare(text: str) -> str:
    """Without white space and marks of emphasis that enclose the whole."""
    while True:
        before = text = text.strip()
        for mark in ("**", "*", "`", '"'):
            inner = text[len(mark) : -len(mark)]
            encloses = text.startswith(mark) and text.endswith(mark) and len(text) > 2 * len(mark)
            if encloses and mark not in inner:
                text = inner.strip()
        if text == before:
            return text


def _bare_instruction(text: str) -> str:
    """The same, and without the stop at the end, which a comma follows."""
    while (shorter := _bare(text).rstrip(".,; ")) != text:
        text = shorter
    return text


def _field(name: str, value: str) -> str:
    value = value.strip()
    if not value:
        raise ValueError(f"the {name} is empty")
    if _TAG.search(value) or re.search(r"\[\s*(?:instruction|caption)\s*:?\s*\]", value, re.IGNORECASE):
        raise ValueError(f"the {name} spells a tag of the standard format: {value!r}")
    return value
