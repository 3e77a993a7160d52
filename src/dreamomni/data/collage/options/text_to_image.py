"""What a recipe may say about pictures from words."""

from typing import Annotated

from pydantic import Field, field_validator

from dreamomni.config import StrictConfig

Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class TextToImageOptions(StrictConfig):
    """Options of pictures from words.

    Attributes:
        description_groups: How often a "description" shows each number of different things.
        description_things: Most things in a "description", equal ones counted each.
    """

    description_groups: dict[Annotated[int, Field(ge=2, le=6)], Weight] = {
        2: 0.2,
        3: 0.35,
        4: 0.3,
        5: 0.1,
        6: 0.05,
    }
    description_things: Annotated[int, Field(ge=2, le=8)] = 8

    @field_validator("description_groups")
    @classmethod
    def _check_groups(cls, weights: dict[int, float]) -> dict[int, float]:
        if not sum(weights.values()) > 0:
            raise ValueError("at least one weight above 0 is needed")
        return weights
