"""What a family of tasks gets, and what it gives back: the interface between the engine and the families."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.maps import Annotator
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.collage.render import Renderer
from dreamomni.data.collage.scene import BackgroundLook, BlendLook, Placed, Scene
from dreamomni.data.collage.world import Split, World
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.sample import DragLabel, ObjectLabel


@dataclass(frozen=True, slots=True)
class Context:
    """What all samples of an engine share."""

    recipe: CollageRecipe
    world: World
    renderer: Renderer
    split: Split
    annotators: Mapping[str, Annotator] = field(default_factory=dict)
    """Models that make maps ("depth", "segmentation"), where the recipe names some."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One attempt at one sample, with its random streams.

    Attributes:
        kind: What to make.
        size: Canvas.
        background: Background of the canvas.
        path: Root of the streams: seed, name, index.
        attempt: Number of the attempt, from 0. Streams of plan and layout change with it, words do not.
        blend: How things meet the background.
        variant: How the sample differs from the usual one of its place: not at all, "swapped" (two references
            change places), or "=VALUE" (another value than that of the reference is taken).
    """

    kind: str
    size: Size
    background: BackgroundLook
    path: tuple[int, str, int]
    attempt: int
    blend: BlendLook = field(default_factory=BlendLook)
    variant: str = ""

    def scene(self, placed: Iterable[Placed]) -> Scene:
        """A scene with this canvas, background and blending."""
        return Scene(self.size, self.background, tuple(placed), self.blend)

    def draws(self, group: str) -> Draws:
        """The stream of a group of decisions ("things", "looks", "layout", ...) in this attempt."""
        return Draws(*self.path, group, self.attempt)

    def words(self, group: str = "words") -> Draws:
        """The stream of a group of words, the same in every attempt."""
        return Draws(*self.path, group)


@dataclass(frozen=True, slots=True)
class Rejected:
    """An attempt that led nowhere, with the reason by which it is counted ("no room", "hidden", ...)."""

    reason: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A sample but for what the engine knows better: key, seed, index, split, licences.

    Pixels are what the labels were read from. See `TrainingSample` for the meaning of the fields.

    Attributes:
        assets: Ids of the stickers, cut-outs, backgrounds and fonts that show in any picture.
    """

    task: str
    target: npt.NDArray[np.uint8]
    instruction: str
    caption: str
    assets: tuple[str, ...]
    images: tuple[npt.NDArray[np.uint8], ...] = ()
    mask: npt.NDArray[np.uint8] | None = None
    ids: npt.NDArray[np.int16] | None = None
    image_ids: tuple[npt.NDArray[np.int16] | None, ...] = ()
    objects: tuple[ObjectLabel, ...] = ()
    image_objects: tuple[tuple[ObjectLabel, ...], ...] = ()
    drags: tuple[DragLabel, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


class Family(Protocol):
    """One family of tasks. It has no state: everything comes from the context and the slot."""

    kinds: ClassVar[tuple[str, ...]]

    def draw(self, context: Context, slot: Slot) -> Draft | Rejected:
        """Make one attempt.

        Raises:
            ConfigError: The recipe can never give this kind.
        """
        ...
