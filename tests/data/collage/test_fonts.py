import numpy as np
import pytest
from PIL import ImageFont

from dreamomni.data.collage.assets import StickerPack
from dreamomni.data.collage.fonts import FONTS, font_licence, render_text
from dreamomni.data.collage.render import Renderer
from dreamomni.data.collage.scene import Look
from dreamomni.errors import DataError


@pytest.mark.parametrize("font", FONTS)
def test_every_font_writes_with_ink_up_to_every_edge(font: str) -> None:
    image = render_text("Hello", font, (200, 30, 40), 24)
    assert 20 <= image.shape[0] <= 40
    assert image.shape[1] > 1.2 * image.shape[0]
    assert (image[..., :3] <= image[..., 3:]).all()
    for edge in (image[0], image[-1], image[:, 0], image[:, -1]):
        assert edge[..., 3].max() > 0
    assert font_licence(font)


def test_fonts_differ_and_sizes_scale() -> None:
    pictures = {render_text("word", font, (0, 0, 0), 32)[..., 3].tobytes() for font in FONTS}
    assert len(pictures) == len(FONTS)
    small, large = (render_text("word", "sans", (0, 0, 0), size) for size in (16, 64))
    assert large.shape[1] / small.shape[1] == pytest.approx(4, rel=0.1)
    assert np.asarray(small).dtype == np.uint8


@pytest.mark.parametrize(
    ("text", "font", "height", "message"),
    [
        ("hi", "comic", 20, "no font 'comic'"),
        ("hi", "sans", 2, "2 px"),
        ("  ", "sans", 20, "cannot be written"),
        ("caf\u00e9", "sans", 20, "cannot be written"),
    ],
)
def test_impossible_text_is_refused(text: str, font: str, height: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        render_text(text, font, (0, 0, 0), height)


class Fonts(StickerPack):
    """A source whose one font is Pillow's own, as a file."""

    def __init__(self) -> None:
        super().__init__({})
        self.asked = 0

    def font(self, asset_id: str) -> bytes:  # type: ignore[override]
        self.asked += 1
        if asset_id != "mine:aileron":
            raise DataError(f"no {asset_id}")
        return ImageFont.load_default(10).font_bytes  # type: ignore[union-attr]


def test_fonts_of_a_library_write_as_large_as_the_others_and_are_read_once() -> None:
    source = Fonts()
    image = render_text("HELLO", "mine:aileron", (200, 30, 40), 40, source)
    assert image.shape[0] == pytest.approx(40, abs=3)
    assert (image[..., :3] <= image[..., 3:]).all()
    other = render_text("World", "mine:aileron", (0, 0, 0), 20, source)
    assert (other[..., :3] == 0).all()
    assert source.asked == 1
    with pytest.raises(DataError, match="no mine:nothing"):
        render_text("HELLO", "mine:nothing", (0, 0, 0), 40, source)
    with pytest.raises(DataError, match="no font 'mine:aileron'"):
        render_text("HELLO", "mine:aileron", (0, 0, 0), 40)


def test_a_renderer_writes_in_fonts_of_a_library() -> None:
    look = Look("text", "HELLO", (200, 30, 40), 40, font="mine:aileron")
    assert Renderer(Fonts()).sprite(look).height == pytest.approx(40, abs=3)
