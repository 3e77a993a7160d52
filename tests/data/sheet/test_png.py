import numpy as np
import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import KINDS, CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.sheet import contact_sheet
from dreamomni.data.sheet.overlays import frames_of, painted_ids
from dreamomni.errors import DataError
from dreamomni.tasks.sample import TrainingSample


@pytest.fixture(scope="module")
def engine() -> CollageEngine:
    return CollageEngine(load_recipe("mini-world", CollageRecipe))


@pytest.fixture(scope="module")
def samples(engine: CollageEngine) -> list[TrainingSample]:
    kinds = ("single", "position", "replace", "remove", "counting", "add")
    return [engine.sample(0, index, kind) for index, kind in enumerate(kinds)]


def test_a_sheet_shows_every_pixel_of_a_small_target(samples: list[TrainingSample]) -> None:
    sheet = contact_sheet(samples[:1], columns=1, cell_px=128, boxes=False)
    shown = np.asarray(sheet)[10:138, 10:138]
    big = samples[0].target.repeat(2, axis=0).repeat(2, axis=1)
    assert (shown[1:-1, 1:-1] == big[1:-1, 1:-1]).all()


def test_sheets_keep_to_their_columns_and_grow_with_samples(samples: list[TrainingSample]) -> None:
    narrow, wide = contact_sheet(samples, columns=3), contact_sheet(samples, columns=12)
    assert narrow.width < wide.width
    assert narrow.height > wide.height
    assert contact_sheet(samples, masks=False, columns=3).height <= narrow.height
    with pytest.raises(DataError, match="at least one sample"):
        contact_sheet([])


def test_boxes_are_drawn_where_the_labels_are(samples: list[TrainingSample]) -> None:
    plain = np.asarray(contact_sheet(samples[:1], cell_px=128, boxes=False))
    boxed = np.asarray(contact_sheet(samples[:1], cell_px=128, boxes=True))
    rows, columns = np.nonzero((plain != boxed).any(axis=2))
    x0, y0, x1, y1 = samples[0].objects[0].box
    assert (columns.min() - 10, rows.min() - 10) == (2 * x0, 2 * y0)
    assert (columns.max() - 9, rows.max() - 9) == (2 * x1, 2 * y1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_card_with_all_of_its_pictures(engine: CollageEngine, kind: str) -> None:
    sample = engine.sample(0, 3, kind)
    frames = frames_of(sample)
    assert [frame.title for frame in frames[:-1]] == [f"image {n + 1}" for n in range(len(sample.images))]
    assert frames[-1].title == "target"
    sheet = contact_sheet([sample], cell_px=64, columns=1)
    pictures = len(frames) + (sample.mask is not None)
    assert sheet.width >= pictures * 40
    assert frames[0].drags == sample.drags


def test_arrows_are_drawn_on_the_source_of_a_drag_alone(engine: CollageEngine) -> None:
    sample = engine.sample(0, 1, "drag_move")
    cell = 64
    sheet = np.asarray(contact_sheet([sample], cell_px=cell, boxes=False, masks=False))
    source, target = sheet[11:73, 11:73], sheet[11:73, 10 + cell + 18 + 1 : 10 + 2 * cell + 18 - 1]
    assert (source != sample.images[0][1:-1, 1:-1]).any()
    assert (target == sample.target[1:-1, 1:-1]).all()


def test_instances_are_painted_apart_and_the_background_is_clear() -> None:
    painted = painted_ids(np.array([[0, 1, 2]], np.int16))
    assert painted[0, 0, 3] == 0
    assert painted[0, 1, 3] > 0
    assert (painted[0, 1] != painted[0, 2]).any()
