import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.sheet import write_html
from dreamomni.errors import DataError, OutputError
from dreamomni.tasks.sample import TrainingSample


@pytest.fixture(scope="module")
def samples() -> list[TrainingSample]:
    engine = CollageEngine(load_recipe("mini-world", CollageRecipe))
    kinds = ("single", "replace", "drag_scale", "inpaint", "subject", "canny", "detect", "combined")
    return [engine.sample(1, index, kind) for index, kind in enumerate(kinds)]


class _Page(HTMLParser):
    """Elements of a page, by tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def count(self, tag: str, name: str | None = None) -> int:
        return sum(
            one == tag and (name is None or name in (attributes.get("class") or "").split())
            for one, attributes in self.found
        )


def test_the_page_holds_everything_and_asks_nothing_of_others(
    samples: list[TrainingSample], tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    write_html(samples, path, title="Things & <words>")
    text = path.read_text()
    assert "Things &amp; &lt;words&gt;" in text
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert "<script" not in text
    page = _Page(text)
    assert page.count("article") == len(samples)
    assert page.count("figure") == sum(len(sample.images) + 1 for sample in samples)
    for sample in samples:
        assert page.count("article", sample.task) == sum(one.task == sample.task for one in samples)


def test_each_label_drag_mask_and_id_map_has_its_place_in_a_layer(
    samples: list[TrainingSample], tmp_path: Path
) -> None:
    write_html(samples, tmp_path / "page.html")
    page = _Page((tmp_path / "page.html").read_text())
    labels = sum(len(s.objects) + sum(len(own) for own in s.image_objects) for s in samples)
    assert page.count("rect") == labels
    assert page.count("circle") == sum(len(sample.drags) for sample in samples) > 0
    masks = [sample for sample in samples if sample.mask is not None]
    assert page.count("img", "mask") == 2 * len(masks)
    id_maps = [ids for s in samples for ids in (s.ids, *s.image_ids) if ids is not None and ids.any()]
    assert page.count("img", "ids") == len(id_maps)


def test_check_boxes_and_buttons_are_wired_to_what_is_there(
    samples: list[TrainingSample], tmp_path: Path
) -> None:
    write_html(samples, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    page = _Page(text)
    for name in ("boxes", "arrows", "mask", "ids"):
        assert f"#show-{name}:checked~main .{name}" in text
        assert ("input", {"type": "checkbox", "id": f"show-{name}"}) in page.found
    for task in {sample.task for sample in samples}:
        assert f"#task-{task}:checked~main article:not(.{task})" in text


def test_bad_requests_are_refused(samples: list[TrainingSample], tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        write_html(samples, tmp_path)
    with pytest.raises(DataError):
        write_html([], tmp_path / "page.html")
