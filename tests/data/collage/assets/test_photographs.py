"""Real photographs, where there are any: the shared examples, or those inside scikit-image."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from dreamomni.data.collage.assets import AssetLibrary
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe

SHARED = Path(__file__).parents[5] / "shared" / "data" / "dreamomni2_examples"


def photographs() -> list[Image.Image]:
    files = sorted(SHARED.glob("edit_[1-7]/ref_*.jpg"))
    if files:
        return [Image.open(file).convert("RGB") for file in files[:6]]
    data = pytest.importorskip("skimage.data")
    return [Image.fromarray(getattr(data, name)()) for name in ("astronaut", "chelsea", "coffee", "rocket")]


def test_photographs_cut_out_and_laid_on_photographs(
    tmp_path: Path, build: Callable[..., AssetLibrary]
) -> None:
    photos = photographs()
    for folder in ("cutouts", "backgrounds"):
        (tmp_path / "p" / folder).mkdir(parents=True)
    for number, photo in enumerate(photos):
        photo.save(tmp_path / f"p/backgrounds/view_{number}.jpg", quality=95)
        photo.thumbnail((300, 300))
        mask = Image.new("L", photo.size)
        width, height = photo.size
        ImageDraw.Draw(mask).ellipse((width * 0.2, height * 0.1, width * 0.8, height * 0.9), fill=255)
        name = ["medallion", "plaque", "token", "badge", "coin", "seal"][number]
        photo.save(tmp_path / f"p/cutouts/{name}.png")
        mask.save(tmp_path / f"p/cutouts/{name}.mask.png")
    library = build(tmp_path / "p", max_px=256, max_background_px=512)
    engine = CollageEngine(
        CollageRecipe.model_validate(
            {
                "assets": str(library.path),
                "names": "assets",
                "size": "256x192",
                "background_styles": {"photo": 1.0},
                "mixture": {"remove": 1.0, "replace": 1.0},
                "held_out": {"fraction": 0.0},
                "blending": {"weights": {"none": 1.0}},
            }
        )
    )
    for index in range(8):
        sample = engine.sample(0, index)
        assert sample.mask is not None
        same = sample.mask == 0
        assert (sample.target[same] == sample.images[0][same]).all()
        # A cut-out shows pixels of its photograph, not a flat colour.
        for label in sample.objects:
            assert sample.ids is not None
            assert sample.target[sample.ids == label.instance_id].std() > 5
        assert len(np.unique(sample.target.reshape(-1, 3), axis=0)) > 2000
