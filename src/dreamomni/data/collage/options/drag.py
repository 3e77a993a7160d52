"""What a recipe may say about drags."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dreamomni.config import StrictConfig

DragBase = Literal["single", "colors", "two", "position", "color_attribution", "shapes", "scene"]

_Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
_Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class DragOptions(StrictConfig):
    """Options of drags.

    Attributes:
        bases: How often each kind of text-to-image scene is the source.
        num_points: Fewest and most point pairs for each thing that moves.
        two_things: How often two things change instead of one, where the scene has two.
        distance: Shortest and longest move, as fractions of the shorter side of the canvas.
        straight: How often a move goes exactly along one axis.
        factor: Smallest and largest factor of a scaling.
        min_factor: The factor that a scaling up has at least, and whose inverse a scaling down has at most.
        degrees: Smallest and largest rotation either way.
        point_margin: Distance of a point from the edge of its thing, as a fraction of the thing's longest
            side; at least one pixel.
        pin_centre: How often the first point of a scaling or rotation is its centre, which stays.
        only_points: How often the instruction is points alone. A scaling or rotation of one point keeps its
            words, without which it could be a move.
        say_amount: How often the words of a scaling or rotation tell the factor or the degrees.
        say_direction: How often the words of a move or rotation tell its direction.
        say_colour: How often the words name the colour of a thing whose name would do.
    """

    bases: dict[DragBase, _Weight] = {
        "single": 0.5,
        "colors": 0.5,
        "two": 1.0,
        "position": 0.5,
        "color_attribution": 0.5,
        "shapes": 0.5,
        "scene": 1.5,
    }
    num_points: tuple[Annotated[int, Field(ge=1, le=8)], Annotated[int, Field(ge=1, le=8)]] = (1, 4)
    two_things: _Fraction = 0.15
    distance: tuple[_Fraction, _Fraction] = (0.1, 0.8)
    straight: _Fraction = 0.3
    factor: tuple[
        Annotated[float, Field(gt=0.0, le=1.0)], Annotated[float, Field(ge=1.0, allow_inf_nan=False)]
    ] = (0.4, 2.2)
    min_factor: Annotated[float, Field(gt=1.0, allow_inf_nan=False)] = 1.25
    degrees: tuple[Annotated[float, Field(gt=0.0, le=180.0)], Annotated[float, Field(gt=0.0, le=180.0)]] = (
        15.0,
        170.0,
    )
    point_margin: Annotated[float, Field(ge=0.0, le=0.5)] = 0.03
    pin_centre: _Fraction = 0.3
    only_points: _Fraction = 0.15
    say_amount: _Fraction = 0.25
    say_direction: _Fraction = 0.6
    say_colour: _Fraction = 0.6

    @model_validator(mode="after")
    def _check(self) -> "DragOptions":
        for name in ("num_points", "distance", "degrees"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} must be [smallest, largest], not [{low}, {high}]")
        if not sum(self.bases.values()) > 0:
            raise ValueError("bases needs at least one weight above 0")
        if not (self.factor[0] <= 1 / self.min_factor or self.factor[1] >= self.min_factor):
            raise ValueError(f"factor {list(self.factor)} leaves no scaling of at least {self.min_factor}")
        return self
