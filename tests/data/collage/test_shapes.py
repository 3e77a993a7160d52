import math

import numpy as np
import pytest

from dreamomni.data.collage.shapes import SHAPES, render_shape
from dreamomni.errors import DataError

# Area over the area of the square around the longest side, from school.
AREAS = {
    "circle": math.pi / 4,
    "square": 1.0,
    "oval": 0.62 * math.pi / 4,
    "rectangle": 0.56,
    "ring": math.pi / 4 * (1 - 0.58**2),
    "cross": 20 / 36,
    "diamond": 0.36,
    "hexagon": 3 * math.sqrt(3) / 8,
}


@pytest.mark.parametrize(("kind", "share"), AREAS.items())
@pytest.mark.parametrize("size", [24, 101])
def test_shapes_cover_the_area_of_their_formula(kind: str, share: float, size: int) -> None:
    alpha = render_shape(kind, (10, 20, 30), size)[..., 3]
    assert alpha.sum() / 255 / size**2 == pytest.approx(share, rel=0.02)


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("angle", [0.0, 17.0, -120.0])
def test_shapes_fill_the_size_they_were_asked_for(kind: str, angle: float) -> None:
    image = render_shape(kind, (200, 100, 0), 40, angle)
    assert max(image.shape[:2]) == 40
    assert image.dtype == np.uint8
    assert (image[..., :3] <= image[..., 3:]).all()
    solid = image[..., 3] == 255
    assert (image[solid][:, :3] == (200, 100, 0)).all()
    for edge in (image[0], image[-1], image[:, 0], image[:, -1]):
        assert edge[..., 3].max() > 0


def test_a_turned_square_is_a_diamond() -> None:
    turned = render_shape("square", (0, 0, 0), 60, 45.0)[..., 3] > 127
    assert not turned[0, 0]
    assert turned[30, 2]
    assert turned.mean() == pytest.approx(0.5, abs=0.02)


def test_unknown_shapes_and_sizes_are_refused() -> None:
    with pytest.raises(DataError, match="no shape 'blob'"):
        render_shape("blob", (0, 0, 0), 10)
    with pytest.raises(DataError, match="0 px"):
        render_shape("circle", (0, 0, 0), 0)
