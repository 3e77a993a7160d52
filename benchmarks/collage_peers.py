"""The same samples by other means: a straightforward script with Pillow, and one with albumentations.

Both get more than our engine does: coloured stickers and painted backgrounds lie ready in memory, and
somebody else has decided what goes where. They draw both pictures of a pair, read boxes off an instance map,
mark what changed, encode as PNG what our shards hold as PNG, and add everything to a tar.
"""

import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageChops

from dreamomni.data.collage.assets import StickerPack
from dreamomni.data.collage.backgrounds import paint_background
from dreamomni.data.collage.render import Renderer
from dreamomni.data.collage.scene import Look, Scene

RASTER_PX = {512: 512, 1024: 1024}


@dataclass(frozen=True)
class PeerThing:
    """One instance: which picture shows it, where, and how large its drawing is before rotation."""

    instance_id: int
    look: Look
    x: int
    y: int
    width: int
    height: int
    drawn: tuple[int, int]


@dataclass(frozen=True)
class PeerPair:
    """What one pair shows, with its background as an array."""

    background: np.ndarray
    source: tuple[PeerThing, ...]
    target: tuple[PeerThing, ...]
    instruction: str


class Assets:
    """Stickers in memory, coloured, with straight alpha, as the PNG files of such a script would be."""

    def __init__(self, raster_px: int) -> None:
        self._pack = StickerPack.default()
        self._raster_px = raster_px
        self.arrays: dict[tuple[str, tuple[int, int, int]], np.ndarray] = {}
        self.images: dict[tuple[str, tuple[int, int, int]], Image.Image] = {}

    def add(self, look: Look) -> None:
        """Make the sticker of a look ready."""
        key = (look.name, look.rgb)
        if key not in self.arrays:
            self.arrays[key] = self._pack.render(look.name, look.rgb, self._raster_px)
            self.images[key] = Image.fromarray(self.arrays[key])


def peer_pair(source: Scene, target: Scene, instruction: str, renderer: Renderer, assets: Assets) -> PeerPair:
    """Turn a pair of our plans into what the peers draw."""

    def things(scene: Scene) -> tuple[PeerThing, ...]:
        found = []
        for item in scene.placed:
            fit = renderer.fit(item.look)
            # The drawing's own axes are unit vectors: their images are its sides before rotation.
            wide, high = np.linalg.norm(fit.matrix[:, :2], axis=0)
            assets.add(item.look)
            drawn = (max(1, round(wide)), max(1, round(high)))
            found.append(PeerThing(item.instance_id, item.look, item.x, item.y, fit.width, fit.height, drawn))
        return tuple(found)

    background = paint_background(source.background, source.size)
    return PeerPair(background, things(source), things(target), instruction)


def pillow_pair(
    pair: PeerPair, assets: Assets, tar: tarfile.TarFile, number: int, *, fast: bool = False
) -> None:
    """Draw, label, encode and store one pair with Pillow.

    Args:
        pair: What to draw.
        assets: Stickers in memory.
        tar: Where the sample goes.
        number: Of the sample, for its key.
        fast: Bilinear resizing and rotation and the fastest PNG level, instead of the best and the default.
    """
    resize = Image.Resampling.BILINEAR if fast else Image.Resampling.LANCZOS
    rotate = Image.Resampling.BILINEAR if fast else Image.Resampling.BICUBIC
    sprites = {}
    for thing in {thing.instance_id: thing for thing in (*pair.source, *pair.target)}.values():
        sprite = assets.images[thing.look.name, thing.look.rgb].resize(thing.drawn, resize)
        if thing.look.flip:
            sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if thing.look.angle:
            sprite = sprite.rotate(thing.look.angle, rotate, expand=True)
        sprites[thing.instance_id] = sprite
    pictures, maps, labels = [], [], []
    for things in (pair.source, pair.target):
        picture = Image.fromarray(pair.background)
        ids = Image.new("L", picture.size)
        for thing in things:
            sprite = sprites[thing.instance_id]
            x = thing.x + (thing.width - sprite.width) // 2
            y = thing.y + (thing.height - sprite.height) // 2
            picture.paste(sprite, (x, y), sprite)
            solid = sprite.getchannel("A").point(lambda value: 255 if value >= 128 else 0)
            ids.paste(thing.instance_id, (x, y), solid)
        pictures.append(picture)
        maps.append(ids)
        labels.append([_pillow_label(ids, thing) for thing in things])
    red, green, blue = ImageChops.difference(*pictures).split()
    mask = ImageChops.lighter(ImageChops.lighter(red, green), blue).point(lambda value: 255 if value else 0)
    members = {"image1.png": pictures[0], "target.png": pictures[1], "mask.png": mask.convert("1")}
    members |= {"ids1.png": maps[0], "ids.png": maps[1]}
    level = {"compress_level": 1} if fast else {}
    content = {name: _saved(image, level) for name, image in members.items()}
    _store(tar, number, content, pair.instruction, labels)


def _pillow_label(ids: Image.Image, thing: PeerThing) -> dict[str, Any]:
    mine = ids.point(lambda value: 255 if value == thing.instance_id else 0)
    return {"name": thing.look.name, "box": mine.getbbox(), "area": mine.histogram()[255]}


def _saved(image: Image.Image, options: dict[str, int]) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


class AlbumentationsPeer:
    """A pipeline of albumentations for each thing, then numpy and OpenCV for what it has no transform for.

    Its `OverlayElements` neither rotates nor knows alpha, so the paste is written out, as people do. Flip,
    scale and rotation are drawn by the pipeline from ranges like those of our plans.
    """

    def __init__(self, scales: tuple[float, float], max_angle: float) -> None:
        # Imported here: the peer is optional.
        import albumentations

        self._transform = albumentations.Compose(
            [
                albumentations.HorizontalFlip(p=0.5),
                albumentations.Affine(
                    scale=scales,
                    rotate=(-max_angle, max_angle),
                    fit_output=True,
                    interpolation=cv2.INTER_LINEAR,
                    mask_interpolation=cv2.INTER_LINEAR,
                    p=1.0,
                ),
            ]
        )

    def pair(self, pair: PeerPair, assets: Assets, tar: tarfile.TarFile, number: int) -> None:
        """Draw, label, encode and store one pair."""
        sprites = {}
        for thing in {thing.instance_id: thing for thing in (*pair.source, *pair.target)}.values():
            asset = assets.arrays[thing.look.name, thing.look.rgb]
            sprites[thing.instance_id] = self._transform(image=asset[..., :3], mask=asset[..., 3])
        pictures, maps, labels = [], [], []
        for things in (pair.source, pair.target):
            picture = pair.background.copy()
            ids = np.zeros(picture.shape[:2], np.uint8)
            for thing in things:
                _paste(picture, ids, sprites[thing.instance_id], thing)
            pictures.append(picture)
            maps.append(ids)
            labels.append([_array_label(ids, thing) for thing in things])
        mask = np.any(pictures[0] != pictures[1], axis=-1).astype(np.uint8) * 255
        members = {
            "image1.png": pictures[0][..., ::-1],
            "target.png": pictures[1][..., ::-1],
            "mask.png": mask,
        }
        members |= {"ids1.png": maps[0], "ids.png": maps[1]}
        content = {name: cv2.imencode(".png", image)[1].tobytes() for name, image in members.items()}
        _store(tar, number, content, pair.instruction, labels)


def _paste(picture: np.ndarray, ids: np.ndarray, sprite: dict[str, np.ndarray], thing: PeerThing) -> None:
    colour, alpha = sprite["image"], sprite["mask"]
    height = min(colour.shape[0], picture.shape[0] - max(thing.y, 0))
    width = min(colour.shape[1], picture.shape[1] - max(thing.x, 0))
    y, x = max(thing.y, 0), max(thing.x, 0)
    weight = alpha[:height, :width, None].astype(np.float32) / 255
    here = picture[y : y + height, x : x + width]
    here[:] = (colour[:height, :width] * weight + here * (1 - weight)).round().astype(np.uint8)
    ids[y : y + height, x : x + width][alpha[:height, :width] >= 128] = thing.instance_id


def _array_label(ids: np.ndarray, thing: PeerThing) -> dict[str, Any]:
    mine = (ids == thing.instance_id).astype(np.uint8)
    return {"name": thing.look.name, "box": list(cv2.boundingRect(mine)), "area": int(mine.sum())}


def _store(
    tar: tarfile.TarFile, number: int, content: dict[str, bytes], instruction: str, labels: Sequence[Any]
) -> None:
    content = {**content, "txt": instruction.encode(), "json": json.dumps(labels).encode()}
    for name, data in content.items():
        entry = tarfile.TarInfo(f"{number:09d}.{name}")
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
