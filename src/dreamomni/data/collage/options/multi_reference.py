"""What a recipe may say about edits and pictures after several references."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dreamomni.config import StrictConfig
from dreamomni.tasks.geometry import Size

_Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
_Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]

Pattern = Literal["stripes", "dots", "checks"]
Style = Literal["outline", "border", "neon"]


class MultiReferenceOptions(StrictConfig):
    """Options of edits and pictures after several references (DreamOmni2, section 3.1).

    Attributes:
        num_references: How often a sample has so many references. An edit has one image more; a picture of
            references alone has them and one more, as it takes something from two at least.
        reference_objects: How often a reference shows so many things.
        reference_sizes: Canvases of the references, drawn for each; empty means that of the target.
        two: How often an edit takes a thing from each of two references.
        rivals: How often a reference that is not meant shows a thing of the same name as the one that is.
        nameless: How often the words do not name a thing that is alone in its picture ("that thing").
        irregular: How often the words are loose, as people type them, with other words for images
            ("Figure 2", "the second picture").
        say_where: How often the words say where an added thing goes.
        say_colour: How often the words name the colour of a thing whose name would do.
        background_image: How often a picture of references takes its background from one of them.
        min_visibility: Smallest part of a thing that must be seen, in every picture.
        patterns: Patterns that a fill may have.
        styles: Styles that a thing may be drawn in.
        fonts: Fonts that words may be written in; at least three.
        font_with: How often a thing stands beside written words.
    """

    num_references: dict[Annotated[int, Field(ge=1, le=4)], _Weight] = {1: 0.4, 2: 0.35, 3: 0.15, 4: 0.1}
    reference_objects: dict[Annotated[int, Field(ge=1, le=4)], _Weight] = {1: 0.6, 2: 0.3, 3: 0.1}
    reference_sizes: tuple[Size, ...] = ()
    two: _Fraction = 0.2
    rivals: _Fraction = 0.5
    nameless: _Fraction = 0.35
    irregular: _Fraction = 0.4
    say_where: _Fraction = 0.6
    say_colour: _Fraction = 0.35
    background_image: _Fraction = 0.5
    min_visibility: _Fraction = 0.5
    patterns: tuple[Pattern, ...] = ("stripes", "dots", "checks")
    styles: tuple[Style, ...] = ("outline", "border", "neon")
    fonts: tuple[str, ...] = ("sans", "heavy", "narrow", "wide", "slanted", "script", "complex")
    font_with: _Fraction = 0.4

    @model_validator(mode="after")
    def _check(self) -> "MultiReferenceOptions":
        for name in ("num_references", "reference_objects"):
            if not sum(getattr(self, name).values()) > 0:
                raise ValueError(f"{name} needs at least one weight above 0")
        for name, fewest in (("patterns", 2), ("styles", 2), ("fonts", 3)):
            values = getattr(self, name)
            if len(set(values)) < fewest or len(set(values)) < len(values):
                raise ValueError(f"{name} needs at least {fewest}, each once, and has {list(values)}")
        for size in self.reference_sizes:
            if min(size) < 32 or max(size) > 4096 or max(size) > 4 * min(size):
                raise ValueError(f"a reference of {size} is outside 32x32 to 4096x4096, or longer than 4:1")
        return self
