from dataclasses import replace

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamomni.data.collage.assets import StickerPack
from dreamomni.data.collage.backgrounds import draw_background
from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.families.control import _SMOOTH, _SMOOTHER_THAN
from dreamomni.data.collage.maps import edge_map, paint_ids
from dreamomni.data.collage.palette import BACKGROUNDS
from dreamomni.data.collage.render import Renderer
from dreamomni.data.collage.scene import BlendLook, Look, Placed, Scene, Thing
from dreamomni.tasks.geometry import Size

RENDERER = Renderer(StickerPack.default())
SIZES = st.sampled_from([Size(32, 32), Size(64, 96), Size(160, 144), Size(256, 128)])


@settings(max_examples=60, deadline=None)
@given(
    SIZES,
    st.sampled_from(sorted(_SMOOTH)),
    st.sampled_from(sorted(BACKGROUNDS)),
    st.integers(0, 10**6),
    st.integers(_SMOOTHER_THAN + 1, 120),
    st.sampled_from([BlendLook(), BlendLook("shadow", 0.02, 0.5, 0.02, 0.02), BlendLook("feather")]),
)
def test_edges_of_a_smooth_scene_are_found_by_looking_at_its_things(
    size: Size, style: str, colour: str, seed: int, low: int, blend: BlendLook
) -> None:
    draws = Draws(seed, "scene")
    placed = tuple(
        Placed(
            number,
            Thing(name, "red"),
            Look("sticker", name, (222, 28, 36), draws.integer(8, min(size) // 2), draws.uniform(-30, 30)),
            draws.integer(-8, size.width - 8),
            draws.integer(-8, size.height - 8),
        )
        for number, name in enumerate(["apple", "key", "star"][: draws.integer(1, 3)], start=1)
    )
    background = draw_background(style, colour, BACKGROUNDS[colour], draws)
    picture = RENDERER.picture(Scene(size, background, placed, blend))
    everywhere = edge_map(picture.pixels, low, 2 * low)
    assert everywhere.any() or not picture.windows
    assert (edge_map(picture.pixels, low, 2 * low, tuple(picture.touched.values())) == everywhere).all()


def test_a_striped_background_must_be_looked_at_everywhere() -> None:
    background = draw_background("stripes", "red", (222, 28, 36), Draws(1, "x"))
    background = replace(background, second=(28, 92, 224))
    pixels = RENDERER.picture(Scene(Size(64, 64), background, ())).pixels
    assert edge_map(pixels, 40, 80).any()
    assert not edge_map(pixels, 40, 80, ()).any()


@given(st.integers(0, 5), st.booleans())
def test_maps_are_painted_by_instance(seed: int, grey: bool) -> None:
    ids = np.random.default_rng(seed).integers(0, 4, (9, 7)).astype(np.int16)
    ids = cv2.copyMakeBorder(ids, 2, 5, 3, 1, cv2.BORDER_CONSTANT)
    colours = {1: 40, 2: 255} if grey else {1: (9, 9, 9), 3: (1, 2, 3)}
    painted = paint_ids(ids, colours)
    for number in range(4):
        assert (painted[ids == number] == np.broadcast_to(colours.get(number, 0), (3,))).all()
    assert not paint_ids(np.zeros((4, 4), np.int16), colours).any()
