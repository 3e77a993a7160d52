from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dreamomni.data.collage.assets import StickerPack
from dreamomni.data.collage.blending import draw_blend, finish, gain_of, shadow
from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.options.blending import BlendingOptions
from dreamomni.data.collage.palette import PALETTE
from dreamomni.data.collage.render import Picture, Renderer, changed
from dreamomni.data.collage.scene import BackgroundLook, BlendLook, Look, Placed, Scene, Thing
from dreamomni.tasks.geometry import Size

STYLES = ("none", "feather", "gaussian", "gain", "shadow")
ALL = BlendingOptions(weights=dict.fromkeys(STYLES, 1.0))
BLENDS = {
    "none": BlendLook(),
    "feather": BlendLook("feather"),
    "gaussian": BlendLook("gaussian", softness=1.2),
    "gain": BlendLook("gain", strength=0.7),
    "shadow": BlendLook("shadow", softness=0.02, strength=0.5, dx=0.03, dy=0.03),
}
DIM = BackgroundLook("plain", "teal", (60, 110, 120), (56, 103, 113))
CAT = Placed(1, Thing("cat", "orange"), Look("sticker", "cat", PALETTE["orange"], 90, 12.0), 40, 30)


def draw(style: str, *items: Placed, side: int = 192) -> Picture:
    scene = Scene(Size(side, side), DIM, items, BLENDS[style])
    return Renderer(StickerPack.default()).picture(scene)


def test_a_recipe_that_says_nothing_blends_nothing() -> None:
    assert {draw_blend(BlendingOptions(), Draws(seed)) for seed in range(50)} == {BlendLook()}


def test_weights_decide_and_every_parameter_stays_in_its_range() -> None:
    options = replace_options(feather=3.0, none=0.0)
    found = [draw_blend(options, Draws(1, "blend", seed)) for seed in range(800)]
    counts = Counter(look.style for look in found)
    assert counts["none"] == 0
    assert 2 < counts["feather"] / counts["shadow"] < 4.5
    for look in found:
        if look.style == "gaussian":
            assert 0.6 <= look.softness <= 1.6
        if look.style == "gain":
            assert 0.3 <= look.strength <= 0.8
        if look.style == "shadow":
            assert 0.0099 <= np.hypot(look.dx, look.dy) <= 0.0351
            assert look.dy >= 0
            assert 0.25 <= look.strength <= 0.55
            assert 0.008 <= look.softness <= 0.025
    assert len({look.dx for look in found if look.style == "shadow"}) > 50


def replace_options(**weights: float) -> BlendingOptions:
    return BlendingOptions(weights={**dict.fromkeys(STYLES, 1.0), **weights})


def test_a_drawn_blend_is_pure_and_its_parameters_do_not_hang_on_the_weights() -> None:
    for seed in range(20):
        look = draw_blend(ALL, Draws(seed))
        assert look == draw_blend(ALL, Draws(seed))
        alone = BlendingOptions(weights={look.style: 1.0})
        assert look == draw_blend(alone, Draws(seed))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": {"none": 0.0}}, "above 0"),
        ({"weights": {"poisson": 1.0}}, "poisson"),
        ({"gaussian_px": (2.0, 1.0)}, "is above"),
        ({"shadow_strength": (0.5, 1.5)}, "less than or equal to 1"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        BlendingOptions.model_validate(options)


@pytest.mark.parametrize("style", STYLES[1:])
def test_every_style_changes_what_it_should_and_nothing_else(style: str) -> None:
    plain, blended = draw("none", CAT), draw(style, CAT)
    mask = changed(plain.pixels, blended.pixels) > 0
    assert mask.any()
    inside = plain.ids == 1
    core = np.zeros_like(inside)
    core[2:-2, 2:-2] = np.all([np.roll(inside, shift, (0, 1)) for shift in square(9)], axis=0)[2:-2, 2:-2]
    if style in ("feather", "gaussian"):
        assert not mask[core].any()
        assert not mask[(plain.pixels == DIM.first).all(axis=-1)].any()
        assert np.count_nonzero(blended.ids != plain.ids) < 0.2 * inside.sum()
    if style == "gain":
        assert not mask[~inside & (plain.pixels == DIM.first).all(axis=-1)].any()
        assert (blended.ids == plain.ids).all()
        # Orange under dim teal light: red loses most.
        loss = plain.pixels[core].mean(axis=0) - blended.pixels[core].mean(axis=0)
        assert loss[0] > 10
        assert loss[0] > loss[2]
    if style == "shadow":
        assert not mask[core].any()
        assert (blended.ids == plain.ids).all()
        assert (blended.pixels <= plain.pixels).all()


def square(side: int) -> list[tuple[int, int]]:
    reach = range(-(side // 2), side // 2 + 1)
    return [(y, x) for y in reach for x in reach]


@pytest.mark.parametrize("side", [64, 192, 512])
def test_a_shadow_lies_outside_its_thing_and_inside_the_changed_pixels(side: int) -> None:
    scale = side / 192
    item = replace(
        CAT, look=replace(CAT.look, size=round(90 * scale)), x=round(40 * scale), y=round(30 * scale)
    )
    renderer = Renderer(StickerPack.default())
    empty = Scene(Size(side, side), DIM, (), BLENDS["shadow"])
    before, after = renderer.pair(empty, replace(empty, placed=(item,)))
    mask = changed(before.pixels, after.pixels, after.edited) > 0
    assert (mask == (before.pixels != after.pixels).any(axis=-1)).all()
    assert mask[after.ids == 1].mean() > 0.99
    around = mask & (after.ids == 0)
    assert around.sum() > 0.05 * (after.ids == 1).sum()
    # It falls to the lower right: its middle lies there.
    (ys, xs), (thing_ys, thing_xs) = np.nonzero(around), np.nonzero(after.ids)
    assert ys.mean() > thing_ys.mean()
    assert xs.mean() > thing_xs.mean()


def test_a_shadow_falls_on_the_thing_below_and_not_on_the_one_above() -> None:
    above = Placed(2, Thing("square", "red", "shape"), Look("shape", "square", (200, 30, 30), 40), 80, 70)
    below, both = draw("shadow", CAT), draw("shadow", CAT, above)
    darker = (both.pixels < below.pixels).all(axis=-1)
    assert (darker & (both.ids == 1)).any()
    assert (both.pixels[75:105, 85:115] == (200, 30, 30)).all()


def test_a_thing_that_stays_keeps_its_pixels_and_one_that_moves_its_colour() -> None:
    """The light of "gain" comes from the background, not from what happens to lie behind."""
    star = Placed(2, Thing("star", "blue"), Look("sticker", "star", PALETTE["blue"], 70), 70, 80)
    scene = Scene(Size(192, 192), DIM, (CAT, star), BLENDS["gain"])
    renderer = Renderer(StickerPack.default())
    before, after = renderer.pair(scene, replace(scene, placed=(star,)))
    solid = renderer.sprite(star.look).solid & (renderer.sprite(star.look).alpha == 255)
    here = np.s_[80 : 80 + solid.shape[0], 70 : 70 + solid.shape[1]]
    assert (before.pixels[here][solid] == after.pixels[here][solid]).all()
    _, moved = renderer.pair(scene, replace(scene, placed=(CAT, replace(star, x=110, y=100))))
    there = np.s_[100 : 100 + solid.shape[0], 110 : 110 + solid.shape[1]]
    assert (before.pixels[here][solid] == moved.pixels[there][solid]).all()


def test_words_keep_their_edges() -> None:
    look = Look("text", "Hi", (0, 0, 0), 12, font="sans")
    image = np.full((9, 9, 4), 200, np.uint8)
    for style in ("feather", "gaussian"):
        assert finish(image, look, BLENDS[style], (1.0, 1.0, 1.0)) is image


@given(
    st.sampled_from(["feather", "gaussian", "gain"]),
    st.integers(0, 2**32 - 1),
    st.tuples(*[st.floats(0.86, 1.14)] * 3),
)
def test_what_is_finished_stays_premultiplied(
    style: str, seed: int, gain: tuple[float, float, float]
) -> None:
    rng = np.random.default_rng(seed)
    alpha = rng.integers(0, 256, (12, 10, 1))
    image = np.concatenate([rng.integers(0, 256, (12, 10, 3)) * alpha // 255, alpha], axis=-1).astype(
        np.uint8
    )
    look = Look("sticker", "cat", (1, 2, 3), 60)
    found = finish(image, look, BLENDS[style], gain)
    assert found.shape == image.shape
    assert (found[..., :3] <= found[..., 3:]).all()
    assert (found[..., 3] <= image[..., 3]).all()


def test_gain_follows_the_light() -> None:
    blend = BLENDS["gain"]
    dark, warm = np.full((64, 64, 3), 40, np.uint8), np.full((64, 64, 3), (220, 160, 100), np.uint8)
    assert gain_of(blend, dark) == (0.86, 0.86, 0.86)
    red, green, blue = gain_of(blend, warm)
    assert red > green == 1.0 > blue
    assert gain_of(replace(blend, strength=0.0), warm) == (1.0, 1.0, 1.0)


def test_a_shadow_at_a_quarter_of_the_pixels_looks_like_a_full_one() -> None:
    alpha = np.zeros((160, 200), np.uint8)
    alpha[20:140, 30:170] = 255
    blend = BLENDS["shadow"]
    light, x, y = shadow(alpha, blend, 512)
    assert (light[0] == 255).all()
    assert (light[:, -1] == 255).all()
    assert light.min() == pytest.approx(255 * 0.5, abs=4)
    dark = light[..., 0] < 255 - 0.25 * 255
    ys, xs = np.nonzero(dark)
    # The half-way contour is that of the thing, moved by the offset.
    assert ys.min() + y == pytest.approx(20 + 0.03 * 512, abs=4)
    assert xs.max() + 1 + x == pytest.approx(170 + 0.03 * 512, abs=4)
