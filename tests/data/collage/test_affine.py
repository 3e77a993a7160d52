import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamomni.data.collage.affine import applied, between, moved
from dreamomni.data.collage.assets import StickerPack
from dreamomni.data.collage.render import Renderer
from dreamomni.data.collage.scene import Look

RENDERER = Renderer(StickerPack.default())
KINDS = st.sampled_from(
    [("sticker", "tree"), ("sticker", "car"), ("sticker", "key"), ("shape", "triangle"), ("shape", "ring")]
)
SIZES = st.integers(90, 240)
ANGLES = st.sampled_from([0.0, 7.5, 45.0, 118.3, 180.0, -60.0])
COLOUR = (222, 28, 36)


def test_between_leads_from_one_map_to_the_other() -> None:
    first = np.array([[2.0, 1.0, 3.0], [0.0, 4.0, -1.0]])
    second = np.array([[0.0, -1.0, 7.0], [3.0, 0.5, 2.0]])
    points = [[0.0, 0.0], [1.0, 2.0], [-3.0, 0.25]]
    found = applied(between(first, second), applied(first, points))
    assert found == pytest.approx(applied(second, points))
    assert applied(moved(first, 5, -2), points) == pytest.approx(applied(first, points) + np.array([5, -2]))


@settings(max_examples=60, deadline=None)
@given(kind=KINDS, sizes=st.tuples(SIZES, SIZES), angles=st.tuples(ANGLES, ANGLES), flip=st.booleans())
def test_the_map_between_two_looks_takes_one_mask_to_the_other(
    kind: tuple[str, str], sizes: tuple[int, int], angles: tuple[float, float], flip: bool
) -> None:
    flip = flip and kind[0] == "sticker"
    looks = [
        Look(kind[0], kind[1], COLOUR, size, angle, flip)  # type: ignore[arg-type]
        for size, angle in zip(sizes, angles, strict=True)
    ]
    masks, fits = [RENDERER.sprite(look).solid for look in looks], [RENDERER.fit(look) for look in looks]
    assert [mask.shape for mask in masks] == [(fit.height, fit.width) for fit in fits]
    matrix = between(fits[0].matrix, fits[1].matrix)
    # cv2 speaks of pixel centres, which are half a pixel away from ours.
    shift = matrix[:, :2] @ np.array([0.5, 0.5]) + matrix[:, 2] - 0.5
    warped = cv2.warpAffine(
        masks[0].astype(np.float32), np.c_[matrix[:, :2], shift], (fits[1].width, fits[1].height)
    )
    union, common = (warped >= 0.5) | masks[1], (warped >= 0.5) & masks[1]
    assert common.sum() / union.sum() > 0.93
