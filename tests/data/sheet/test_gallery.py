import numpy as np
import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import KINDS, CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.sheet import ROWS, gallery
from dreamomni.errors import DataError


def test_rows_name_kinds_that_exist_and_every_task() -> None:
    shown = [kind for kinds in ROWS.values() for kind in kinds]
    assert set(shown) <= set(KINDS)
    assert len(set(shown)) == len(shown)
    for kind in KINDS[KINDS.index("add") :]:
        assert kind in shown


def test_pictures_stand_in_the_gallery_as_they_are() -> None:
    engine = CollageEngine(load_recipe("mini-world", CollageRecipe))
    samples = {kind: engine.sample(0, 0, kind) for kind in ("replace", "segment")}
    picture = gallery(samples, cell_px=64, width_px=500)
    assert picture.width == 524
    pixels = np.asarray(picture)
    for sample in samples.values():
        for image in (*sample.images, sample.target):
            inner = image[1:-1, 1:-1]
            windows = np.lib.stride_tricks.sliding_window_view(pixels[..., 0], inner.shape[:2])
            corners = np.argwhere(
                (windows[:, :, 0, 0] == inner[0, 0, 0]) & (windows[:, :, -1, -1] == inner[-1, -1, 0])
            )
            assert any((windows[y, x] == inner[..., 0]).all() for y, x in corners)


def test_a_row_that_is_too_wide_goes_on_in_the_next_line() -> None:
    engine = CollageEngine(load_recipe("mini-world", CollageRecipe))
    samples = {kind: engine.sample(0, 0, kind) for kind in ROWS["Instruction editing"]}
    wide, narrow = gallery(samples, cell_px=64, width_px=900), gallery(samples, cell_px=64, width_px=330)
    assert narrow.height > wide.height + 64


def test_an_empty_gallery_is_refused() -> None:
    with pytest.raises(DataError, match="at least one"):
        gallery({})
