from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dreamomni.data.collage.assets.library import AssetLibrary
from dreamomni.data.collage.clarity import Clarity, UnclearError
from dreamomni.data.collage.engine import CollageEngine, RejectedSampleError
from dreamomni.data.collage.palette import PALETTE, delta_e
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.collage.scene import Look, Placed, Thing

BUILD = Callable[..., AssetLibrary]


def engine(library: AssetLibrary, **changes: object) -> CollageEngine:
    settings = {
        "assets": str(library.path),
        "names": ["apple", "tree"],
        "size": "96x96",
        "mixture": {"two": 1.0},
        "held_out": {"fraction": 0.0},
        **changes,
    }
    return CollageEngine(CollageRecipe.model_validate(settings))


@pytest.fixture
def walls(build: BUILD, tmp_path: Path) -> AssetLibrary:
    """A photograph whose left half is red and whose right half is blue."""
    folder = tmp_path / "walls" / "backgrounds"
    folder.mkdir(parents=True)
    pixels = np.zeros((120, 160, 3), np.uint8)
    pixels[:, :80], pixels[:, 80:] = PALETTE["red"], PALETTE["blue"]
    Image.fromarray(pixels).save(folder / "wall.png")
    return build(tmp_path / "walls")


def test_nothing_vanishes_into_a_photograph(walls: AssetLibrary) -> None:
    made = engine(walls, background_styles={"photo": 1.0}, colours=["red", "blue", "yellow"])
    rejected, colours = 0, set()
    for index in range(40):
        sample = made.sample(0, index)
        rejected += sample.details["rejected"].get("contrast", 0)
        for label in sample.objects:
            colours.add(label.colour)
            x0, y0, x1, y1 = label.box
            # A frame around the thing shows what it stands on.
            frame = sample.target[max(y0 - 3, 0) : y1 + 3, max(x0 - 3, 0) : x1 + 3]
            behind = np.concatenate([frame[0], frame[-1], frame[:, 0], frame[:, -1]])
            near = delta_e(behind, PALETTE[label.colour or ""]) < 30
            assert near.mean() < 0.75
    assert rejected > 5
    assert colours == {"red", "blue", "yellow"}


def test_what_vanishes_everywhere_is_said(build: BUILD, tmp_path: Path) -> None:
    folder = tmp_path / "red" / "backgrounds"
    folder.mkdir(parents=True)
    Image.new("RGB", (120, 120), PALETTE["red"]).save(folder / "wall.png")
    made = engine(
        build(tmp_path / "red"),
        background_styles={"photo": 1.0},
        colours=["red"],
        mixture={"single": 1.0},
    )
    with pytest.raises(RejectedSampleError, match=r"contrast: 40.*lower min_contrast") as caught:
        made.sample(0, 0)
    assert caught.value.reasons == {"contrast": 40}


def test_painted_backgrounds_are_not_asked(walls: AssetLibrary) -> None:
    one, other = engine(walls), engine(walls, min_contrast=30.0)
    assert all(not one.sample(0, index).details["rejected"].get("contrast") for index in range(10))
    assert one.sample(0, 1).target.tobytes() == other.sample(0, 1).target.tobytes()


def test_a_library_is_drawn_no_larger_than_its_pixels_allow(build: BUILD, pictures: Path) -> None:
    library = build(pictures)  # a toadstool has 48 pixels
    wide = {"names": ["toadstool"], "mixture": {"single": 1.0}, "size": "256x256"}
    free = engine(library, **wide, object_sizes={1: (0.1, 0.6)}, max_enlargement=10)
    capped = engine(library, **wide, object_sizes={1: (0.1, 0.6)})

    def sides(made: CollageEngine) -> list[int]:
        boxes = [made.sample(0, index).objects[0].box for index in range(30)]
        return [max(box.width, box.height) for box in boxes]

    drawn, limited = sides(free), sides(capped)
    assert max(drawn) > 100
    assert max(limited) <= 2 * 48
    # What its pixels allow stays as it was.
    assert all(one == other for one, other in zip(drawn, limited, strict=True) if one <= 90)
    with pytest.raises(RejectedSampleError, match=r"enlarged: 40.*raise max_enlargement"):
        engine(library, **wide, object_sizes={1: (0.5, 0.6)}).sample(0, 0)


def test_many_colours_do_not_vanish(build: BUILD, pictures: Path) -> None:
    clarity = Clarity(CollageRecipe(), build(pictures))
    behind = np.full((20, 20, 3), 120, np.uint8)

    def placed(name: str, asset: str) -> Placed:
        look = Look("sticker", name, (120, 120, 120), 20, asset=asset)
        return Placed(1, Thing(name, None, asset=asset), look, 0, 0)

    (rug,) = [info.id for info in build(pictures, name="again").assets() if info.name == "rug"]
    clarity.check_contrast(placed("rug", rug), behind)
    with pytest.raises(UnclearError, match="contrast"):
        clarity.check_contrast(placed("apple", ""), behind)
