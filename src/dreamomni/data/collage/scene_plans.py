"""What a plan of a picture is made of: groups of equal things, and what the words say about them."""

from dataclasses import dataclass

from dreamomni.data.collage.labels import Predicate
from dreamomni.data.collage.scene import Thing


@dataclass(frozen=True, slots=True)
class Group:
    """Some equal things.

    Attributes:
        thing: What they are.
        count: How many.
        say_colour: Whether the words name the colour.
        font: Font of written words, else empty.
        lines: What each line of written words holds, else empty.
        size: "large" or "small" when the words say so, else empty.
        location: Part of the canvas where the words put them, or None.
    """

    thing: Thing
    count: int = 1
    say_colour: bool = True
    font: str = ""
    lines: tuple[str, ...] = ()
    size: str = ""
    location: str | None = None


@dataclass(frozen=True, slots=True)
class TextToImagePlan:
    """What to draw and what the words must say.

    Attributes:
        form: The kind of sentence ("shapes" borrows those of the other kinds).
        groups: Everything in the picture.
        predicate: Where the first group lies from the second, or None.
        on_plate: Whether the first group, written words, stands on the second, a shape.
    """

    form: str
    groups: tuple[Group, ...]
    predicate: Predicate | None = None
    on_plate: bool = False
