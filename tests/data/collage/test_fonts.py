import numpy as np
import pytest

from dreamomni.data.collage.fonts import FONTS, font_licence, render_text
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
