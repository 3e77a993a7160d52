"""What a recipe may say about control maps and subjects."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dreamomni.config import StrictConfig
from dreamomni.tasks.geometry import Size

_Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
_Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
_Threshold = Annotated[int, Field(ge=1, le=2000)]


class ReferenceOptions(StrictConfig):
    """Options of control maps and subjects (section 3.2, reference image generation).

    Attributes:
        num_objects: How often a control picture has so many things.
        shapes: How often it shows geometric shapes instead of stickers.
        twins: How often a thing of a control picture or a source has a second one of its name beside it.
        min_visibility: Smallest part of a thing that must be seen, in every picture.
        canny_low: Range of the lower threshold of edges.
        canny_ratio: Range of the upper threshold over the lower one.
        farthest_level: Grey level of the lowest of several layers in a depth map; the nearest has 255.
        palette: Colours of a segmentation map: one for each "instance", or one for each "name".
        depth_model: A transformers depth model (folder or hub id) that makes the depth maps instead.
        segmentation_model: A transformers semantic segmentation model that makes the region maps instead.
        num_sources: How often a subject sample has so many source images.
        source_objects: Fewest and most things in a source image.
        second_subject: How often a source gives a second thing to the target, where it has one.
        max_subjects: Most things in the target.
        source_sizes: Canvases of the sources, drawn for each; empty means that of the target.
        scale: Smallest and largest change of a subject's share of the shorter side, from source to target.
        turn: How often a subject is turned on its way to the target.
        max_turn: Largest such turn in degrees either way.
        say_change: How often words say that a subject is much larger or smaller than in its source.
        long_words: How often the words are a full description with places, as in Figure 2.
    """

    num_objects: dict[int, _Weight] = {1: 0.2, 2: 0.35, 3: 0.3, 4: 0.15}
    shapes: _Fraction = 0.2
    twins: _Fraction = 0.25
    min_visibility: _Fraction = 0.4
    canny_low: tuple[_Threshold, _Threshold] = (40, 120)
    canny_ratio: tuple[Annotated[float, Field(ge=1.0)], Annotated[float, Field(le=5.0)]] = (2.0, 3.0)
    farthest_level: Annotated[int, Field(ge=1, le=254)] = 70
    palette: Literal["instance", "name"] = "instance"
    depth_model: str | None = None
    segmentation_model: str | None = None
    num_sources: dict[int, _Weight] = {1: 0.3, 2: 0.3, 3: 0.2, 4: 0.1, 5: 0.1}
    source_objects: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(le=5)]] = (1, 3)
    second_subject: _Fraction = 0.3
    max_subjects: Annotated[int, Field(ge=1, le=8)] = 5
    source_sizes: tuple[Size, ...] = ()
    scale: tuple[Annotated[float, Field(gt=0.0)], Annotated[float, Field(le=4.0)]] = (0.65, 1.3)
    turn: _Fraction = 0.3
    max_turn: Annotated[float, Field(ge=0.0, le=180.0)] = 30.0
    say_change: _Fraction = 0.3
    long_words: _Fraction = 0.35

    @model_validator(mode="after")
    def _check_ranges(self) -> "ReferenceOptions":
        for name in ("canny_low", "canny_ratio", "source_objects", "scale"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} must be [smallest, largest], not [{low}, {high}]")
        for name, weights, most in (
            ("num_objects", self.num_objects, 8),
            ("num_sources", self.num_sources, 5),
        ):
            if not weights or min(weights) < 1 or max(weights) > most:
                raise ValueError(f"{name} must give weights to numbers from 1 to {most}")
            if not sum(weights.values()) > 0:
                raise ValueError(f"{name} needs at least one weight above 0")
        most_sources = max(number for number, weight in self.num_sources.items() if weight > 0)
        if most_sources > self.max_subjects:
            raise ValueError(
                f"max_subjects is {self.max_subjects}, but each of {most_sources} sources gives a subject"
            )
        for size in self.source_sizes:
            if min(size) < 32 or max(size) > 4096 or max(size) > 4 * min(size):
                raise ValueError(f"a source of {size} is outside 32x32 to 4096x4096, or longer than 4:1")
        return self
