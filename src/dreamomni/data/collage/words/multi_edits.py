"""Instructions with several edits in one."""

from collections.abc import Iterator, Sequence

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.words.lexicon import NUMBER_WORDS, is_or_are
from dreamomni.data.collage.words.phrasing import as_sentence, finish, pick_phrase

# Clauses that stand after each other; {x} is what comes, {d} what is there, {c} a colour, {w} a place.
CLAUSES: dict[str, tuple[str, ...]] = {
    "add": (
        "add {x}{w}",
        "put {x}{w}",
        "place {x}{w}",
        "draw {x}{w}",
        "insert {x}{w}",
        "paint {x}{w}",
        "include {x}{w}",
        "set {x}{w}",
        "bring in {x}{w}",
        "show {x}{w}",
    ),
    "remove": (
        "remove {d}",
        "delete {d}",
        "erase {d}",
        "take away {d}",
        "take out {d}",
        "get rid of {d}",
        "eliminate {d}",
        "wipe out {d}",
        "make {d} disappear",
        "drop {d}",
        "clear away {d}",
    ),
    "replace": (
        "replace {d} with {x}",
        "change {d} into {x}",
        "swap {d} for {x}",
        "turn {d} into {x}",
        "exchange {d} for {x}",
        "substitute {x} for {d}",
        "put {x} in place of {d}",
        "put {x} where {d} {is}",
        "use {x} instead of {d}",
        "transform {d} into {x}",
    ),
    "recolour": (
        "make {d} {c}",
        "paint {d} {c}",
        "color {d} {c}",
        "turn {d} {c}",
        "recolor {d} in {c}",
        "change the color of {d} to {c}",
        "set the color of {d} to {c}",
        "give {d} the color {c}",
        "repaint {d} in {c}",
        "dye {d} {c}",
    ),
}

# {e} the edits, {n} how many.
FRAMES: tuple[str, ...] = (
    "{e}",
    "please {e}",
    "can you {e}",
    "now {e}",
    "make {n} changes: {e}",
    "make these changes: {e}",
    "edit the picture: {e}",
    "do the following: {e}",
    "i want {n} edits: {e}",
    "in this picture, {e}",
    "here is what to change: {e}",
    "the picture needs {n} changes: {e}",
    "change the image like this: {e}",
    "{n} edits, please: {e}",
    "in one go, {e}",
)

# How clauses follow each other: between them, and before the last.
JOINS: tuple[tuple[str, str], ...] = (
    (", ", " and "),
    (", ", ", and "),
    (", ", ", then "),
    (", then ", ", and then "),
    ("; ", "; "),
    (", ", ", and also "),
    (", next ", ", finally "),
)

_SENTENCES = 0.3


def write_instructions(clauses: Sequence[str], draws: Draws) -> str:
    """Join edits, as one sentence or as one sentence each.

    Args:
        clauses: The edits, in order.
        draws: Stream of the words.
    """
    if draws.chance(_SENTENCES):
        return " ".join(as_sentence(clause) for clause in clauses)
    between, last = pick_phrase(JOINS, draws)
    edits = f"{between.join(clauses[:-1])}{last}{clauses[-1]}"
    return finish(pick_phrase(FRAMES, draws).format(e=edits, n=NUMBER_WORDS[len(clauses)]), draws)


def write_clause(operation: str, there: str, new: str, where: str, draws: Draws, *, name: str = "") -> str:
    """Word one edit.

    Args:
        operation: "add", "remove", "replace" or "recolour".
        there: The thing that is there ("the left star"), or nothing.
        new: What comes ("a red apple"), or the new colour, or nothing.
        where: Place of an addition, with a space in front, or nothing.
        draws: Stream of the words.
        name: What the thing that is there is called, for the verb that it takes.
    """
    bank = CLAUSES[operation]
    # Without a place, "put an apple" would be half a sentence.
    phrase = bank[0] if operation == "add" and not where else pick_phrase(bank, draws)
    return phrase.format(d=there, x=new, c=new, w=where, **{"is": is_or_are(name)})


def multi_edit_templates() -> Iterator[str]:
    """List every template, for the corpus of a tokenizer."""
    for bank in CLAUSES.values():
        yield from bank
    yield from FRAMES
    for between, last in JOINS:
        yield f"{{e}}{between}{{e}}{last}{{e}}"
    yield "make two three four changes"
