"""Instructions of edit samples."""

from collections.abc import Iterator

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.edit_plans import EditPlan
from dreamomni.data.collage.words.captions import RELATIONS
from dreamomni.data.collage.words.lexicon import indefinite, is_or_are
from dreamomni.data.collage.words.phrasing import finish, pick_phrase
from dreamomni.data.collage.words.places import WHERE

ADD: tuple[str, ...] = (
    "add {x}{where}",
    "put {x}{where}",
    "place {x}{where}",
    "draw {x}{where}",
    "insert {x}{where}",
    "include {x}{where}",
    "paint {x}{where}",
    "please add {x}{where}",
    "now add {x}{where}",
    "also add {x}{where}",
    "can you add {x}{where}",
    "i want {x}{where}",
    "there should be {x}{where}",
    "let there be {x}{where}",
    "the picture needs {x}{where}",
)

REMOVE: tuple[str, ...] = (
    "remove {d}",
    "delete {d}",
    "erase {d}",
    "take away {d}",
    "take out {d}",
    "get rid of {d}",
    "please remove {d}",
    "can you remove {d}",
    "remove {d} from the picture",
    "delete {d} from the image",
    "make {d} disappear",
    "make {d} go away",
    "wipe out {d}",
    "{d} should be gone",
    "i do not want {d}",
    "drop {d}",
)

REPLACE: tuple[str, ...] = (
    "replace {d} with {x}",
    "change {d} into {x}",
    "change {d} to {x}",
    "swap {d} for {x}",
    "turn {d} into {x}",
    "exchange {d} for {x}",
    "substitute {x} for {d}",
    "transform {d} into {x}",
    "put {x} in place of {d}",
    "put {x} where {d} {is}",
    "i want {x} instead of {d}",
    "use {x} instead of {d}",
    "please replace {d} with {x}",
    "can you replace {d} with {x}",
    "make {d} {x}",
    "remove {d} and put {x} there",
    "{d} should become {x}",
)

ANYWHERE: tuple[str, ...] = ("", " to the picture", " somewhere", " to the image")

_FRONTED = 0.08


def write_instruction(plan: EditPlan, removed: str | None, anchor: str | None, draws: Draws) -> str:
    """Word an edit.

    Args:
        plan: What changes.
        removed: Words that fit only the removed thing of the source picture ("the left star"), if one goes.
        anchor: Words that fit only the thing that the place is seen from, if the place is said so.
        draws: Stream of the words.
    """
    added = plan.added and indefinite(plan.added.name, plan.added.colour if plan.say_added_colour else None)
    if plan.operation == "remove":
        return finish(pick_phrase(REMOVE, draws).format(d=removed), draws)
    if plan.operation == "replace":
        verb = {"is": is_or_are(plan.removed.name) if plan.removed else "is"}
        return finish(pick_phrase(REPLACE, draws).format(d=removed, x=added, **verb), draws)
    where = _where(plan, anchor, draws)
    phrase = pick_phrase(ADD, draws)
    if where and draws.chance(_FRONTED):
        return finish(f"{where}, {phrase.format(x=added, where='')}", draws)
    # "add" goes with "to the picture", other verbs do not.
    anywhere = pick_phrase(ANYWHERE, draws) if "add" in phrase else ""
    return finish(phrase.format(x=added, where=f" {where}" if where else anywhere), draws)


def instruction_templates() -> Iterator[str]:
    """List every template, for the corpus of a tokenizer."""
    yield from (*ADD, *REMOVE, *REPLACE, *ANYWHERE)
    for phrases in WHERE.values():
        yield from phrases


def _where(plan: EditPlan, anchor: str | None, draws: Draws) -> str:
    if plan.predicate is not None:
        return f"{pick_phrase(RELATIONS[plan.predicate], draws)} {anchor}"
    if plan.location is not None:
        return pick_phrase(WHERE[plan.location], draws)
    return ""
