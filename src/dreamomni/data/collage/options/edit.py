"""What a recipe may say about edits by instruction."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from dreamomni.config import StrictConfig

Operation = Literal["add", "remove", "replace", "recolour"]
_Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
_Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class EditOptions(StrictConfig):
    """Options of edits by instruction.

    Attributes:
        twins: How often the picture shows a second thing of the same name as the one that the words speak of.
        equal_twins: How often such a second thing has the same colour too, so that only its place tells them
            apart.
        say_where: How often the words say where a thing is although its name or colour is enough.
        num_edits: How often a "multi_edit" makes each number of edits.
        operations: How often each of those edits is an addition, a removal, a replacement or a new colour.
    """

    twins: _Fraction = 0.15
    equal_twins: _Fraction = 0.0
    say_where: _Fraction = 0.0
    num_edits: dict[Annotated[int, Field(ge=2, le=4)], _Weight] = {2: 0.5, 3: 0.35, 4: 0.15}
    operations: dict[Operation, _Weight] = {"add": 1.0, "remove": 1.0, "replace": 1.0, "recolour": 1.0}

    @field_validator("num_edits", "operations")
    @classmethod
    def _check_weights(cls, weights: dict[object, float]) -> dict[object, float]:
        if not sum(weights.values()) > 0:
            raise ValueError("at least one weight above 0 is needed")
        return weights
