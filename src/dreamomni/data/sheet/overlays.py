"""What is drawn over pictures: boxes, masks, instance maps, drag arrows. Shared by sheets and pages."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dreamomni.tasks.sample import DragLabel, ObjectLabel, TrainingSample

RGB = tuple[int, int, int]
COLOURS: tuple[RGB, ...] = (
    (220, 30, 60),
    (20, 110, 220),
    (20, 140, 70),
    (170, 70, 200),
    (220, 120, 0),
    (0, 150, 160),
    (150, 110, 60),
    (240, 90, 160),
)
MASK_TINT: RGB = (255, 0, 160)
_ARROW_INK, _ARROW_EDGE = (255, 20, 90), (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a sample with all that can be drawn over it.

    Attributes:
        title: "image 1", "target", ...
        pixels: uint8 (H, W, 3).
        labels: Things in it.
        ids: (H, W) instance numbers, or None.
        mask: uint8 (H, W), or None.
        drags: Points to move, in image 1 of a drag.
    """

    title: str
    pixels: np.ndarray
    labels: tuple[ObjectLabel, ...] = ()
    ids: np.ndarray | None = None
    mask: np.ndarray | None = None
    drags: tuple[DragLabel, ...] = ()


def frames_of(sample: TrainingSample) -> tuple[Frame, ...]:
    """All pictures of a sample: the images in order, then the target."""
    id_maps = (*sample.image_ids, *(None for _ in sample.images))
    labels = (*sample.image_objects, *(() for _ in sample.images))
    frames = []
    for number, pixels in enumerate(sample.images, start=1):
        fits = sample.mask is not None and sample.mask.shape == pixels.shape[:2]
        frames.append(
            Frame(
                title=f"image {number}",
                pixels=pixels,
                labels=labels[number - 1],
                ids=id_maps[number - 1],
                mask=sample.mask if number == 1 and fits else None,
                drags=sample.drags if number == 1 else (),
            )
        )
    return (*frames, Frame("target", sample.target, sample.objects, sample.ids, sample.mask))


def colour_of(instance_id: int) -> RGB:
    """Colour in which an instance is outlined; instances with near numbers differ."""
    return COLOURS[(instance_id - 1) % len(COLOURS)]


def scaled(pixels: np.ndarray, cell_px: int) -> Image.Image:
    """Bring the longest side to a number of pixels; small worlds are shown pixel by pixel."""
    picture = Image.fromarray(pixels)
    scale = cell_px / max(picture.size)
    # What the model sees is what the reader sees.
    mode = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
    side = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture if side == picture.size else picture.resize(side, mode)


def draw_boxes(picture: Image.Image, labels: Sequence[ObjectLabel], scale: float) -> None:
    """Outline the boxes of labels on a picture that is `scale` times as large as they are."""
    draw = ImageDraw.Draw(picture)
    for label in labels:
        x0, y0, x1, y1 = (value * scale for value in label.box)
        corners = (x0, y0, max(x0, x1 - 1), max(y0, y1 - 1))
        draw.rectangle(corners, outline=colour_of(label.instance_id))


def draw_drags(picture: Image.Image, drags: Sequence[DragLabel]) -> None:
    """Draw each drag as an arrow with a light edge, so that it shows on everything."""
    draw = ImageDraw.Draw(picture)
    width, height = picture.size
    thick = max(2, round(max(picture.size) / 110))
    for ink, edge in ((_ARROW_EDGE, 1), (_ARROW_INK, 0)):
        for drag in drags:
            start = np.array([drag.x * width, drag.y * height])
            end = start + np.array([drag.dx * width, drag.dy * height])
            draw.line((*start, *end), fill=ink, width=thick + 2 * edge)
            radius = thick + edge
            draw.ellipse((*(start - radius), *(start + radius)), fill=ink)
            draw.polygon([tuple(point) for point in _head(start, end, 3.5 * thick, edge)], fill=ink)


def masked(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Fade a picture and tint the white pixels of a mask."""
    share = (mask[..., None] > 0).astype(np.float32) * 0.6
    faded = pixels * 0.5 + 127.0
    tint = np.array(MASK_TINT, np.float32)
    return np.asarray(np.clip(faded * (1 - share) + tint * share, 0, 255), np.uint8)


def painted_ids(ids: np.ndarray) -> np.ndarray:
    """Paint an id map in the colours of its instances, the background clear: uint8 (H, W, 4)."""
    table = np.zeros((256, 4), np.uint8)
    for number in range(1, 256):
        table[number] = (*colour_of(number), 205)
    return np.asarray(table[ids.astype(np.uint8)])


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The one font of sheets."""
    return ImageFont.load_default(size)


def wrapped(text: str, size: int, width: int, max_lines: int) -> list[str]:
    """Break words into lines of at most `width` pixels; the last one says so when it had to be cut."""
    face = font(size)
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and face.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    if len(lines) > max_lines:
        lines = [*lines[: max_lines - 1], lines[max_lines - 1] + " ..."]
    return lines


def _head(start: np.ndarray, end: np.ndarray, size: float, edge: int) -> list[np.ndarray]:
    """Corners of an arrow's head at its end, larger by an edge on all sides."""
    along = end - start
    length = float(np.hypot(*along))
    if length < 1e-6:
        return [end, end, end]
    along = along / length
    across = np.array([-along[1], along[0]])
    tip, back = end + along * 2 * edge, end - along * (min(size, length) + edge)
    half = 0.5 * size + 1.5 * edge
    return [tip, back + across * half, back - across * half]
