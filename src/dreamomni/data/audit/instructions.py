"""Checks of what instructions point at, and of what they ask for."""

import re
from collections import Counter
from collections.abc import Iterator

import numpy as np

from dreamomni.data.audit.check import Check
from dreamomni.data.audit.drags import dragged
from dreamomni.data.audit.facts import MARKS, Facts
from dreamomni.data.audit.nouns import NUMBERS
from dreamomni.data.audit.referents import meant, referents
from dreamomni.data.audit.sentences import Sentence

POINTING = frozenset({"edit", "drag", "segment", "detect"})
"""Tasks whose instruction points at things of image 1."""
_COUNTED = re.compile(rf"\b({'|'.join(NUMBERS)}|\d+) (?:edits|changes|steps|operations)\b")
_AMOUNT = re.compile(r"\bby a factor of (\d+(?:\.\d+)?)|\bby (\d+(?:\.\d+)?) degrees")
_TURNED = {"clockwise": 1, "counterclockwise": -1, "counter-clockwise": -1, "anticlockwise": -1}
_STEPS = {
    "right": (1, 0),
    "rightwards": (1, 0),
    "left": (-1, 0),
    "leftwards": (-1, 0),
    "up": (0, -1),
    "upwards": (0, -1),
    "upper": (0, -1),
    "top": (0, -1),
    "down": (0, 1),
    "downwards": (0, 1),
    "lower": (0, 1),
    "bottom": (0, 1),
}
_BREAK = re.compile(r"[,;:.](?: |$)|\b(?:then|also)\b|\band (?!to the)")
"""Where one clause ends and the next begins: "up and to the right" is one."""
_WHERE = re.compile(r"\b(?:in|at|on|near) the \w+(?: (?:left|right|half|side|corner|part|in the middle))?")
_GROWS = re.compile(
    r"\b(?:larger|bigger|enlarge|scale up|magnify|grow|expand|blow up|increase|upscale|inflate)\b"
)
_SHRINKS = re.compile(r"\b(?:smaller|shrink|scale down|reduce|decrease|downscale|contract|tinier)\b")


def pointing(facts: Facts) -> Iterator[str]:
    """What the instruction points at with "the" is exactly one thing of image 1, or as many as it says."""
    text = facts.sample.instruction
    sentence = facts.read(text)
    for number, phrase in enumerate(sentence.phrases):
        if not phrase.definite:
            continue
        found = referents(facts.source, sentence, number)
        if not found or (phrase.count is not None and len(found) != phrase.count):
            yield f"{str(phrase)!r} means {len(found)} things of image 1, in {text!r}"


def pointed(facts: Facts) -> Iterator[str]:
    """What a task moves or marks is exactly what its words point at."""
    sample = facts.sample
    sentence = facts.read(sample.instruction)
    wanted = {drag.instance_id for drag in sample.drags}
    wanted |= {int(number) for record in facts.marks for number in record["instances"]}
    found = {label.instance_id for label in meant(facts.source, sentence)}
    if sample.task == "drag" and not sentence.phrases:
        return
    if sample.task == "edit":
        if not wanted <= found:
            yield f"the words mean instances {sorted(found)}, not {sorted(wanted)}: {sample.instruction!r}"
    elif found != wanted:
        yield f"the words mean instances {sorted(found)}, not {sorted(wanted)}: {sample.instruction!r}"


def edited(facts: Facts) -> Iterator[str]:
    """Labels before and after differ by just what the operations say."""
    if not facts.operations:
        yield "no operation is recorded"
    gone, come = _gone(facts), _come(facts)
    before = Counter((label.name, label.colour) for label in facts.source.labels)
    after = Counter((label.name, label.colour) for label in facts.unmarked.labels)
    if before - after != gone - come or after - before != come - gone:
        yield (
            f"recorded: {_list(gone)} goes, {_list(come)} comes; "
            f"seen: {_list(before - after)} goes, {_list(after - before)} comes"
        )


def edit_said(facts: Facts) -> Iterator[str]:
    """The words of an edit name what comes and point at what goes, and nothing else."""
    text = facts.sample.instruction
    sentence = facts.read(text)
    new = [phrase for phrase in sentence.phrases if phrase.new]
    recoloured = Counter(one.added for one in facts.operations if one.operation == "recolour" and one.added)
    for name, colour in recoloured:
        if colour not in sentence.loose_colours:
            yield f"the {name} becomes {colour}, which the words do not say: {text!r}"
    come = _come(facts) - recoloured
    for name, colour in come:
        if not any(phrase.name == name and phrase.colour in (None, colour) for phrase in new):
            yield f"a {colour} {name} comes, which the words do not say: {text!r}"
    if sum(phrase.count or 0 for phrase in new) != sum(come.values()):
        yield f"the words bring {[str(one) for one in new]}, but {_list(come)} comes: {text!r}"
    left = set(facts.source.by_id) - set(facts.target.by_id)
    missed = (left | facts.recoloured) - {label.instance_id for label in meant(facts.source, sentence)}
    if missed:
        names = ", ".join(facts.source.by_id[number].name for number in sorted(missed))
        yield f"the words do not point at what changes ({names}): {text!r}"
    for match in _COUNTED.finditer(text.lower()):
        said = NUMBERS[match[1]] if match[1] in NUMBERS else int(match[1])
        if said != len(facts.operations):
            yield f"the words promise {said} edits, there are {len(facts.operations)}: {text!r}"


def motions_said(facts: Facts) -> Iterator[str]:
    """Amounts and directions that words give to a drag are those of its matrix."""
    text = facts.sample.instruction
    sentence = facts.read(text)
    for record in facts.detail("transforms"):
        matrix = np.array(record["matrix"], float)
        number = int(record["instance_id"])
        for claim in sentence.claims:
            found = [label.instance_id for label in referents(facts.source, sentence, claim.subject)]
            if record["operation"] == "move" and claim.attached and found == [number]:
                thing = sentence.phrases[claim.subject].name
                yield f"where the {thing} is reads as where to move it: {text!r}"
        for verb, rest in _stretches(facts, sentence, text.lower(), number):
            for message in _motion_faults(record["operation"], matrix, verb, rest):
                yield f"{message}, in {text!r}"


def drawn_colour(facts: Facts) -> Iterator[str]:
    """The colour that a task draws with is said in the instruction."""
    said = Counter(facts.read(facts.sample.instruction).loose_colours)
    wanted = Counter(
        record["fill_colour" if record["operation"] == "segment" else "box_colour"] for record in facts.marks
    )
    wanted.update(one.added[1] for one in facts.operations if one.operation == "recolour" and one.added)
    if said != wanted:
        drawn = sorted(map(str, wanted))
        yield f"the words name {sorted(said)}, {drawn} is drawn: {facts.sample.instruction!r}"


def _gone(facts: Facts) -> Counter[tuple[str, str | None]]:
    return Counter(one.removed for one in facts.operations if one.removed)


def _come(facts: Facts) -> Counter[tuple[str, str | None]]:
    return Counter(one.added for one in facts.operations if one.added)


def _list(things: Counter[tuple[str, str | None]]) -> str:
    return ", ".join(f"{count} {colour} {name}" for (name, colour), count in things.items()) or "nothing"


def _stretches(facts: Facts, sentence: Sentence, text: str, instance_id: int) -> Iterator[tuple[str, str]]:
    """What stands before and after a thing in its own clause: the verb, and where to or how much."""
    attached = [claim for claim in sentence.claims if claim.attached and claim.object is not None]
    anchors = {claim.object for claim in attached}
    for number, phrase in enumerate(sentence.phrases):
        found = referents(facts.source, sentence, number)
        if number in anchors or [label.instance_id for label in found] != [instance_id]:
            continue
        own = [claim.object for claim in attached if claim.subject == number and claim.object is not None]
        after = max([phrase.end, *(sentence.phrases[anchor].end for anchor in own)])
        before = sentence.phrases[number - 1].end if number else 0
        breaks = [match.end() for match in _BREAK.finditer(sentence.text[: phrase.start])]
        stop = _BREAK.search(sentence.text[after:])
        ends = [later.start for later in sentence.phrases if later.start >= after]
        ends.append(len(text) if stop is None else after + stop.start())
        # "the star at the top" says which star, not where to.
        rest = _WHERE.sub("", text[after : min(ends)])
        yield text[max([before, *breaks]) : phrase.start], rest


def _motion_faults(operation: str, matrix: np.ndarray, verb: str, rest: str) -> Iterator[str]:
    factor = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    turn = float(np.degrees(np.arctan2(matrix[1, 0] - matrix[0, 1], matrix[0, 0] + matrix[1, 1])))
    words = re.findall(r"[a-z\-]+", rest)
    for match in _AMOUNT.finditer(rest):
        if match[1] is not None and abs(float(match[1]) - max(factor, 1 / factor)) > 0.05:
            yield f"a factor of {match[1]} is said, the matrix scales by {factor:.3f}"
        if match[2] is not None and abs(float(match[2]) - abs(turn)) > 1.5:
            yield f"{match[2]} degrees are said, the matrix turns by {turn:.1f}"
    if operation == "rotate":
        wrong = [word for word in words if _TURNED.get(word, 0) * turn < 0]
        yield from (f"{word!r} is said, the matrix turns by {turn:.1f} degrees clockwise" for word in wrong)
    elif operation == "scale":
        said = f"{verb}|{rest}"
        if (_GROWS.search(said) and factor < 1) or (_SHRINKS.search(said) and factor > 1):
            yield f"{said.strip()!r} is said, the matrix scales by {factor:.3f}"
    elif operation == "move":
        dx, dy = matrix[:, 2]
        steps = [_STEPS[word] for word in words if word in _STEPS]
        if any(x * dx + y * dy < 0 for x, y in steps):
            yield f"{rest.strip()!r} is said, the matrix moves by {dx:.0f}, {dy:.0f} pixels"


def _one_picture(facts: Facts) -> bool:
    """Whether the words speak of image 1 alone; `references` reads those of several pictures."""
    return not facts.with_references


CHECKS = (
    Check("clear references", pointing, POINTING, _one_picture),
    Check("marked as said", pointed, when=lambda facts: bool(facts.marks or facts.sample.drags)),
    Check("edited as recorded", edited, frozenset({"edit"})),
    Check("edited as said", edit_said, frozenset({"edit"}), _one_picture),
    Check("moved as said", motions_said, when=dragged),
    Check("colour of marks", drawn_colour, MARKS | {"edit"}, _one_picture),
)
