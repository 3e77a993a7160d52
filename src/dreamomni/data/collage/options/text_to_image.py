"""What a recipe may say about pictures from words."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from dreamomni.config import StrictConfig

_Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
_Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Company = Literal["alone", "plate", "thing", "shape"]


class TextToImageOptions(StrictConfig):
    """Options of pictures from words.

    Attributes:
        text_words: How often "text" writes each number of words, where it writes no phrase.
        text_phrases: How often it writes a short phrase of the kind that stands on signs.
        text_random: How often it writes letters and digits at random, which no one can guess.
        text_lines: How often the words stand on one line, on two or on three.
        text_height: Smallest and largest height of a capital letter, as a fraction of the shorter side of the
            canvas. Text that would be too wide is written smaller.
        text_with: How often the words stand "alone", on a "plate" (a shape), beside a "thing" of the world,
            or beside a "shape".
        large: Smallest and largest longest side of what is said to be large, as a fraction of the shorter
            side of the canvas.
        small: The same for what is said to be small.
        description_groups: How often a "description" shows each number of different things.
        description_things: Most things in a "description", equal ones counted each.
    """

    text_words: dict[Annotated[int, Field(ge=1, le=6)], _Weight] = {1: 0.55, 2: 0.3, 3: 0.15}
    text_phrases: _Fraction = 0.3
    text_random: _Fraction = 0.1
    text_lines: dict[Annotated[int, Field(ge=1, le=3)], _Weight] = {1: 0.7, 2: 0.22, 3: 0.08}
    text_height: tuple[_Fraction, _Fraction] = (0.1, 0.24)
    text_with: dict[Company, _Weight] = {"alone": 0.55, "plate": 0.2, "thing": 0.15, "shape": 0.1}
    large: tuple[_Fraction, _Fraction] = (0.44, 0.62)
    small: tuple[_Fraction, _Fraction] = (0.14, 0.24)
    description_groups: dict[Annotated[int, Field(ge=2, le=6)], _Weight] = {
        2: 0.2,
        3: 0.35,
        4: 0.3,
        5: 0.1,
        6: 0.05,
    }
    description_things: Annotated[int, Field(ge=2, le=8)] = 8

    @field_validator("description_groups", "text_words", "text_lines", "text_with")
    @classmethod
    def _check_weights(cls, weights: dict[object, float]) -> dict[object, float]:
        if not sum(weights.values()) > 0:
            raise ValueError("at least one weight above 0 is needed")
        return weights

    @field_validator("text_height", "large", "small")
    @classmethod
    def _check_range(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if not 0 < bounds[0] <= bounds[1]:
            raise ValueError(f"must be 0 < smallest <= largest, got {bounds[0]:g} and {bounds[1]:g}")
        return bounds

    @model_validator(mode="after")
    def _check_sizes(self) -> "TextToImageOptions":
        most = max(count for count, weight in self.description_groups.items() if weight > 0)
        if most > self.description_things:
            raise ValueError(
                f"description_groups asks for {most} different things, but description_things is "
                f"{self.description_things}: raise it"
            )
        if self.small[1] * 1.5 > self.large[0]:
            raise ValueError(
                f"large begins at {self.large[0]:g} and small ends at {self.small[1]:g}: "
                "what is large must be at least 1.5 times what is small"
            )
        return self
