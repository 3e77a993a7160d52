"""What a user may ask for: one frozen class per task, told apart by `task`. No model's defaults here.

Image 1 is the image to edit (or to continue, drag, segment, ...); the others are references, in the order of
the words that speak of them. A value of None means: what the model recommends.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, get_args

from PIL import Image
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    model_validator,
)

from dreamomni.config import StrictConfig, explain
from dreamomni.errors import RequestError
from dreamomni.tasks.conditioning import check_colour, is_instruction, mark_colour
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.images import ImageInput as ImageInput

MAX_PROMPT_CHARACTERS = 8_000


class Drag(NamedTuple):
    """Move what is at (x, y) by (dx, dy): fractions of width and height, with origin in the upper left."""

    x: float
    y: float
    dx: float
    dy: float


class Margins(NamedTuple):
    """Pixels to add on each side."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0


def _four_margins(value: Any) -> Any:
    if isinstance(value, list | tuple) and len(value) != len(Margins._fields):
        raise ValueError(f"{len(value)} numbers, but there are four margins: left, top, right, bottom")
    return value


def _check_colour(value: Any) -> str:
    try:
        return check_colour(str(value))
    except RequestError as error:  # pydantic collects ValueErrors and adds the field's name
        raise ValueError(str(error)) from None


def _describe_image(image: ImageInput) -> str:
    return f"<image {image.width}x{image.height}>" if isinstance(image, Image.Image) else str(image)


def _check_image(value: Any) -> ImageInput:
    if isinstance(value, Path | Image.Image) or (isinstance(value, str) and value):
        return value
    raise ValueError(f"an image is a path or a Pillow image, not {value!r}")


ImageField = Annotated[
    ImageInput, PlainValidator(_check_image), PlainSerializer(_describe_image, when_used="json")
]


class BaseRequest(StrictConfig):
    """What all tasks share. `model_dump(mode="json")` gives a record that can be printed and stored."""

    model_config = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)

    needs_prompt: ClassVar[bool] = True
    min_images: ClassVar[int] = 1
    max_images: ClassVar[int | None] = None
    takes_mask: ClassVar[bool] = False
    takes_drags: ClassVar[bool] = False

    task: str
    prompt: str = ""
    images: tuple[ImageField, ...] = ()
    """Image 1 first."""
    mask: ImageField | None = None
    """White is where image 1 may change; soft masks are split at the middle."""
    drags: tuple[Drag, ...] = ()
    size: Size | None = None
    """None: the size of image 1, or the model's base size without one."""
    seed: int = Field(default=0, ge=0, lt=2**64)
    num_inference_steps: int | None = Field(default=None, ge=1, le=1000)
    guidance_scale: float | None = Field(default=None, ge=0)
    image_guidance_scale: float | None = Field(default=None, ge=0)
    num_images: int = Field(default=1, ge=1)
    """Results wanted; each has its own noise."""
    adapter: Literal["auto", "edit", "generate", "none"] = "auto"
    """Which LoRA is on. `auto`: none for one image or words alone, else that of the task (DreamOmni2 3.2)."""
    rewrite: bool = True
    """Whether a model that has a rewriter may put the prompt into the form it was trained on."""

    @model_validator(mode="wrap")
    @classmethod
    def _raise_ours(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            request = handler(data)
        except ValidationError as error:
            raise RequestError(f"{cls.task_name()} request: {explain(error, cls)}") from None
        request._check()
        return request

    def image_seed(self, number: int) -> int:
        """Return the seed of result `number`, from 0: each takes the one after its neighbour's."""
        return (self.seed + number) % 2**64

    @classmethod
    def task_name(cls) -> str:
        """The value of `task` that stands for this class."""
        return str(cls.model_fields["task"].default)

    def _check(self) -> None:
        name = self.task_name()
        if self.needs_prompt and not self.prompt.strip():
            raise RequestError("the prompt is empty: say in words what you want")
        if len(self.prompt) > MAX_PROMPT_CHARACTERS:
            raise RequestError(
                f"the prompt has {len(self.prompt):,} characters; the limit is {MAX_PROMPT_CHARACTERS:,}"
            )
        num_images = len(self.images)
        if num_images < self.min_images:
            raise RequestError(f"{name} needs {_count(self.min_images)}, but {num_images or 'none'} came")
        if self.max_images is not None and num_images > self.max_images:
            raise RequestError(f"{name} takes {_count(self.max_images)}, but {num_images} came")
        if self.mask is not None and not self.images:
            raise RequestError("a mask needs the image that it belongs to")
        for drag in self.drags:
            _check_drag(drag)
        if self.mask is not None and not self.takes_mask:
            raise RequestError(f"{name} takes no mask: {_tasks_with('takes_mask')} do")
        if self.drags and not self.takes_drags:
            raise RequestError(f"{name} takes no drags: {_tasks_with('takes_drags')} do")


class TextToImageRequest(BaseRequest):
    """A picture from words alone."""

    max_images: ClassVar[int | None] = 0
    min_images: ClassVar[int] = 0
    task: Literal["text_to_image"] = "text_to_image"


class PartialRequest(BaseRequest):
    """Anything that changes a part of image 1 and may keep the rest exactly."""

    keep_outside: bool = True
    """Whether pixels that the mask does not mark are put back bit by bit as they came; the seam is hard."""


class EditRequest(PartialRequest):
    """Change image 1 as the prompt says; further images are what the prompt refers to.

    The model sees image 1 whole, with or without a mask; with one, what it changes elsewhere is undone.
    """

    takes_mask: ClassVar[bool] = True
    takes_drags: ClassVar[bool] = True
    task: Literal["edit"] = "edit"


class InpaintRequest(PartialRequest):
    """Paint image 1 anew where the mask is white; the model does not see what is there.

    The prompt describes the whole result. Without one, the hole is filled as its surroundings suggest.
    """

    needs_prompt: ClassVar[bool] = False
    takes_mask: ClassVar[bool] = True
    task: Literal["inpaint"] = "inpaint"

    def _check(self) -> None:
        super()._check()
        if self.mask is None:
            raise RequestError("inpaint needs a mask: white where the image is to be repainted")


class OutpaintRequest(PartialRequest):
    """Continue image 1 beyond its edges. The result is as large as the image and its margins."""

    needs_prompt: ClassVar[bool] = False
    task: Literal["outpaint"] = "outpaint"
    margins: Annotated[Margins, BeforeValidator(_four_margins)] = Margins()

    def _check(self) -> None:
        super()._check()
        if min(self.margins) < 0:
            raise RequestError(f"outpaint margins {tuple(self.margins)} must not be negative")
        if sum(self.margins) == 0:
            raise RequestError("outpaint needs a margin: say how many pixels to add on at least one side")
        if self.size is not None:
            raise RequestError("outpaint takes no size: the result is as large as the image and its margins")


class DragRequest(PartialRequest):
    """Move parts of image 1 along the drags; words may say what happens to what."""

    needs_prompt: ClassVar[bool] = False
    takes_mask: ClassVar[bool] = True
    takes_drags: ClassVar[bool] = True
    task: Literal["drag"] = "drag"

    def _check(self) -> None:
        super()._check()
        if not self.drags:
            raise RequestError("drag needs at least one drag: x, y, dx, dy as fractions of the image")


class ControlRequest(BaseRequest):
    """A picture from words that follows a map: image 1 is that map. The result has its size."""

    needs_prompt: ClassVar[bool] = False
    task: Literal["control"] = "control"
    control: Literal["canny", "depth", "pose", "scribble", "segmentation"]
    """What kind of map image 1 is."""


class SubjectRequest(BaseRequest):
    """A picture from words with the subjects of the images in it, of the model's own size or another."""

    needs_prompt: ClassVar[bool] = False
    task: Literal["subject"] = "subject"


class MarkRequest(BaseRequest):
    """Mark what the prompt names ("the fish") in image 1; a whole instruction does as well."""

    max_images: ClassVar[int | None] = 1
    colour: Annotated[str, PlainValidator(_check_colour)] | None = None
    """What to mark it in. None: the colour that the prompt says, or one that image 1 does not show."""

    def _check(self) -> None:
        super()._check()
        said = mark_colour(self.prompt) if is_instruction(self.prompt) else None
        if self.colour is not None and said not in (None, self.colour):
            raise RequestError(f"the prompt asks for {said} and colour for {self.colour}: leave one out")


class SegmentRequest(MarkRequest):
    """Paint the thing that the prompt names in image 1."""

    task: Literal["segment"] = "segment"


class DetectRequest(MarkRequest):
    """Draw a box around each thing that the prompt names in image 1."""

    task: Literal["detect"] = "detect"


Request = Annotated[
    TextToImageRequest
    | EditRequest
    | InpaintRequest
    | OutpaintRequest
    | DragRequest
    | ControlRequest
    | SubjectRequest
    | SegmentRequest
    | DetectRequest,
    Field(discriminator="task"),
]

REQUESTS: dict[str, type[BaseRequest]] = {kind.task_name(): kind for kind in get_args(get_args(Request)[0])}
"""Task name to class."""


def parse_request(values: Mapping[str, Any]) -> "Request":
    """Build the request that `values["task"]` names.

    Raises:
        RequestError: The task is missing or unknown, or a value does not fit; the message names it.
    """
    task = values.get("task")
    if not isinstance(task, str) or task not in REQUESTS:
        close = difflib.get_close_matches(str(task), REQUESTS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"say one of {', '.join(REQUESTS)}"
        raise RequestError(f"task {task!r} is unknown; {hint}")
    return REQUESTS[task].model_validate(dict(values))  # type: ignore[return-value]  # REQUESTS lists the union


def _check_drag(drag: Drag) -> None:
    ends = (drag.x, drag.y, drag.x + drag.dx, drag.y + drag.dy)
    if all(0 <= end <= 1 for end in ends):
        return
    remedy = "both ends must be within 0 to 1"
    if max(map(abs, drag)) > 1:
        remedy = (
            "x, y, dx and dy are fractions from 0 to 1, not pixels: divide x and dx by the width of image 1, "
            "y and dy by its height"
        )
    raise RequestError(f"drag ({', '.join(f'{value:g}' for value in drag)}) leaves the image: {remedy}")


def _tasks_with(able: str) -> str:
    return ", ".join(name for name, kind in REQUESTS.items() if getattr(kind, able))


def _count(number: int) -> str:
    return {0: "no images", 1: "one image"}.get(number, f"{number} images")
