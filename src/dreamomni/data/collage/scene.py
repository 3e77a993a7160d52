"""The plan of a picture: what is where, before any pixel exists."""

from dataclasses import dataclass
from typing import Literal

from dreamomni.data.collage.palette import RGB
from dreamomni.tasks.geometry import Size

ThingKind = Literal["sticker", "shape", "text"]


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that can be drawn and talked about.

    Attributes:
        name: Its noun, or the written words for text.
        colour: Name of its main colour.
        kind: Where its pixels come from.
    """

    name: str
    colour: str
    kind: ThingKind = "sticker"


@dataclass(frozen=True, slots=True)
class Look:
    """How one instance of a thing is drawn; equal looks give equal pixels.

    Attributes:
        kind: Where the pixels come from.
        name: Sticker, shape, or the written words.
        rgb: Main colour.
        size: Longest side in pixels (height of the letters for text).
        angle: Degrees, counter-clockwise.
        flip: Mirrored left to right.
        font: Font of text, else empty.
    """

    kind: ThingKind
    name: str
    rgb: RGB
    size: int
    angle: float = 0.0
    flip: bool = False
    font: str = ""


@dataclass(frozen=True, slots=True)
class Placed:
    """An instance on the canvas; `x` and `y` are the pixel of its upper left corner."""

    instance_id: int
    thing: Thing
    look: Look
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class BackgroundLook:
    """How a background is drawn.

    Attributes:
        style: Plain, gradient, stripes, dots or noise.
        colour: Name of its main colour.
        first: Main colour.
        second: The other colour of gradients, stripes and dots.
        angle: Direction of gradients and stripes in degrees.
        period: Distance of stripes and dots, grain of noise, as a fraction of the shorter side.
        noise_seed: Seed of the noise.
    """

    style: str
    colour: str
    first: RGB
    second: RGB
    angle: float = 0.0
    period: float = 0.1
    noise_seed: int = 0


@dataclass(frozen=True, slots=True)
class BlendLook:
    """How the edges of things meet what is behind them, the same for all things of a picture.

    Attributes:
        style: "none", "feather", "gaussian", "gain" or "shadow".
    """

    style: str = "none"


@dataclass(frozen=True, slots=True)
class Scene:
    """A background and instances on it; later instances cover earlier ones."""

    size: Size
    background: BackgroundLook
    placed: tuple[Placed, ...]
    blend: BlendLook = BlendLook()


def assets_of(*scenes: Scene) -> tuple[str, ...]:
    """Ids of what is drawn in scenes: `sticker:apple`, `font:sans`; shapes are no assets."""
    found = set()
    for scene in scenes:
        for item in scene.placed:
            if item.thing.kind == "sticker":
                found.add(f"sticker:{item.look.name}")
            elif item.thing.kind == "text":
                found.add(f"font:{item.look.font}")
    return tuple(sorted(found))
