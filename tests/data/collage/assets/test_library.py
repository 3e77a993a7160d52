"""Libraries: what is built is drawn, and a file that is not whole is refused."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dreamomni.data.collage.affine import applied
from dreamomni.data.collage.assets.asset import Crop
from dreamomni.data.collage.assets.library import AssetLibrary
from dreamomni.data.collage.palette import delta_e
from dreamomni.errors import DataError

BUILD = Callable[..., AssetLibrary]
PAINT = Callable[..., Image.Image]


def test_everything_in_a_folder_of_pictures_is_there(build: BUILD, pictures: Path) -> None:
    library = build(pictures)
    infos = {info.id: info for info in library.assets()}
    assert list(infos) == sorted(infos)
    assert {i.name for i in infos.values() if i.kind == "sticker"} == {"ball", "toadstool", "paper box"}
    assert (infos["ball/01"].colour, infos["ball/02"].colour) == ("red", "blue")
    assert infos["toadstool"].colour == "red and white"
    assert infos["paper_box"].recolourable
    assert infos["rug"].kind == "cutout"
    assert infos["place_0"].caption == "a sunny beach"
    assert {i.licence for i in infos.values()} == {"CC0-1.0"}
    assert {i.attribution for i in infos.values()} == {"A. Painter"}
    assert not any(damaged for _, damaged in library.damaged())


def test_drawn_at_any_size_and_angle(build: BUILD, pictures: Path) -> None:
    library = build(pictures)

    @given(
        st.sampled_from(["ball/01", "toadstool", "paper_box", "rug"]),
        st.integers(1, 150),
        st.floats(-400, 400),
        st.booleans(),
    )
    def check(asset_id: str, size: int, angle: float, flip: bool) -> None:
        image = library.render(asset_id, (10, 200, 30), size, angle=angle, flip=flip, premultiplied=True)
        assert max(image.shape[:2]) == size
        assert (image[..., :3] <= image[..., 3:].astype(int) + 1).all()
        assert image[..., 3].any()
        fit = library.fit(asset_id, size, angle=angle, flip=flip)
        assert (fit.height, fit.width) == image.shape[:2]
        middle = applied(fit.matrix, [[0.5, 0.5]])[0]
        assert np.abs(middle - [fit.width / 2, fit.height / 2]).max() < 0.15 * size + 1

    check()


def test_colours_come_out_as_they_went_in(build: BUILD, pictures: Path) -> None:
    library = build(pictures)
    ball = library.render("ball/01", (0, 255, 0), 24)
    assert np.abs(ball[12, 12].astype(int) - [222, 28, 36, 255]).max() <= 1
    box = library.render("paper_box", (10, 200, 30), 24)
    assert (box[8, 12] == [10, 200, 30, 255]).all()
    # No dark or light fringe: every solid pixel is still red.
    solid = ball[ball[..., 3] > 100][:, :3]
    assert delta_e(solid, (222, 28, 36)).max() < 5


def test_small_sizes_keep_the_area(build: BUILD, pictures: Path) -> None:
    library = build(pictures)
    shares = [(library.render("ball/01", (0, 0, 0), size)[..., 3] / 255).mean() for size in (64, 33, 16, 9)]
    assert max(shares) - min(shares) < 0.03


def test_backgrounds_fill_any_canvas(build: BUILD, pictures: Path) -> None:
    library = build(pictures)
    full = library.background("place_1", 128, 96, Crop())
    assert full.shape == (96, 128, 3)
    half = library.background("place_1", 64, 48, Crop())
    # The same view, smaller.
    means = full.reshape(48, 2, 64, 2, 3).mean(axis=(1, 3))
    assert np.abs(half - means).mean() < 6
    left, right = (library.background("place_1", 40, 90, Crop(x, 0.5, 0.8)) for x in (0.0, 1.0))
    assert left.shape == (90, 40, 3)
    assert (left != right).any()
    assert (library.background("place_1", 40, 90, Crop(0.0, 0.5, 0.8)) == left).all()


def test_the_split_is_a_function_of_the_content_alone(build: BUILD, tmp_path: Path, disc: PAINT) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    for number in range(60):
        picture = disc((4 * number, 100, 40), 20)
        picture.save(first / f"thing{number}x.png")
        if number % 2:
            picture.save(second / f"other{number}y.png")
    one = {info.name: info.split for info in build(first, name="one", held_out=0.3).assets()}
    two = {info.name: info.split for info in build(second, name="two", held_out=0.3, max_px=16).assets()}
    assert {
        name.replace("other", "thing").replace("y", "x"): split for name, split in two.items()
    }.items() <= (one.items())
    assert 0.1 < sum(split == "held_out" for split in one.values()) / 60 < 0.5


def test_a_library_travels_as_its_path_and_is_refused_when_it_changed(build: BUILD, pictures: Path) -> None:
    library = build(pictures)
    packed = pickle.dumps(library)
    assert len(packed) < 1000
    copy = pickle.loads(packed)
    assert (copy.render("rug", (0, 0, 0), 20) == library.render("rug", (0, 0, 0), 20)).all()
    again = build(pictures)
    assert again.digest == library.digest
    (pictures / "stickers/toadstool.png").unlink()
    assert build(pictures).digest != library.digest
    with pytest.raises(DataError, match="has changed since"):
        pickle.loads(packed)


def test_files_that_are_no_whole_library(build: BUILD, pictures: Path, tmp_path: Path) -> None:
    path = build(pictures).path
    sound = path.read_bytes()
    for content, reason in (
        (sound[:-100], "cut short"),
        (sound + b"x", "cut short"),
        (sound[:50], "not an asset library"),
        (b"", "not an asset library"),
        (b"PK\3\4" + sound[4:], "not an asset library"),
        (sound[:16] + b"\7" + sound[17:], "version 7"),
        (sound[:-20] + b"#" + sound[-19:], "is damaged"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=reason) as caught:
            AssetLibrary.open(path)
        assert "mine.assets" in str(caught.value)
    path.write_bytes(sound[:200] + bytes([sound[200] ^ 1]) + sound[201:])
    assert [name for name, damaged in AssetLibrary.open(path).damaged() if damaged]
    with pytest.raises(DataError, match="there is no asset library"):
        AssetLibrary.open(tmp_path / "none.assets")
    with pytest.raises(DataError, match="is a folder"):
        AssetLibrary.open(tmp_path)


def test_questions_that_have_no_answer(build: BUILD, pictures: Path) -> None:
    library = build(pictures)
    with pytest.raises(DataError, match="no 'bal/01'; did you mean 'ball/01'"):
        library.render("bal/01", (0, 0, 0), 20)
    with pytest.raises(DataError, match="is a background, where a cutout or sticker belongs"):
        library.render("place_1", (0, 0, 0), 20)
    with pytest.raises(DataError, match="0 px"):
        library.render("rug", (0, 0, 0), 0)
