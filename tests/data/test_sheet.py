import re
from pathlib import Path

import numpy as np
import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.sheet import contact_sheet, write_html
from dreamomni.errors import DataError, OutputError
from dreamomni.tasks.sample import TrainingSample


@pytest.fixture(scope="module")
def samples() -> list[TrainingSample]:
    engine = CollageEngine(load_recipe("mini-world", CollageRecipe))
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


def test_the_page_holds_everything_and_escapes_words(samples: list[TrainingSample], tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_html(samples, path, title="Things & <words>")
    page = path.read_text()
    assert "Things &amp; &lt;words&gt;" in page
    assert page.count("<article") == len(samples)
    assert page.count("data:image/png;base64,") == 3 + 3 * 3
    for sample in samples:
        assert sample.instruction in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    with pytest.raises(OutputError):
        write_html(samples, tmp_path)
    with pytest.raises(DataError):
        write_html([], path)
