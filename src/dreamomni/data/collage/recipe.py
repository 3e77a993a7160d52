"""What a collage data set is made of: one frozen recipe."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from dreamomni.config import StrictConfig
from dreamomni.data.collage.options.blending import BlendingOptions
from dreamomni.data.collage.options.combined import CombinedOptions
from dreamomni.data.collage.options.drag import DragOptions
from dreamomni.data.collage.options.edit import EditOptions
from dreamomni.data.collage.options.habits import HabitOptions
from dreamomni.data.collage.options.inpaint import InpaintOptions
from dreamomni.data.collage.options.multi_reference import MultiReferenceOptions
from dreamomni.data.collage.options.perception import PerceptionOptions
from dreamomni.data.collage.options.reference import ReferenceOptions
from dreamomni.data.collage.options.text_to_image import TextToImageOptions
from dreamomni.errors import RequestError
from dreamomni.tasks.geometry import Size, aspect_buckets

RECIPE_VERSION = 1
"""Version of the drawing rules that this release knows."""

TextToImageKind = Literal[
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
EditKind = Literal["add", "remove", "replace", "multi_edit"]
InpaintKind = Literal["inpaint", "outpaint"]
DragKind = Literal["drag_move", "drag_scale", "drag_rotate"]
ReferenceKind = Literal["canny", "depth", "segmentation", "subject"]
PerceptionKind = Literal["segment", "detect"]
CombinedKind = Literal["combined"]
ReferenceEditKind = Literal[
    "reference_add",
    "reference_replace",
    "reference_colour",
    "reference_pattern",
    "reference_background",
    "reference_style",
    "reference_font",
]
ReferenceSubjectKind = Literal["subject_scene", "subject_colour"]
Kind = (
    TextToImageKind
    | EditKind
    | InpaintKind
    | DragKind
    | ReferenceKind
    | PerceptionKind
    | CombinedKind
    | ReferenceEditKind
    | ReferenceSubjectKind
)

TEXT_TO_IMAGE_KINDS: tuple[str, ...] = get_args(TextToImageKind)
EDIT_KINDS: tuple[str, ...] = get_args(EditKind)
INPAINT_KINDS: tuple[str, ...] = get_args(InpaintKind)
DRAG_KINDS: tuple[str, ...] = get_args(DragKind)
REFERENCE_KINDS: tuple[str, ...] = get_args(ReferenceKind)
PERCEPTION_KINDS: tuple[str, ...] = get_args(PerceptionKind)
COMBINED_KINDS: tuple[str, ...] = get_args(CombinedKind)
REFERENCE_EDIT_KINDS: tuple[str, ...] = get_args(ReferenceEditKind)
REFERENCE_SUBJECT_KINDS: tuple[str, ...] = get_args(ReferenceSubjectKind)
MULTI_REFERENCE_KINDS: tuple[str, ...] = (*REFERENCE_EDIT_KINDS, *REFERENCE_SUBJECT_KINDS)

TASK_OF_KIND: Mapping[str, str] = {
    **dict.fromkeys(TEXT_TO_IMAGE_KINDS, "text_to_image"),
    **dict.fromkeys((*EDIT_KINDS, *COMBINED_KINDS, *REFERENCE_EDIT_KINDS), "edit"),
    **{kind: kind for kind in (*INPAINT_KINDS, *PERCEPTION_KINDS)},
    **dict.fromkeys(DRAG_KINDS, "drag"),
    **dict.fromkeys(("canny", "depth", "segmentation"), "control"),
    **dict.fromkeys(("subject", *REFERENCE_SUBJECT_KINDS), "subject"),
}
"""What a user would ask for to get a sample of a kind; the names are those of `tasks.request`."""
BackgroundStyle = Literal["plain", "gradient", "stripes", "dots", "noise", "photo"]


def _as_paths(value: Any) -> Any:
    """One path may stand without a list around it."""
    return (value,) if isinstance(value, str) else value


def _as_sizes(value: Any) -> Any:
    """One size may stand without a list around it."""
    one = isinstance(value, str | Size) or (
        isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(side, int) for side in value)
    )
    return (value,) if one else value


def _as_buckets(value: Any) -> Any:
    """The base may stand alone."""
    return {"base": value} if isinstance(value, int) and not isinstance(value, bool) else value


Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class HeldOut(StrictConfig):
    """Which combinations never appear in training: a pure hash of (salt, combination) below `fraction`."""

    fraction: Fraction = 0.08
    salt: str = "held-out"


class Buckets(StrictConfig):
    """The aspect-ratio buckets of one resolution, from 4:1 to 1:4 (see `tasks.geometry.aspect_buckets`).

    Attributes:
        base: Side of the square bucket in pixels.
        multiple: What both sides of every bucket are multiples of.
    """

    base: Annotated[int, Field(ge=32, le=2048)]
    multiple: Annotated[int, Field(ge=1, le=256)] = 16

    @property
    def sizes(self) -> tuple[Size, ...]:
        """The sizes of all buckets."""
        return aspect_buckets(self.base, self.multiple)


class CollageRecipe(StrictConfig):
    """A family of synthetic collages; with a seed and an index it names one sample exactly.

    Attributes:
        version: Version of the drawing rules. It changes when the same recipe would give other samples.
        size: One canvas or several (one is drawn for each sample), written as `64x64`.
        buckets: Instead of `size`, the side of the square bucket: canvases are the 31 aspect-ratio buckets of
            that resolution, in multiples of 16 pixels (`{base: 512, multiple: 32}` for others). `size` is
            then the list of them.
        assets: Files of asset libraries (`dreamomni data assets build`) to draw from beside the sticker pack.
        names: Things by name, "all" (of the pack and the libraries), or "assets" (of the libraries alone).
        colours: Colours of things: names, "mini", or "all".
        backgrounds: Names of background colours, or "all".
        background_styles: How often each style of background is drawn.
        mixture: How often each kind of sample is drawn.
        object_sizes: For a scene of n objects, the smallest and the largest longest side, as a fraction of
            the shorter side of the canvas. Scenes with more objects than the largest key use the last row.
        max_angle: Largest rotation of a thing, in degrees either way.
        max_overlap: Largest part of the smaller of two boxes that may be covered by the other.
        arrangement: "free": anywhere. "slots": in the cells of a grid, near their middles, so that there are
            few layouts.
        jitter: Largest distance from the middle of a cell, as a fraction of the shorter side.
        gap: Distance kept between boxes when `max_overlap` is 0, as a fraction of the shorter side.
        min_contrast: Smallest CIE76 distance of a thing's colour from the colours of the background, on a
            photo from the local means behind the thing.
        max_enlargement: Largest longest side of a library's picture, in multiples of its own; beyond it has
            too few pixels to be sharp.
        max_count: Largest number that "counting" asks for.
        max_edit_objects: Most things in the picture before an edit.
        say_background: How often a caption names the background.
        held_out: The combinations kept for evaluation.
        blending: How things are blended into the background.
        habits: How things look where the words do not say.
        text_to_image: Options of that family.
        edit: Options of that family.
        inpaint: Options of that family.
        drag: Options of that family.
        reference: Options of that family.
        perception: Options of that family.
        combined: Options of that family.
        multi_reference: Options of edits and pictures after several references.
    """

    version: int = RECIPE_VERSION
    size: Annotated[tuple[Size, ...], BeforeValidator(_as_sizes)] = (Size(64, 64),)
    buckets: Annotated[Buckets | None, BeforeValidator(_as_buckets)] = None
    assets: Annotated[tuple[str, ...], BeforeValidator(_as_paths)] = ()
    names: tuple[str, ...] | Literal["all", "assets"] = "all"
    colours: tuple[str, ...] | Literal["mini", "all"] = "mini"
    backgrounds: tuple[str, ...] | Literal["all"] = "all"
    background_styles: dict[BackgroundStyle, Weight] = {"plain": 0.7, "gradient": 0.3}
    mixture: dict[Kind, Weight] = {
        "single": 1.0,
        "colors": 1.0,
        "two": 1.0,
        "counting": 1.0,
        "position": 1.5,
        "color_attribution": 1.5,
        "add": 1.5,
        "remove": 1.0,
        "replace": 1.5,
    }
    object_sizes: dict[int, tuple[Fraction, Fraction]] = {
        1: (0.38, 0.6),
        2: (0.3, 0.46),
        3: (0.25, 0.36),
        4: (0.22, 0.31),
    }
    max_angle: Annotated[float, Field(ge=0.0, le=180.0)] = 0.0
    max_overlap: Fraction = 0.0
    arrangement: Literal["free", "slots"] = "free"
    jitter: Fraction = 0.03
    gap: Fraction = 0.02
    min_contrast: Annotated[float, Field(ge=0.0, le=100.0)] = 30.0
    max_enlargement: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] = 2.0
    max_count: Annotated[int, Field(ge=1, le=6)] = 4
    max_edit_objects: Annotated[int, Field(ge=1, le=4)] = 3
    say_background: Fraction = 0.3
    held_out: HeldOut = HeldOut()
    blending: BlendingOptions = BlendingOptions()
    text_to_image: TextToImageOptions = TextToImageOptions()
    edit: EditOptions = EditOptions()
    inpaint: InpaintOptions = InpaintOptions()
    drag: DragOptions = DragOptions()
    reference: ReferenceOptions = ReferenceOptions()
    perception: PerceptionOptions = PerceptionOptions()
    combined: CombinedOptions = CombinedOptions()
    multi_reference: MultiReferenceOptions = MultiReferenceOptions()
    habits: HabitOptions = HabitOptions()

    @model_serializer(mode="wrap")
    def _leave_out_unused(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Options that came later are written where they are used: old recipes keep their hash."""
        tree: dict[str, Any] = write(self)
        if self.multi_reference == MultiReferenceOptions():
            tree.pop("multi_reference", None)
        if self.habits == HabitOptions():
            tree.pop("habits", None)
        return tree

    @model_validator(mode="before")
    @classmethod
    def _prepare(cls, tree: Any) -> Any:
        """Refuse other versions before their unknown keys, and let buckets fill in the sizes."""
        if not isinstance(tree, dict):
            return tree
        version = tree.get("version", RECIPE_VERSION)
        if version != RECIPE_VERSION:
            raise ValueError(
                f"it has version {version!r}, but this release draws version {RECIPE_VERSION}: use the "
                f"release that the recipe was written for, or change it and say version: {RECIPE_VERSION}"
            )
        if tree.get("buckets") is None:
            return tree
        try:
            sizes = Buckets.model_validate(_as_buckets(tree["buckets"])).sizes
        except ValidationError:
            return tree  # the field itself says what is wrong
        except RequestError as error:
            raise ValueError(f"buckets: {error}") from None
        given = tree.get("size")
        if given is not None and {str(size) for size in _as_sizes(given)} != {str(size) for size in sizes}:
            raise ValueError(
                "size and buckets are both given: say one of them (buckets: null takes them away)"
            )
        return {**tree, "size": sizes}

    @field_validator("size")
    @classmethod
    def _check_size(cls, sizes: tuple[Size, ...]) -> tuple[Size, ...]:
        if not sizes:
            raise ValueError("at least one canvas size is needed")
        for size in sizes:
            if not (32 <= size.width <= 4096 and 32 <= size.height <= 4096):
                raise ValueError(f"a canvas of {size.width}x{size.height} is outside 32x32 to 4096x4096")
            if max(size) > 4 * min(size):
                raise ValueError(f"a canvas of {size.width}x{size.height} is longer than 4:1")
        return sizes

    @field_validator("object_sizes")
    @classmethod
    def _check_object_sizes(cls, table: dict[int, tuple[float, float]]) -> dict[int, tuple[float, float]]:
        if 1 not in table:
            raise ValueError("object_sizes needs a row for 1 object")
        for count, (low, high) in table.items():
            if count < 1 or not 0 < low <= high:
                raise ValueError(f"object_sizes of {count} objects must be 0 < smallest <= largest")
        return table

    @model_validator(mode="after")
    def _check_weights(self) -> "CollageRecipe":
        for name, weights in (("mixture", self.mixture), ("background_styles", self.background_styles)):
            if not sum(weights.values()) > 0:
                raise ValueError(f"{name} needs at least one weight above 0")
        return self

    @model_validator(mode="after")
    def _check_multi_edit(self) -> "CollageRecipe":
        fewest = min(count for count, weight in self.edit.num_edits.items() if weight > 0)
        if (
            self.mixture.get("multi_edit", 0) > 0
            and not self.edit.operations.get("add", 0) > 0
            and fewest > self.max_edit_objects
        ):
            raise ValueError(
                f"edit.num_edits asks for at least {fewest} edits of different things, but max_edit_objects "
                f"is {self.max_edit_objects} and edit.operations has no add: raise the one or allow the other"
            )
        return self

    def object_size(self, count: int) -> tuple[float, float]:
        """Return the smallest and largest longest side (fractions) in a scene of `count` objects."""
        row = max(key for key in self.object_sizes if key <= max(count, 1))
        return self.object_sizes[row]
