"""What a recipe may say about segmentation and detection."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dreamomni.config import StrictConfig

_Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
_Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]

Ask = Literal["one", "name", "colour"]


class PerceptionOptions(StrictConfig):
    """Options of segmentation and detection (section 3.2).

    Attributes:
        num_objects: How often a picture has so many things.
        twins: How often several things of a picture have one name.
        same_colour: How often a thing takes the colour of the first one.
        ask: How often the words ask for "one" thing, all of a "name", or all of a "colour".
        min_visibility: Smallest part of every thing that must be seen.
        stroke: Smallest and largest width of a box outline, as a fraction of the shorter side (at least one
            pixel is drawn).
        min_contrast: Smallest CIE76 distance of the fill or outline colour from every colour that a thing
            or the background is named by.
    """

    num_objects: dict[int, _Weight] = {1: 0.15, 2: 0.3, 3: 0.35, 4: 0.2}
    twins: _Fraction = 0.45
    same_colour: _Fraction = 0.25
    ask: dict[Ask, _Weight] = {"one": 0.65, "name": 0.2, "colour": 0.15}
    min_visibility: _Fraction = 0.4
    stroke: tuple[Annotated[float, Field(gt=0.0)], Annotated[float, Field(le=0.1)]] = (0.012, 0.025)
    min_contrast: Annotated[float, Field(ge=0.0, le=100.0)] = 28.0

    @model_validator(mode="after")
    def _check_ranges(self) -> "PerceptionOptions":
        if self.stroke[0] > self.stroke[1]:
            raise ValueError(f"stroke must be [smallest, largest], not {list(self.stroke)}")
        if not self.num_objects or min(self.num_objects) < 1 or max(self.num_objects) > 8:
            raise ValueError("num_objects must give weights to numbers from 1 to 8")
        for name, weights in (("num_objects", self.num_objects), ("ask", self.ask)):
            if not sum(weights.values()) > 0:
                raise ValueError(f"{name} needs at least one weight above 0")
        return self
