"""The plan of a picture: what is where, before any pixel exists."""

from dataclasses import dataclass, field
from typing import Literal

from dreamomni.data.collage.assets.asset import Crop
from dreamomni.data.collage.palette import RGB
from dreamomni.tasks.geometry import Size

BlendStyle = Literal["none", "feather", "gaussian", "gain", "shadow"]
ThingKind = Literal["sticker", "shape", "text"]


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that can be drawn and talked about.

    Attributes:
        name: Its noun, or the written words for text.
        colour: Name of its main colour ("red"), or of two ("red and white"); None when no word fits.
        kind: Where its pixels come from.
        asset: The asset that shows it, `<library>:<id>`; empty for shapes, text and the sticker pack. Things
            that words cannot tell apart are equal, whichever asset shows them.
    """

    name: str
    colour: str | None
    kind: ThingKind = "sticker"
    asset: str = field(default="", compare=False)


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
        asset: Asset of a library that is drawn, `<library>:<id>`; empty for what needs none.
        finish: Pattern or style that it is drawn in (see `finishes`); empty for its own.
    """

    kind: ThingKind
    name: str
    rgb: RGB
    size: int
    angle: float = 0.0
    flip: bool = False
    font: str = ""
    asset: str = ""
    finish: str = ""

    def sized(self, size: int) -> "Look":
        """The same in another size (`dataclasses.replace` takes twice as long)."""
        return Look(
            self.kind, self.name, self.rgb, size, self.angle, self.flip, self.font, self.asset, self.finish
        )


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
        style: Plain, gradient, stripes, dots, noise or photo.
        colour: Name of its main colour; empty for a photo.
        first: Main colour; the mean of a photo.
        second: The other colour of gradients, stripes and dots.
        angle: Direction of gradients and stripes in degrees.
        period: Distance of stripes and dots, grain of noise, as a fraction of the shorter side.
        noise_seed: Seed of the noise.
        asset: Background of a library that a photo shows, `<library>:<id>`, else empty.
        crop: The part of the photo that is seen.
        caption: What the photo shows, empty when nobody said.
    """

    style: str
    colour: str
    first: RGB
    second: RGB
    angle: float = 0.0
    period: float = 0.1
    noise_seed: int = 0
    asset: str = ""
    crop: Crop = Crop()  # noqa: RUF009 - frozen
    caption: str = ""


@dataclass(frozen=True, slots=True)
class BlendLook:
    """How things meet what is behind them, the same for all things of a picture.

    Attributes:
        style: "none", "feather", "gaussian", "gain" or "shadow".
        softness: Standard deviation of the blur, for gaussian in pixels, for shadow as a fraction of the
            shorter side of the canvas.
        strength: For gain how far the light of a thing goes towards that of the background, for shadow how
            dark it is; 0 is nothing, 1 is all.
        dx: Where a shadow falls, to the right, as a fraction of the shorter side.
        dy: The same downwards.
    """

    style: BlendStyle = "none"
    softness: float = 0.0
    strength: float = 0.0
    dx: float = 0.0
    dy: float = 0.0


@dataclass(frozen=True, slots=True)
class Scene:
    """A background and instances on it; later instances cover earlier ones."""

    size: Size
    background: BackgroundLook
    placed: tuple[Placed, ...]
    blend: BlendLook = BlendLook()


def assets_of(*scenes: Scene) -> tuple[str, ...]:
    """Ids of what is drawn: `sticker:apple`, `font:sans`, `<library>:<id>`; shapes are no assets."""
    found = {scene.background.asset for scene in scenes} - {""}
    for scene in scenes:
        for item in scene.placed:
            if item.look.asset:
                found.add(item.look.asset)
            elif item.thing.kind == "sticker":
                found.add(f"sticker:{item.look.name}")
            elif item.thing.kind == "text":
                font = item.look.font
                found.add(font if ":" in font else f"font:{font}")
    return tuple(sorted(found))
