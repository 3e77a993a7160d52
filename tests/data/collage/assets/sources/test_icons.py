"""Icon sets: aliases, turns, licences, and what is left out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamomni.data.collage.assets.build import BuildOptions, build_library
from dreamomni.data.collage.assets.candidate import looks_plural, name_from
from dreamomni.data.collage.assets.library import AssetLibrary
from dreamomni.data.collage.assets.licences import Rights
from dreamomni.data.collage.assets.sources.icons import IconSource
from dreamomni.errors import DataError

BODY = '<path fill="#e02020" d="M0 0h8v16h-8z"/>'
RED_LEFT = np.array([[True, False], [True, False]])


@pytest.fixture
def icons(tmp_path: Path) -> Path:
    tree: dict[str, Any] = {
        "prefix": "toy",
        "width": 16,
        "height": 16,
        "icons": {
            "half-moon": {"body": BODY + '<path fill="#2020e0" d="M8 0h8v16h-8z"/>'},
            "wave-dark-skin-tone": {"body": BODY},
            "keycap-3": {"body": BODY},
            "grin": {"body": BODY},
            "ghost": {"body": BODY, "hidden": True},
            "drop": {"body": '<path fill="currentColor" d="M0 0h16v16h-16z"/>'},
            "broken": {"body": BODY, "width": 0},
        },
        "aliases": {
            "mirror": {"parent": "half-moon", "hFlip": True},
            "quarter": {"parent": "half-moon", "rotate": 1},
            "twice": {"parent": "quarter", "rotate": 1},
            "circle-a": {"parent": "circle-b"},
            "circle-b": {"parent": "circle-a"},
        },
    }
    (tmp_path / "icons.json").write_text(json.dumps(tree))
    info = {"name": "Toy", "author": {"name": "Ann", "url": "http://a"}, "license": {"spdx": "MIT"}}
    (tmp_path / "info.json").write_text(json.dumps(info))
    categories = {"Things": ["half-moon", "drop", "broken"], "Smileys & Emotion": ["grin"]}
    (tmp_path / "metadata.json").write_text(json.dumps({"categories": categories}))
    return tmp_path


def test_what_is_no_thing_is_left_out_and_rights_are_kept(icons: Path) -> None:
    found = list(IconSource(icons, Rights("CC0-1.0")))
    assert [c.name for c in found] == ["broken", "drop", "half moon"]
    assert {c.rights for c in found} == {Rights("MIT", "Toy, by Ann, http://a")}
    assert [c.name for c in IconSource(icons, Rights(), categories=["Smileys & Emotion"])] == ["grin"]
    assert [c.id for c in IconSource(icons, Rights(), names=["half moon", "mirror"])] == [
        "toy/half-moon",
        "toy/mirror",
    ]


@pytest.mark.parametrize(
    ("name", "red"),
    [
        ("half-moon", RED_LEFT),
        ("mirror", ~RED_LEFT),
        ("quarter", np.array([[True, True], [False, False]])),
        ("twice", ~RED_LEFT),
    ],
)
def test_aliases_turn_and_flip(icons: Path, tmp_path: Path, name: str, red: np.ndarray) -> None:
    source = IconSource(icons, Rights(), names=[name], raster_px=32)
    build_library([source], tmp_path / "x.assets", "x", BuildOptions(held_out=0.0))
    drawn = AssetLibrary.open(tmp_path / "x.assets").render(f"toy/{name}", (0, 0, 0), 32)
    quarters = drawn[8:32:16, 8:32:16, 0] > 128
    assert (quarters == red).all()


def test_an_icon_of_current_colour_takes_any(icons: Path, tmp_path: Path) -> None:
    source = IconSource(icons, Rights(), names=["drop"], raster_px=32)
    build_library([source], tmp_path / "x.assets", "x", BuildOptions(held_out=0.0))
    library = AssetLibrary.open(tmp_path / "x.assets")
    assert library.info("toy/drop").recolourable
    assert (library.render("toy/drop", (1, 2, 3), 16) == [1, 2, 3, 255]).all()


def test_icon_sets_that_are_none(icons: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no icon 'moose'"):
        IconSource(icons, Rights(), names=["moose"])
    with pytest.raises(DataError, match="no category 'Food'; it has Things"):
        IconSource(icons, Rights(), categories=["Food"])
    with pytest.raises(DataError, match=r"'circle-a' of .* which is no icon of it"):
        IconSource(icons, Rights()).svg("circle-a")
    with pytest.raises(DataError, match=r"'broken' of .* no body or no size"):
        IconSource(icons, Rights()).svg("broken")
    (tmp_path / "icons.json").write_text("[]")
    with pytest.raises(DataError, match="is not an icon set of iconify"):
        IconSource(icons, Rights())


@pytest.mark.parametrize(
    ("name", "several"),
    [("shopping bags", True), ("blueberries", True), ("glasses", False), ("bus", False), ("compass", False)],
)
def test_names_of_several_things(name: str, several: bool) -> None:
    assert looks_plural(name) == several


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Red_Apple-02", "red apple"),
        ("bow_(ribbon)", "bow"),
        ("automobile", "car"),
        ("img (3)", "img"),
        ("07", ""),
    ],
)
def test_names_from_files_and_categories(text: str, name: str) -> None:
    assert name_from(text) == name
