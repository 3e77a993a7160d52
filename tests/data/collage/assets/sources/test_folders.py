"""Folders: names, licences, captions, and one sentence for whatever is wrong."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dreamomni.data.collage.assets.build import BuildOptions, build_library
from dreamomni.data.collage.assets.library import AssetLibrary
from dreamomni.data.collage.assets.licences import Rights
from dreamomni.data.collage.assets.sources.find import SourceOptions, find_sources
from dreamomni.data.collage.assets.sources.folders import FolderSource, as_caption
from dreamomni.errors import ConfigError, DataError

BUILD = Callable[..., AssetLibrary]
PAINT = Callable[..., Image.Image]
CC0 = Rights("CC0-1.0")
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><rect width="9" height="9"/>{}</svg>'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    return made


def huge_header() -> bytes:
    """A PNG that says it is 20000x20000 and holds nothing."""
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", 20000, 20000, 8, 6, 0, 0, 0), b"IDAT", b"IEND"]
    parts = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_names_come_from_names_json_then_the_folder_then_the_stem(folder: Path, disc: PAINT) -> None:
    (folder / "red cats").mkdir()
    for file in ("red cats/0001.png", "Old_Oak-Tree_02.png", "img7.png"):
        disc((9, 90, 200)).save(folder / file)
    (folder / "names.json").write_text('{"img7.png": "Blue Marble"}')
    found = {c.id: c.name for c in FolderSource(folder, "sticker", CC0)}
    assert found == {"img7": "blue marble", "old_oak-tree_02": "old oak tree", "red_cats/0001": "red cats"}


def test_licences_of_sidecars_tags_and_arguments(folder: Path, disc: PAINT, build: BUILD) -> None:
    disc((9, 90, 200)).save(folder / "marble.png")
    disc((200, 90, 9)).save(folder / "orb.png")
    (folder / "marble.png.license").write_text(
        "SPDX-FileCopyrightText: 2020 Jo\nSPDX-License-Identifier: CC-BY-4.0\n"
    )
    (folder / "box.svg").write_text(SVG.format("<!-- SPDX-License-Identifier: MIT -->"))
    infos = {info.name: info for info in build(folder).assets()}
    assert {name: info.licence for name, info in infos.items()} == {
        "marble": "CC-BY-4.0",
        "box": "MIT",
        "orb": "CC0-1.0",
    }
    assert infos["marble"].attribution == "2020 Jo"


def test_only_some_licences_and_small_things_are_left_out(folder: Path, disc: PAINT, tmp_path: Path) -> None:
    for name, size in (("free", 40), ("tiny", 6), ("shy", 40)):
        disc((9, 90, 200), size).save(folder / f"{name}.png")
    (folder / "shy.png.license").write_text("SPDX-License-Identifier: CC-BY-NC-4.0")
    options = BuildOptions(min_px=16, allowed=frozenset({"CC0-1.0"}))
    report = build_library(
        find_sources([folder], SourceOptions(rights=CC0)), tmp_path / "x.assets", "x", options
    )
    assert dict(report.skipped) == {"too small": 1, "licence CC-BY-NC-4.0": 1}
    assert [info.name for info in AssetLibrary.open(tmp_path / "x.assets").assets()] == ["free"]


def test_captions_of_backgrounds(folder: Path, noise: PAINT, build: BUILD) -> None:
    for name in ("a", "b", "c"):
        noise(3).save(folder / f"{name}.jpg")
    (folder / "a.txt").write_text("The sea.\n")
    (folder / "captions.jsonl").write_text(
        '{"file": "b.jpg", "caption": "A hill", "licence": "CC-BY-2.0", "attribution": "Ann"}\n'
    )
    infos = {info.id: info for info in build(folder, kind="background").assets()}
    assert [infos[i].caption for i in "abc"] == ["the sea", "a hill", ""]
    assert (infos["b"].licence, infos["b"].attribution) == ("CC-BY-2.0", "Ann")
    assert as_caption("  Paris at\n night. ") == "Paris at night"


def broken(folder: Path, case: str, disc: PAINT) -> None:
    picture = disc((9, 90, 200))
    if case == "opaque":
        picture.convert("RGB").save(folder / "ball.png")
    elif case == "clear":
        Image.new("RGBA", (20, 20)).save(folder / "ball.png")
    elif case == "cut":
        picture.save(folder / "ball.png")
        (folder / "ball.png").write_bytes((folder / "ball.png").read_bytes()[:200])
    elif case == "text":
        (folder / "ball.png").write_text("hello")
    elif case == "huge":
        (folder / "ball.png").write_bytes(huge_header())
    elif case == "nameless":
        picture.save(folder / "0001.png")
    elif case == "twice":
        picture.save(folder / "Red_Ball.png")
        picture.save(folder / "red ball.webp")
    elif case == "svg":
        (folder / "ball.svg").write_text("<svg")
    elif case == "lost":
        picture.save(folder / "ball.png")
        (folder / "names.json").write_text('{"bell.png": "bell"}')


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("empty", "holds nothing to build stickers from"),
        ("opaque", r"ball\.png' has no transparent pixel.*--kind cutout"),
        ("clear", r"ball\.png' is transparent everywhere"),
        ("cut", r"ball\.png' is damaged or cut short"),
        ("text", r"ball\.png' is not a PNG"),
        ("huge", r"ball\.png' is too large: .*pixels"),
        ("nameless", r"0001\.png has no name"),
        ("twice", r"Red_Ball\.png and .*red ball\.webp both mean the asset 'red_ball'"),
        ("svg", r"ball\.svg cannot be read as SVG"),
        ("lost", r"names\.json names 'bell\.png', which is not in"),
    ],
)
def test_broken_stickers(
    folder: Path, disc: PAINT, build: BUILD, tmp_path: Path, case: str, reason: str
) -> None:
    broken(folder, case, disc)
    with pytest.raises(DataError, match=reason):
        build(folder, kind="sticker")
    # Nothing half-made is left behind.
    assert not list(tmp_path.glob("*.assets")) + list(tmp_path.glob(".*.part*"))


def test_broken_files_may_be_counted_instead(folder: Path, disc: PAINT, tmp_path: Path) -> None:
    broken(folder, "text", disc)
    disc((9, 90, 200)).save(folder / "orb.png")
    sources = find_sources([folder], SourceOptions(rights=CC0))
    report = build_library(sources, tmp_path / "x.assets", "x", BuildOptions(skip_damaged=True))
    assert (report.kinds["sticker"], report.skipped["damaged"]) == (1, 1)


@pytest.mark.parametrize(
    ("licence", "reason"),
    [
        ("", "nobody says the licence of .*ball.png"),
        ("Nice-1.0", "'Nice-1.0' of .*ball.png is not known to SPDX"),
    ],
)
def test_licences_that_are_none(folder: Path, disc: PAINT, tmp_path: Path, licence: str, reason: str) -> None:
    disc((9, 90, 200)).save(folder / "ball.png")
    sources = find_sources([folder], SourceOptions(rights=Rights(licence)))
    with pytest.raises(DataError, match=reason):
        build_library(sources, tmp_path / "x.assets", "x")
    sources = find_sources([folder], SourceOptions(rights=Rights("LicenseRef-Ours")))
    build_library(sources, tmp_path / "x.assets", "x")


def test_cut_outs_and_their_masks(folder: Path, noise: PAINT, build: BUILD) -> None:
    noise(4).save(folder / "rug.jpg", quality=95)
    with pytest.raises(DataError, match=r"rug\.jpg has no mask: put rug\.mask\.png"):
        build(folder, kind="cutout")
    mask = np.zeros((80, 96), np.uint8)
    Image.fromarray(mask).save(folder / "rug.mask.png")
    with pytest.raises(DataError, match=r"rug\.mask\.png is black everywhere"):
        build(folder)
    Image.fromarray(mask[:40]).save(folder / "rug.mask.png")
    with pytest.raises(DataError, match=r"rug\.mask\.png is 96x40, but .*rug\.jpg is 96x80"):
        build(folder)
    mask[20:50, 10:60] = 255
    Image.fromarray(mask).save(folder / "rug.mask.png")
    library = build(folder)
    info = library.info("rug")
    # The soft edge adds a pixel on each side.
    assert (info.kind, info.width, info.height) == ("cutout", 52, 32)
    drawn = library.render("rug", (0, 0, 0), 52)
    photo = np.asarray(Image.open(folder / "rug.jpg"))
    assert np.abs(drawn[5:25, 5:45, :3].astype(int) - photo[24:44, 14:54]).max() <= 1
    assert 0 < drawn[0, 20, 3] < 255


def test_fonts(folder: Path, build: BUILD) -> None:
    (folder / "bad.ttf").write_bytes(b"not a font")
    with pytest.raises(DataError, match=r"bad\.ttf is not a TrueType or OpenType font"):
        build(folder)


def test_what_a_source_is_must_be_clear(folder: Path, noise: PAINT, tmp_path: Path) -> None:
    noise(1).save(folder / "a.jpg")
    with pytest.raises(DataError, match="photographs without masks: say --kind background"):
        find_sources([folder], SourceOptions())
    with pytest.raises(DataError, match="is one file; name the folder"):
        find_sources([folder / "a.jpg"], SourceOptions())
    with pytest.raises(DataError, match="no file or folder"):
        find_sources([tmp_path / "none"], SourceOptions())
    with pytest.raises(ConfigError, match="no source is an icon set"):
        find_sources([folder], SourceOptions(kind="background", names=("a",)))
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(DataError, match="neither an icon set"):
        find_sources([tmp_path / "x.json"], SourceOptions())


@pytest.mark.parametrize("name", ["", "sticker", "font", "a:b", "a b"])
def test_names_that_no_library_can_have(folder: Path, disc: PAINT, tmp_path: Path, name: str) -> None:
    disc((9, 90, 200)).save(folder / "ball.png")
    with pytest.raises(ConfigError, match="cannot be named"):
        build_library(find_sources([folder], SourceOptions(rights=CC0)), tmp_path / "x.assets", name)
