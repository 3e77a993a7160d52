"""Control maps of a picture: edges, layer depth, and regions (section 3.2, image-conditioned generation).

The maps here are exact: they follow from the pixels or from the id map. A recipe may name a model for depth
or segmentation instead; it comes in from outside as an `Annotator`, because this room starts without torch.
"""

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.options.reference import ReferenceOptions
from dreamomni.data.collage.palette import RGB
from dreamomni.errors import ConfigError
from dreamomni.tasks.geometry import Box, Size

Pixels = npt.NDArray[np.uint8]
Ids = npt.NDArray[np.int16]

_MARGIN = 3
"""An edge is found one pixel beside a thing at most, and depends on gradients one further, of three each."""

NEAREST = 255
"""Grey level of the nearest layer; the background is 0."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """What a model says about a picture.

    Attributes:
        pixels: (H, W, 3) uint8, the map as an input image.
        details: JSON-able facts that explain it, such as the colour of each class.
    """

    pixels: Pixels
    details: Mapping[str, Any] = field(default_factory=dict)


class Annotator(Protocol):
    """A model that turns a picture into a map. Workers get a copy, so it must survive pickling."""

    source: str
    """The path or hub id that the recipe names."""

    @property
    def digest(self) -> str:
        """Hash (hex) of all that decides its maps: two models of one digest make the same ones."""
        ...

    def annotate(self, pixels: Pixels) -> Annotation:
        """Make the map of a picture (H, W, 3) uint8, of the same size."""
        ...


def check_annotators(options: ReferenceOptions, annotators: Mapping[str, Annotator]) -> None:
    """Make sure that the models which a recipe names are there, and no others.

    Raises:
        ConfigError: They are not.
    """
    for control, wanted in (("depth", options.depth_model), ("segmentation", options.segmentation_model)):
        given = annotators[control].source if control in annotators else None
        if given != wanted:
            raise ConfigError(
                f"the recipe asks for {control} maps by {wanted or 'no model'}, but the engine was given "
                f"{given or 'none'}: pass it load_annotators(recipe) of dreamomni.data.annotators"
            )


def edge_map(pixels: Pixels, low: int, high: int, things: Sequence[Box] | None = None) -> Pixels:
    """Find edges with `cv2.Canny` on the three channels (aperture 3, L1 norm).

    On grey alone it would be ten times faster, and blind to yellow on white.

    Args:
        pixels: (H, W, 3) uint8.
        low: Gradient from which an edge goes on.
        high: Gradient from which an edge starts.
        things: Boxes outside of which everything is smooth (no gradient reaches `low`), so that nobody need
            look there; None looks everywhere. The map is the same.

    Returns:
        (H, W) uint8, 255 on edges.
    """
    if things is None:
        return np.asarray(cv2.Canny(pixels, low, high), dtype=np.uint8)
    height, width = pixels.shape[:2]
    edges = np.zeros((height, width), np.uint8)
    for box in _apart(things, Size(width, height)):
        part = np.s_[box.y0 : box.y1, box.x0 : box.x1]
        edges[part] = cv2.Canny(pixels[part], low, high)
    return edges


def _apart(boxes: Sequence[Box], size: Size) -> list[Box]:
    """Boxes with a margin, and those that meet joined to one."""
    apart: list[Box] = []
    for box in boxes:
        wide = Box(
            max(box.x0 - _MARGIN, 0),
            max(box.y0 - _MARGIN, 0),
            min(box.x1 + _MARGIN, size.width),
            min(box.y1 + _MARGIN, size.height),
        )
        # A joined box may reach others that neither did.
        while meeting := [other for other in apart if other.meets(wide)]:
            apart = [other for other in apart if other not in meeting]
            wide = Box.around((wide, *meeting))
        apart.append(wide)
    return apart


def depth_levels(order: Sequence[int], farthest: int) -> dict[int, int]:
    """Grey levels of things in the order they were drawn: what covers others is nearer, thus brighter.

    Args:
        order: Instance numbers, the lowest layer first.
        farthest: Grey level of the lowest of two or more layers; a single one has `NEAREST`.
    """
    last = max(len(order) - 1, 1)
    step = (NEAREST - farthest) / last
    return {instance: round(NEAREST - step * (len(order) - 1 - at)) for at, instance in enumerate(order)}


def paint_ids(ids: Ids, colours: Mapping[int, int | RGB]) -> Pixels:
    """Paint each instance of an id map in one colour or grey level, the background black.

    Returns:
        (H, W, 3) uint8.
    """
    table = np.zeros((256, 3), np.uint8)
    for instance, colour in colours.items():
        table[instance] = colour
    painted = np.zeros((*ids.shape, 3), np.uint8)
    narrow = ids.astype(np.uint8)
    x, y, width, height = cv2.boundingRect(narrow)
    if not width:
        return painted
    here = np.s_[y : y + height, x : x + width]
    # A look-up by OpenCV takes a fifth of the time of indexing, and greys need one instead of three.
    if (table == table[:, :1]).all():
        painted[here] = cv2.cvtColor(cv2.LUT(narrow[here], table[:, 0]), cv2.COLOR_GRAY2RGB)
    else:
        painted[here] = cv2.LUT(cv2.cvtColor(narrow[here], cv2.COLOR_GRAY2RGB), table[None])
    return painted


def region_colours(count: int, draws: Draws) -> list[RGB]:
    """Draw colours that can be told from each other and from black: hues at equal steps, two brightnesses."""
    start = draws.unit()
    colours = []
    for number in range(count):
        value = 1.0 if number % 2 == 0 or count < 5 else 0.62
        red, green, blue = colorsys.hsv_to_rgb((start + number / count) % 1.0, 0.8, value)
        colours.append((round(red * 255), round(green * 255), round(blue * 255)))
    return draws.shuffled(colours)
