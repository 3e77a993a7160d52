"""What a recipe may say about how things are blended into the background."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from dreamomni.config import StrictConfig

Style = Literal["none", "feather", "gaussian", "gain", "shadow"]
_Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
_Part = Annotated[float, Field(ge=0.0, le=1.0)]
_Fraction = Annotated[float, Field(ge=0.0, le=0.25)]
_Pixels = Annotated[float, Field(ge=0.2, le=8.0)]


class BlendingOptions(StrictConfig):
    """Options of how things are blended into the background, drawn once for each sample.

    A model that only ever saw one kind of edge learns the edge. A pair is drawn with one choice, so that
    source and target differ in the edit alone.

    Attributes:
        weights: How often each style is drawn: "none" (as the asset comes), "feather" (alpha is softened by a
            3x3 box, inwards), "gaussian" (the same by a Gaussian), "gain" (each channel of a thing is scaled
            towards the mean of the background), "shadow" (a soft drop shadow, outside the masks of things).
        gaussian_px: Smallest and largest standard deviation of "gaussian", in pixels of the canvas.
        gain_strength: How far "gain" goes; at 1 the mean of a grey thing would be that of the background.
        shadow_offset: How far a shadow falls, as a fraction of the shorter side of the canvas.
        shadow_softness: Standard deviation of its edge, as a fraction of the shorter side.
        shadow_strength: How dark it is; 1 is black.
    """

    weights: dict[Style, _Weight] = {"none": 1.0}
    gaussian_px: tuple[_Pixels, _Pixels] = (0.6, 1.6)
    gain_strength: tuple[_Part, _Part] = (0.3, 0.8)
    shadow_offset: tuple[_Fraction, _Fraction] = (0.01, 0.035)
    shadow_softness: tuple[_Fraction, _Fraction] = (0.008, 0.025)
    shadow_strength: tuple[_Part, _Part] = (0.25, 0.55)

    @field_validator("gaussian_px", "gain_strength", "shadow_offset", "shadow_softness", "shadow_strength")
    @classmethod
    def _check_range(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        low, high = bounds
        if low > high:
            raise ValueError(f"the smallest value {low:g} is above the largest {high:g}")
        return bounds

    @model_validator(mode="after")
    def _check_weights(self) -> "BlendingOptions":
        if not sum(self.weights.values()) > 0:
            raise ValueError("weights needs at least one style above 0")
        return self
