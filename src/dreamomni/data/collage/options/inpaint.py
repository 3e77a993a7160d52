"""What a recipe may say about inpainting and outpainting."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dreamomni.config import StrictConfig
from dreamomni.tasks.conditioning import HOLE_FILL

InpaintBase = Literal[
    "single",
    "colors",
    "two",
    "counting",
    "position",
    "color_attribution",
    "shapes",
    "text",
    "scene",
    "description",
]
HoleStyle = Literal["smear", "block"]

_Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
_Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
_Channel = Annotated[int, Field(ge=0, le=255)]
_Count = Annotated[int, Field(ge=1, le=64)]


class InpaintOptions(StrictConfig):
    """Options of inpainting and outpainting.

    Attributes:
        bases: How often each kind of text-to-image scene is the target.
        styles: How often the hole of an inpainting is smears or blocks.
        share: Smallest and largest hole of an inpainting, as a fraction of the canvas.
        edge_share: The same for an outpainting.
        num_strokes: Fewest and most brush strokes of a smear.
        brush: Thinnest and thickest brush, as fractions of the shorter side; at least one pixel.
        num_blocks: Fewest and most rectangles.
        num_sides: Fewest and most sides of an outpainting.
        hide_thing: The part of samples whose hole surely hides some of a thing; the others may too.
        hidden_part: How much of that thing the hole hides at least.
        fill: sRGB value of the hole in image 1.
        say_caption: How often the instruction is the caption; it is empty otherwise.
    """

    bases: dict[InpaintBase, _Weight] = {
        "colors": 1.0,
        "two": 1.0,
        "counting": 0.5,
        "position": 1.0,
        "color_attribution": 1.0,
        "shapes": 0.5,
        "text": 0.3,
        "scene": 1.5,
    }
    styles: dict[HoleStyle, _Weight] = {"smear": 1.0, "block": 1.0}
    share: tuple[_Fraction, _Fraction] = (0.05, 0.5)
    edge_share: tuple[_Fraction, _Fraction] = (0.1, 0.6)
    num_strokes: tuple[_Count, _Count] = (1, 6)
    brush: tuple[_Fraction, _Fraction] = (0.06, 0.22)
    num_blocks: tuple[_Count, _Count] = (1, 3)
    num_sides: tuple[Annotated[int, Field(ge=1, le=4)], Annotated[int, Field(ge=1, le=4)]] = (1, 4)
    hide_thing: _Fraction = 0.8
    hidden_part: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    fill: tuple[_Channel, _Channel, _Channel] = HOLE_FILL
    say_caption: _Fraction = 0.5

    @model_validator(mode="after")
    def _check(self) -> "InpaintOptions":
        for name in ("share", "edge_share", "num_strokes", "brush", "num_blocks", "num_sides"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} must be [smallest, largest], not [{low}, {high}]")
        for name in ("share", "edge_share"):
            low, high = getattr(self, name)
            if not (low < high and high > 0 and low < 1):
                raise ValueError(f"{name} needs room between its ends, and [{low}, {high}] has none")
        for name in ("bases", "styles"):
            if not sum(getattr(self, name).values()) > 0:
                raise ValueError(f"{name} needs at least one weight above 0")
        return self
