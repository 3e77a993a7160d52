"""Tiny pictures that libraries are built from."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dreamomni.data.collage.assets.build import BuildOptions, build_library
from dreamomni.data.collage.assets.library import AssetLibrary
from dreamomni.data.collage.assets.licences import Rights
from dreamomni.data.collage.assets.sources.find import SourceOptions, find_sources

RIGHTS = Rights("CC0-1.0", "A. Painter")
SQUARE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">'
    '<rect x="8" y="16" width="48" height="32" fill="{fill}"/></svg>'
)


def _disc(
    colour: tuple[int, int, int], size: int = 48, second: tuple[int, int, int] | None = None
) -> Image.Image:
    """A disc with soft alpha; with a second colour its lower third has that."""
    rows, columns = np.indices((size, size)) + 0.5
    distance = np.hypot(rows - size / 2, columns - size / 2)
    pixels = np.zeros((size, size, 4), np.uint8)
    pixels[..., :3] = colour
    if second is not None:
        pixels[int(size * 0.62) :, :, :3] = second
    pixels[..., 3] = np.clip((size / 2 - 1 - distance) * 255, 0, 255)
    return Image.fromarray(pixels)


def _noise(seed: int, width: int = 96, height: int = 80) -> Image.Image:
    """A photograph of nothing."""
    coarse = np.random.default_rng(seed).integers(0, 255, (5, 6, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="session")
def disc() -> Callable[..., Image.Image]:
    """Paint a disc."""
    return _disc


@pytest.fixture(scope="session")
def noise() -> Callable[..., Image.Image]:
    """Take a photograph of nothing."""
    return _noise


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., AssetLibrary]:
    """Build a library of folders and open it."""

    def make(*paths: Path, name: str = "mine", kind: str | None = None, **options: object) -> AssetLibrary:
        settings = {"held_out": 0.0, "max_px": 64, "min_px": 8, "max_background_px": 128, **options}
        sources = find_sources(paths, SourceOptions(kind=kind, rights=RIGHTS, raster_px=64))  # type: ignore[arg-type]
        file = tmp_path / f"{name}.assets"
        build_library(sources, file, name, BuildOptions(**settings))  # type: ignore[arg-type]
        return AssetLibrary.open(file)

    return make


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Stickers, a cut-out, backgrounds, as users keep them."""
    root = tmp_path / "pictures"
    for folder in ("stickers/ball", "cutouts", "backgrounds"):
        (root / folder).mkdir(parents=True)
    _disc((222, 28, 36)).save(root / "stickers/ball/01.png")
    _disc((28, 92, 224)).save(root / "stickers/ball/02.webp", lossless=True)
    _disc((222, 28, 36), second=(252, 252, 252)).save(root / "stickers/toadstool.png")
    (root / "stickers/paper_box.svg").write_text(SQUARE.format(fill="currentColor"))
    photo, mask = _noise(1), np.zeros((80, 96), np.uint8)
    mask[20:60, 30:70] = 255
    photo.save(root / "cutouts/rug.png")
    Image.fromarray(mask).save(root / "cutouts/rug.mask.png")
    for number in range(3):
        _noise(10 + number, 160, 120).save(root / f"backgrounds/place_{number}.png")
    (root / "backgrounds/place_0.txt").write_text("A sunny beach.\n")
    return root
