"""What one training sample is: pixels, words, labels. Data makes it; training and evaluation read it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from dreamomni.tasks.geometry import Box


@dataclass(frozen=True, slots=True)
class ObjectLabel:
    """One visible thing as the pixels show it: read off the id map after occlusion, not off the plan."""

    instance_id: int
    """Its number in the id map; 0 is the background."""
    name: str
    colour: str | None
    """None when it has no single nameable colour."""
    box: Box
    """The smallest box around its visible pixels."""
    visibility: float
    """Visible pixels over all its pixels, 0 to 1."""
    kind: Literal["sticker", "shape", "text"]
    area: int
    """Visible pixels."""


@dataclass(frozen=True, slots=True)
class Relation:
    """Where one object is, seen from another; both by instance id."""

    subject: int
    predicate: Literal["left of", "right of", "above", "below"]
    object: int


@dataclass(frozen=True, slots=True)
class DragLabel:
    """One point of image 1 and where it goes, as fractions of width and height, rounded to 4 decimals."""

    x: float
    y: float
    dx: float
    dy: float
    instance_id: int
    """The thing that the point lies on."""


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """One exactly labelled sample; a pure function of its recipe, seed and index."""

    key: str
    """Stable id, without dots, so that it can name the members of a tar file."""
    task: str
    """What a user would ask for: "text_to_image", "edit", ..."""
    kind: str
    """Which of the task's situations this is: "counting", "replace", ..."""
    target: np.ndarray
    """uint8 (H, W, 3)."""
    images: tuple[np.ndarray, ...]
    """Input images in order, uint8 (H, W, 3); image 1 is the one to edit."""
    mask: np.ndarray | None
    """uint8 (H, W), 0 or 255; white is where source and target may differ."""
    instruction: str
    """What the user says."""
    caption: str
    """What the target shows."""
    objects: tuple[ObjectLabel, ...]
    """Things in the target."""
    image_objects: tuple[tuple[ObjectLabel, ...], ...]
    """Things in each input image, in the order of the images."""
    relations: tuple[Relation, ...]
    """Between things in the target."""
    details: Mapping[str, Any]
    """What the kind adds: expectations for a checker, the operation, what was added and removed."""
    licences: tuple[str, ...]
    """Of every asset in the picture, each once."""
    seed: int
    index: int
    drags: tuple[DragLabel, ...] = ()
    """Points to move, for drag."""
    ids: np.ndarray | None = None
    """int16 (H, W): which instance of `objects` each pixel of the target belongs to; 0 is the background."""
    image_ids: tuple[np.ndarray | None, ...] = ()
    """The same for each input image; None where an image shows no instances (an edge map)."""
    assets: tuple[str, ...] = ()
    """Ids of every sticker, cut-out, background and font in any picture, each once."""

    @property
    def source_objects(self) -> tuple[ObjectLabel, ...]:
        """Things in image 1; empty without one."""
        return self.image_objects[0] if self.image_objects else ()
