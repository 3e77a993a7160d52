"""The colours of collages: things may take any of `PALETTE`, pale backgrounds have names of their own.

The values are chosen so that a colour can be *measured* in a finished picture; see ``tests`` for the proofs.
"""

from dreamomni.tasks.colours import PALETTE, RGB, delta_e, lab, nearest_colour

__all__ = ["BACKGROUNDS", "MINI", "PALETTE", "RGB", "colour_words", "delta_e", "lab", "nearest_colour"]

MINI: dict[str, RGB] = {
    name: PALETTE[name] for name in ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")
}
"""The eight object colours of the mini world: pairwise distance >= 28."""

BACKGROUNDS: dict[str, RGB] = {
    "white": (255, 255, 255),
    "light gray": (222, 224, 228),
    "cream": (255, 246, 224),
    "mint": (214, 245, 226),
    "sky blue": (208, 232, 252),
    "lavender": (230, 224, 250),
    "peach": (255, 228, 210),
}
"""Pale background colours: each at distance >= 30 from every MINI colour."""


def colour_words(colour: str) -> tuple[str, ...]:
    """The colour names in a colour: two of "red and white", one of "red"."""
    return tuple(colour.split(" and "))
