"""Every shipped sticker is drawn well: licensed, inside its canvas, mostly one colour, unlike the others."""

import io
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import resvg_py
from PIL import Image

from dreamomni.data.collage.assets import STICKER_FOLDER, StickerPack
from dreamomni.data.collage.palette import MINI, PALETTE, lab

GOLDEN = Path(__file__).parents[2] / "golden" / "stickers.npz"
GOLDEN_NAMES = ("apple", "car", "cat", "key", "scissors")
# fmt: off
MINI_THINGS = [
    "apple", "tree", "house", "fish", "car", "cup", "star", "umbrella", "heart", "moon", "flower",
    "cat", "boat", "key", "mushroom", "balloon",
]
REQUIRED = [
    *MINI_THINGS,
    "book", "bell", "cloud", "leaf", "rocket", "bird", "butterfly", "banana", "pear", "cherry",
    "carrot", "hat", "shoe", "shirt", "chair", "lamp", "clock", "phone", "camera", "guitar", "drum",
    "ball", "kite", "cake", "cactus", "sun", "snowman", "envelope", "pencil", "scissors", "hammer",
    "crown", "gift", "bus", "bicycle", "plane", "train", "ice cream",
    "elephant", "lion", "bear", "cow", "pig", "sheep", "horse", "giraffe", "penguin", "owl", "frog", "bee",
    "snail", "spider", "shark", "octopus", "pizza", "burger", "donut", "egg", "cheese", "pineapple",
    "bottle", "loaf", "truck", "tractor", "helicopter", "ship", "motorcycle", "castle", "bridge",
    "lighthouse", "tent", "ladder", "bucket", "broom", "spoon", "fork", "knife", "candle", "light bulb",
    "magnet", "backpack", "suitcase", "sunglasses", "watch", "ring", "violin", "piano", "radio",
    "television", "laptop", "robot", "dice", "teddy bear", "traffic light", "stop sign", "globe",
    "volcano", "mountain", "snowflake", "hourglass", "bed", "table", "sofa", "trousers",
]
# fmt: on
NAMES = StickerPack.default().names
MINI_LAB = lab(list(MINI.values()))


@pytest.fixture(scope="module")
def pack():
    return StickerPack.default()


def test_the_pack_has_what_recipes_rely_on(pack):
    assert set(REQUIRED) <= set(pack.names)
    assert len(pack.names) >= 180


@pytest.mark.parametrize("name", NAMES)
def test_file_says_its_name_and_licence(pack, name):
    root = ElementTree.parse(STICKER_FOLDER / f"{name.replace(' ', '_')}.svg").getroot()
    assert root.get("viewBox") == "0 0 128 128"
    assert root.findtext("{http://www.w3.org/2000/svg}title") == name
    assert pack.licence(name) == "Apache-2.0"
    assert pack.is_recolourable(name)


@pytest.mark.parametrize("name", NAMES)
def test_drawing_is_inside_the_canvas_and_fills_it(name):
    svg = (STICKER_FOLDER / f"{name.replace(' ', '_')}.svg").read_text(encoding="utf-8")
    alpha = np.asarray(Image.open(io.BytesIO(resvg_py.svg_to_bytes(svg_string=svg, width=256))))[..., 3]
    assert not alpha[[0, -1]].any()
    assert not alpha[:, [0, -1]].any()
    height, width = (np.ptp(np.flatnonzero(alpha.any(axis=axis))) + 1 for axis in (1, 0))
    assert max(width, height) >= 224
    assert min(width, height) >= 116


@pytest.mark.parametrize("name", NAMES)
def test_main_colour_covers_most_of_the_drawing(pack, name):
    black, white = (pack.render(name, rgb, 160).astype(int) for rgb in ((0, 0, 0), (255, 255, 255)))
    opaque = black[..., 3] == 255
    main = (white - black)[..., :3].min(axis=-1)[opaque]
    assert main.sum() / 255 >= 0.55 * opaque.sum()


@pytest.mark.parametrize("name", NAMES)
def test_colour_can_be_measured_at_twenty_pixels(pack, name):
    for colour, rgb in MINI.items():
        image = pack.render(name, rgb, 20)
        pixels = image[image[..., 3] >= 230][:, :3]
        # Outlines are near black and highlights near white; neither names the colour.
        telling = pixels[(pixels.max(axis=1) > 70) & (pixels.min(axis=1) < 220)]
        distances = np.linalg.norm(lab(telling)[:, None] - MINI_LAB, axis=-1)
        votes = np.bincount(distances.argmin(axis=1), minlength=len(MINI))
        assert list(MINI)[votes.argmax()] == colour


@pytest.mark.parametrize("name", NAMES)
def test_colour_most_seen_is_the_asked_one_exactly(pack, name):
    for rgb in PALETTE.values():
        image = pack.render(name, rgb, 96)
        values = image[image[..., 3] > 127].astype(int) @ (1 << 16, 1 << 8, 1, 1 << 24)
        seen, counts = np.unique(values, return_counts=True)
        assert seen[counts.argmax()] == np.array([*rgb, 255]) @ (1 << 16, 1 << 8, 1, 1 << 24)
        assert counts.max() >= 0.35 * len(values)


@pytest.mark.parametrize(
    ("names", "side", "limit"), [(MINI_THINGS, 64, 0.83), (NAMES, 64, 0.9), (NAMES, 32, 0.9)]
)
def test_silhouettes_are_distinct(pack, names, side, limit):
    masks = np.stack([silhouette(pack, name, side).ravel() for name in names]).astype(np.float32)
    overlap = masks @ masks.T
    areas = np.diag(overlap)
    ratio = overlap / (areas[:, None] + areas[None] - overlap)
    np.fill_diagonal(ratio, 0.0)
    first, second = np.unravel_index(ratio.argmax(), ratio.shape)
    assert ratio[first, second] <= limit, (names[first], names[second])


def rendered_strip(pack):
    strip = np.zeros((48, 48 * len(GOLDEN_NAMES), 4), dtype=np.uint8)
    for place, name in enumerate(GOLDEN_NAMES):
        image = pack.render(name, PALETTE["red"], 48, premultiplied=True)
        strip[: image.shape[0], place * 48 : place * 48 + image.shape[1]] = image
    return strip


def test_pixels_are_the_recorded_ones(pack):
    # Another processor may round a resized pixel the other way; nothing else may differ.
    recorded = np.load(GOLDEN)["strip"].astype(int)
    assert np.abs(rendered_strip(pack) - recorded).max() <= 2


def silhouette(pack, name, side=64):
    alpha = pack.render(name, (0, 0, 0), side)[..., 3] > 127
    canvas = np.zeros((side, side), dtype=bool)
    top, left = (side - alpha.shape[0]) // 2, (side - alpha.shape[1]) // 2
    canvas[top : top + alpha.shape[0], left : left + alpha.shape[1]] = alpha
    return canvas
