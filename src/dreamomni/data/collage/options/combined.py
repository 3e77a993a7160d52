"""What a recipe may say about combined tasks."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dreamomni.config import StrictConfig

CombinedOperation = Literal["add", "remove", "replace", "move", "scale", "rotate", "segment", "detect"]

FAMILY_OF: dict[str, str] = {
    "add": "edit",
    "remove": "edit",
    "replace": "edit",
    "move": "drag",
    "scale": "drag",
    "rotate": "drag",
    "segment": "perception",
    "detect": "perception",
}
"""Which family of tasks each operation comes from."""

_Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
_Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class CombinedOptions(StrictConfig):
    """Options of combined tasks; those of drags and of perception say how far things go and how boxes look.

    Attributes:
        operations: How often each operation is drawn. A sample has operations of at least two families; it
            has one of segment and detect at most, and that comes last.
        num_operations: Fewest and most operations of a sample.
        num_staying: Fewest and most things that no operation is about.
        say_colour: How often the words name the colour of a thing whose name would do.
    """

    operations: dict[CombinedOperation, _Weight] = {
        "add": 0.6,
        "remove": 1.0,
        "replace": 1.0,
        "move": 1.0,
        "scale": 0.6,
        "rotate": 0.6,
        "segment": 0.7,
        "detect": 0.7,
    }
    num_operations: tuple[Annotated[int, Field(ge=2, le=4)], Annotated[int, Field(ge=2, le=4)]] = (2, 3)
    num_staying: tuple[Annotated[int, Field(ge=0, le=4)], Annotated[int, Field(ge=0, le=4)]] = (0, 2)
    say_colour: _Fraction = 0.5

    @model_validator(mode="after")
    def _check(self) -> "CombinedOptions":
        for name in ("num_operations", "num_staying"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} must be [smallest, largest], not [{low}, {high}]")
        families = {FAMILY_OF[name] for name, weight in self.operations.items() if weight > 0}
        if len(families) < 2 or not families - {"perception"}:
            raise ValueError(
                "operations needs weights above 0 in two families of edit (add, remove, replace), "
                f"drag (move, scale, rotate) and perception (segment, detect), and has {sorted(families)}"
            )
        return self
