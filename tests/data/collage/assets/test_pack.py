"""Packs: reading folders, rendering, the cache, and the sentences for what is wrong."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamomni.data.collage import raster
from dreamomni.data.collage.assets import StickerPack
from dreamomni.data.collage.palette import PALETTE
from dreamomni.errors import DataError, OutputError

RED = PALETTE["red"]
SQUARE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 128 128">'
    '<rect x="24" y="44" width="80" height="40" fill="{fill}"/></svg>'
)


@pytest.fixture(scope="module")
def pack():
    return StickerPack.default()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(raster.tempfile, "gettempdir", lambda: str(tmp_path / "temp"))
    return tmp_path / "cache" / "dreamomni" / "stickers"


def folder_of(tmp_path, **files):
    folder = tmp_path / "pack"
    folder.mkdir()
    for stem, text in files.items():
        (folder / f"{stem}.svg").write_text(text, encoding="utf-8")
    return folder


@given(
    size=st.integers(1, 300),
    angle=st.floats(-720, 720),
    flip=st.booleans(),
    name=st.sampled_from(["apple", "key", "cloud", "guitar", "star"]),
)
def test_the_longest_side_is_what_was_asked(size, angle, flip, name):
    image = StickerPack.default().render(name, RED, size, angle=angle, flip=flip)
    assert image.dtype == np.uint8
    assert image.shape[2] == 4
    assert max(image.shape[:2]) == size
    assert image[..., 3].any()
    assert not image[image[..., 3] == 0].any()


@given(st.tuples(*[st.integers(0, 255)] * 3), st.sampled_from(["apple", "cat", "ice cream"]))
def test_recolouring_is_detail_plus_weight_times_colour(colour, name):
    pack = StickerPack.default()
    layers = pack._pyramid(name, 256).layers[2]
    image = layers.coloured(colour).astype(int)
    wanted = layers.detail[..., :3] + layers.weight[..., None] * np.array(colour) / 255
    assert np.abs(image[..., :3] - wanted).max() <= 0.5
    assert (image[..., 3] == layers.detail[..., 3]).all()
    assert (image[..., :3] <= image[..., 3:]).all()


@pytest.mark.parametrize("name", ["key", "apple", "guitar"])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_quarter_turns_are_counter_clockwise(pack, name, flip, quarter):
    upright = pack.render(name, RED, 64, premultiplied=True)
    upright = upright[:, ::-1] if flip else upright
    turned = pack.render(name, RED, 64, angle=90 * quarter, flip=flip, premultiplied=True)
    wanted = np.rot90(upright, quarter)
    assert turned.shape == wanted.shape
    assert np.abs(turned.astype(int) - wanted).mean() < 4


def test_flip_mirrors(pack):
    assert (pack.render("key", RED, 40, flip=True) == pack.render("key", RED, 40)[:, ::-1]).all()


def test_premultiplied_and_straight_agree(pack):
    multiplied = pack.render("cat", RED, 50, premultiplied=True).astype(float)
    straight = pack.render("cat", RED, 50).astype(float)
    assert np.abs(straight[..., :3] * straight[..., 3:] / 255 - multiplied[..., :3]).max() <= 0.51
    assert (straight[..., 3] == multiplied[..., 3]).all()


def test_large_sizes_are_rasterised_anew_and_stay_sharp(pack):
    alpha = pack.render("star", RED, 600)[..., 3]
    soft = ((alpha > 0) & (alpha < 255)).sum()
    assert soft < 0.02 * alpha.size


def test_small_sizes_do_not_lose_area(pack):
    for name in ("star", "key", "bicycle"):
        large = (pack.render(name, RED, 200)[..., 3] / 255).mean()
        small = (pack.render(name, RED, 20)[..., 3] / 255).mean()
        assert small == pytest.approx(large, rel=0.06)


def test_names_resolve_through_aliases_and_underscores(pack):
    assert pack.resolve("icecream") == pack.resolve("ice_cream") == pack.resolve("Ice  Cream") == "ice cream"
    assert pack.plural("icecream") == "ice creams"
    assert pack.article("apple") == "an"
    assert pack.article("apple", "red") == "a"


def test_unknown_name_suggests_the_nearest(pack):
    with pytest.raises(DataError, match="no 'umbrela'; did you mean 'umbrella'"):
        pack.render("umbrela", RED, 20)


def test_size_below_one_pixel_is_refused(pack):
    with pytest.raises(DataError, match="0 px"):
        pack.render("apple", RED, 0)


def test_a_pack_survives_pickling_without_its_rasters(pack):
    pack.prepare(["apple"])
    packed = pickle.dumps(pack)
    assert len(packed) < 300_000
    copy = pickle.loads(packed)
    assert (copy.render("apple", RED, 30) == pack.render("apple", RED, 30)).all()


def test_a_folder_of_ones_own(tmp_path, cache):
    folder = folder_of(
        tmp_path,
        red_box=SQUARE.format(fill="#c00000"),
        box=SQUARE.format(fill="currentColor") + "<!-- SPDX-License-Identifier: CC-BY-4.0 -->",
    )
    pack = StickerPack.from_folder(folder, licence="CC0-1.0")
    assert pack.names == ("box", "red box")
    assert (pack.licence("box"), pack.licence("red box")) == ("CC-BY-4.0", "CC0-1.0")
    assert (pack.is_recolourable("box"), pack.is_recolourable("red box")) == (True, False)
    assert (pack.render("box", (1, 2, 3), 20) == np.array([1, 2, 3, 255])).all()
    assert (pack.render("red box", (1, 2, 3), 20) == np.array([192, 0, 0, 255])).all()
    assert pack.render("box", RED, 20).shape == (10, 20, 4)


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        StickerPack.from_folder(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no \.svg file"):
        StickerPack.from_folder(tmp_path)


def test_two_files_with_one_name(tmp_path):
    box = SQUARE.format(fill="currentColor")
    folder = folder_of(tmp_path, **{"red_box": box, "red box": box})
    with pytest.raises(DataError, match="both mean 'red box'"):
        StickerPack.from_folder(folder)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<svg", "cannot be read as SVG"),
        ("", "cannot be read as SVG"),
        ("<html/>", "root <html>"),
        ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 900"/>', "1 x 900"),
    ],
)
def test_broken_files_are_named(tmp_path, text, reason):
    with pytest.raises(DataError, match=reason) as caught:
        StickerPack.from_folder(folder_of(tmp_path, bad=text))
    assert "bad.svg" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"/>', "draws nothing"),
        ('<svg xmlns="http://www.w3.org/2000/svg" width="0" height="0"/>', "cannot be drawn"),
    ],
)
def test_files_that_cannot_be_drawn_are_named(tmp_path, cache, text, reason):
    pack = StickerPack.from_folder(folder_of(tmp_path, bad=text))
    with pytest.raises(DataError, match=reason) as caught:
        pack.render("bad", RED, 20)
    assert "bad.svg" in str(caught.value)


def test_the_cache_is_used_and_a_damaged_file_is_rebuilt(tmp_path, cache, monkeypatch):
    folder = folder_of(tmp_path, box=SQUARE.format(fill="currentColor"))
    first = StickerPack.from_folder(folder).render("box", RED, 20)
    (file,) = cache.glob("*.layers")
    sound = file.read_bytes()

    calls = []
    real = raster.rasterise
    monkeypatch.setattr(raster, "rasterise", lambda *args: calls.append(args) or real(*args))
    assert (StickerPack.from_folder(folder).render("box", RED, 20) == first).all()
    assert not calls
    for damaged in (b"", sound[:40], sound[:-1], sound[:60] + bytes([sound[60] ^ 1]) + sound[61:]):
        file.write_bytes(damaged)
        calls.clear()
        assert (StickerPack.from_folder(folder).render("box", RED, 20) == first).all()
        assert len(calls) == 1
        assert file.read_bytes() == sound


def test_a_changed_file_is_drawn_anew(tmp_path, cache):
    folder = folder_of(tmp_path, box=SQUARE.format(fill="currentColor"))
    StickerPack.from_folder(folder).prepare()
    (folder / "box.svg").write_text(SQUARE.format(fill="#00ff00"), encoding="utf-8")
    assert (StickerPack.from_folder(folder).render("box", RED, 9)[2, 4] == [0, 255, 0, 255]).all()
    assert len(list(cache.glob("*.layers"))) == 2


def test_an_unwritable_cache_falls_back_to_the_temp_folder_and_then_to_none(tmp_path, cache, monkeypatch):
    folder = folder_of(tmp_path, box=SQUARE.format(fill="currentColor"))
    (tmp_path / "cache").write_text("a file where the cache folder should be", encoding="utf-8")
    StickerPack.from_folder(folder).prepare()
    assert len(list((tmp_path / "temp").rglob("*.layers"))) == 1

    def full(path, content):
        raise OutputError("disk full")

    monkeypatch.setattr(raster, "write_bytes", full)
    (folder / "box.svg").write_text(SQUARE.format(fill="#0000ff"), encoding="utf-8")
    assert StickerPack.from_folder(folder).render("box", RED, 9)[2, 4, 2] == 255


def test_starts_without_torch():
    code = "import sys, dreamomni.data.collage.assets; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
