from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamomni.data.collage.assets import StickerPack
from dreamomni.data.collage.backgrounds import draw_background, paint_background
from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.labels import cosines, read_labels, read_relations
from dreamomni.data.collage.palette import PALETTE
from dreamomni.data.collage.render import Picture, Renderer, changed
from dreamomni.data.collage.scene import BackgroundLook, BlendLook, Look, Placed, Scene, Thing
from dreamomni.tasks.geometry import Box, Size

CANVAS = Size(64, 48)
WHITE = BackgroundLook("plain", "white", (255, 255, 255), (240, 240, 240))


def placed(number: int, name: str, colour: str, size: int, x: int, y: int, kind: str = "shape") -> Placed:
    look = Look(kind, name, PALETTE[colour], size)
    return Placed(number, Thing(name, colour, kind), look, x, y)


def draw(*items: Placed) -> Picture:
    return Renderer(StickerPack.default()).picture(Scene(CANVAS, WHITE, items))


def test_a_square_is_where_it_was_put() -> None:
    picture = draw(placed(1, "square", "red", 10, 5, 7))
    assert (picture.pixels[7:17, 5:15] == PALETTE["red"]).all()
    assert (picture.ids[7:17, 5:15] == 1).all()
    assert np.count_nonzero(picture.ids) == 100
    rest = np.ones((48, 64), bool)
    rest[7:17, 5:15] = False
    assert (picture.pixels[rest] == 255).all()


def test_a_covered_thing_has_no_label_and_a_half_covered_one_is_labelled_by_what_shows() -> None:
    items = (
        placed(1, "circle", "blue", 8, 22, 12),
        placed(2, "square", "green", 10, 0, 30),
        placed(3, "square", "red", 20, 16, 6),
        placed(4, "square", "yellow", 10, 5, 30),
    )
    labels = {label.instance_id: label for label in read_labels(draw(*items), items)}
    assert set(labels) == {2, 3, 4}
    assert labels[2].box == Box(0, 30, 5, 40)
    assert labels[2].visibility == 0.5
    assert labels[2].area == 50
    assert labels[3].visibility == 1.0


def test_a_thing_over_the_edge_is_cut() -> None:
    items = (placed(1, "square", "red", 10, -4, 43), placed(2, "square", "red", 10, 64, 0))
    labels = read_labels(draw(*items), items)
    assert [label.box for label in labels] == [Box(0, 43, 6, 48)]
    assert labels[0].visibility == pytest.approx(0.3)


def test_compositing_is_exact_to_half_a_level() -> None:
    renderer = Renderer(StickerPack.default())
    scene = Scene(CANVAS, WHITE, (placed(1, "apple", "red", 40, 3, 2, "sticker"),))
    picture = renderer.picture(scene)
    image = StickerPack.default().render("apple", PALETTE["red"], 40, premultiplied=True).astype(np.float64)
    height, width = image.shape[:2]
    alpha = image[..., 3:] / 255
    expected = image[..., :3] + (1 - alpha) * 255
    assert np.abs(picture.pixels[2 : 2 + height, 3 : 3 + width] - expected).max() <= 0.5 + 1e-9


def test_a_pair_equals_two_pictures() -> None:
    renderer = Renderer(StickerPack.default())
    house = placed(1, "house", "blue", 20, 2, 2, "sticker")
    car = placed(2, "car", "red", 18, 30, 10, "sticker")
    tree = placed(3, "tree", "green", 18, 30, 10, "sticker")
    source, target = Scene(CANVAS, WHITE, (house, car)), Scene(CANVAS, WHITE, (house, tree))
    before, after = renderer.pair(source, target)
    for got, scene in ((before, source), (after, target)):
        alone = renderer.picture(scene)
        assert (got.pixels == alone.pixels).all()
        assert (got.ids == alone.ids).all()
        assert got.footprints == alone.footprints


def test_the_memory_of_small_sprites_is_bounded_and_the_last_large_ones_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dreamomni.data.collage.sprite._SHARED_BYTES", 50_000)
    renderer = Renderer(StickerPack.default())
    first = renderer.sprite(Look("shape", "circle", (9, 9, 9), 30)).image
    large = renderer.sprite(Look("shape", "circle", (9, 9, 9), 300))
    for size in range(20, 60):
        renderer.sprite(Look("shape", "circle", (9, 9, 9), size))
    assert (renderer.sprite(Look("shape", "circle", (9, 9, 9), 30)).image == first).all()
    assert renderer._cache._bytes <= 50_000
    assert renderer.sprite(Look("shape", "circle", (9, 9, 9), 300)) is large
    for size in range(301, 340):
        renderer.sprite(Look("shape", "circle", (9, 9, 9), size))
    assert len(renderer._cache._large) <= 32
    assert renderer.sprite(Look("shape", "circle", (9, 9, 9), 300)) is not large


def test_sides_of_a_sprite_are_known_before_it_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    pack = StickerPack.default()
    monkeypatch.setattr(pack, "render", lambda *_, **__: pytest.fail("drawn to learn its sides"))
    sprite = Renderer(pack).sprite(Look("sticker", "key", PALETTE["red"], 60, 33.0))
    assert max(sprite.width, sprite.height) == 60


LOOKS = st.builds(
    Look,
    kind=st.just("sticker"),
    name=st.sampled_from(["apple", "tree", "key", "cat"]),
    rgb=st.sampled_from([PALETTE[name] for name in ("red", "black", "white", "yellow")]),
    size=st.integers(8, 90),
    angle=st.sampled_from([0.0, 17.3, -64.0, 180.0]),
    flip=st.booleans(),
)
STYLES = ("none", "feather", "gaussian", "gain", "shadow")
BLENDS = st.builds(
    BlendLook,
    style=st.sampled_from(STYLES),
    softness=st.sampled_from([0.01, 0.02]),
    strength=st.sampled_from([0.3, 0.6]),
    dx=st.sampled_from([-0.03, 0.0, 0.03]),
    dy=st.sampled_from([0.0, 0.03]),
)


@st.composite
def scenes(draw: st.DrawFn, blend: BlendLook | None = None) -> Scene:
    background = draw_background(
        "gradient", "teal", draw(st.sampled_from([(0, 128, 128), (250, 240, 200)])), Draws(1)
    )
    count = draw(st.integers(1, 4))
    items = [
        Placed(
            number, Thing(look.name, "red"), look, draw(st.integers(-40, 130)), draw(st.integers(-40, 110))
        )
        for number, look in enumerate(draw(st.lists(LOOKS, min_size=count, max_size=count)), start=1)
    ]
    return Scene(Size(150, 130), background, tuple(items), draw(BLENDS) if blend is None else blend)


def reference(renderer: Renderer, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """The over operator in float64, pixel by pixel."""
    height, width = scene.size.height, scene.size.width
    pixels = paint_background(scene.background, scene.size).astype(np.float64)
    ids = np.zeros((height, width), int)
    for item in scene.placed:
        image = renderer.sprite(item.look).image.astype(np.float64)
        for y, x in np.ndindex(image.shape[:2]):
            row, column = item.y + y, item.x + x
            if 0 <= row < height and 0 <= column < width:
                alpha = image[y, x, 3] / 255
                pixels[row, column] = pixels[row, column] * (1 - alpha) + image[y, x, :3]
                if image[y, x, 3] >= 128:
                    ids[row, column] = item.instance_id
    return pixels, ids


@settings(max_examples=8, deadline=None)
@given(scenes(BlendLook()))
def test_a_picture_is_the_over_operator_in_float64_within_a_level_per_thing(scene: Scene) -> None:
    renderer = Renderer(StickerPack.default())
    picture = renderer.picture(scene)
    pixels, ids = reference(renderer, scene)
    # Every thing rounds once, by at most half a level.
    assert np.abs(picture.pixels - pixels).max() <= 0.5 * len(scene.placed) + 1e-6
    assert (picture.ids == ids).all()
    for item in scene.placed:
        assert picture.footprints[item.instance_id] == np.count_nonzero(renderer.sprite(item.look).solid)


@settings(max_examples=25, deadline=None)
@given(scenes(), st.data())
def test_a_pair_differs_only_where_it_says(source: Scene, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(source.placed) - 1))
    kept = [item for place, item in enumerate(source.placed) if place != index]
    change = data.draw(st.sampled_from(["remove", "move", "swap"]))
    gone = source.placed[index]
    if change == "move":
        kept.insert(index, replace(gone, x=gone.x + 9, y=gone.y - 4))
    elif change == "swap":
        look = replace(gone.look, name="tree" if gone.look.name != "tree" else "cat")
        kept.insert(index, Placed(9, Thing(look.name, "red"), look, gone.x, gone.y))
    target = replace(source, placed=tuple(kept))
    renderer = Renderer(StickerPack.default())
    before, after = renderer.pair(source, target)
    for got, scene in ((before, source), (after, target)):
        alone = Renderer(StickerPack.default()).picture(scene)
        assert (got.pixels == alone.pixels).all()
        assert (got.ids == alone.ids).all()
        assert (got.footprints, got.windows) == (alone.footprints, alone.windows)
        # What is known of whole things is what looking finds.
        looked = read_labels(replace(got, whole={}), scene.placed)
        assert read_labels(got, scene.placed) == looked
        assert set(got.whole) <= {label.instance_id for label in looked if label.visibility == 1.0}
    mask = changed(before.pixels, after.pixels)
    assert ((mask > 0) == (before.pixels != after.pixels).any(axis=-1)).all()
    assert after.edited is not None
    assert (changed(before.pixels, after.pixels, after.edited) == mask).all()


def test_a_pair_in_another_order_may_differ_anywhere() -> None:
    first, second = placed(1, "square", "red", 20, 5, 5), placed(2, "circle", "blue", 20, 12, 12)
    renderer = Renderer(StickerPack.default())
    scene = Scene(Size(150, 130), WHITE, (first, second))
    before, after = renderer.pair(scene, replace(scene, placed=(second, first)))
    assert after.edited is None
    assert changed(before.pixels, after.pixels, after.edited).any()
    before, after = renderer.pair(scene, scene)
    assert not changed(before.pixels, after.pixels, after.edited).any()


def test_pixels_do_not_depend_on_the_number_of_threads() -> None:
    looks = [Look("sticker", "cat", PALETTE["red"], 230, 21.0), Look("sticker", "key", PALETTE["blue"], 180)]
    items = [
        Placed(n, Thing(look.name, "red"), look, 90 * n, 70 * n) for n, look in enumerate(looks, start=1)
    ]
    background = draw_background("noise", "cream", (255, 246, 224), Draws(1, "noise"))
    pictures = []
    for threads in (1, 4):
        renderer = Renderer(StickerPack.default())
        assert cv2.getNumThreads() == 1
        cv2.setNumThreads(threads)
        scene = Scene(Size(512, 512), background, tuple(items), BlendLook("shadow", 0.02, 0.5, 0.01, 0.02))
        pictures.append(renderer.picture(scene))
    cv2.setNumThreads(1)
    assert (pictures[0].pixels == pictures[1].pixels).all()
    assert (pictures[0].ids == pictures[1].ids).all()


def test_an_instance_number_beyond_a_byte_is_refused() -> None:
    with pytest.raises(ValueError, match="300"):
        draw(placed(300, "square", "red", 10, 0, 0))


@pytest.mark.parametrize("style", ["gradient", "stripes", "dots", "noise"])
def test_a_large_background_is_the_small_one_in_finer_pixels(style: str) -> None:
    look = draw_background(style, "cream", (250, 240, 220), Draws(4, style))
    look = replace(look, second=(50, 40, 20), angle=63.0, period=0.15)
    large = paint_background(look, Size(512, 384)).astype(float)
    small = paint_background(look, Size(96, 72)).astype(float)
    shrunk = cv2.resize(large, (96, 72), interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk - small).mean() < 6
    assert np.abs(large.max(axis=(0, 1)) - small.max(axis=(0, 1))).max() < 30


@pytest.mark.parametrize("style", ["plain", "gradient", "stripes", "dots", "noise"])
def test_backgrounds_stay_near_their_colour(style: str) -> None:
    look = draw_background(style, "cream", (255, 246, 224), Draws(1, style))
    canvas = paint_background(look, Size(96, 64))
    assert canvas.shape == (64, 96, 3)
    assert canvas.dtype == np.uint8
    assert canvas.flags.writeable
    assert (canvas <= np.array([255, 246, 224])).all()
    assert (canvas >= np.array([255, 246, 224]) * 0.94 - 1).all()
    assert (canvas == paint_background(look, Size(96, 64))).all()
    assert (len(np.unique(canvas.reshape(-1, 3), axis=0)) > 1) == (style != "plain")


def test_directions_follow_the_rule_by_hand() -> None:
    house, star = Box(20, 30, 40, 50), Box(24, 4, 36, 16)
    # Centres (30, 40) and (30, 10): dx = 0, dy = -30 shortened by 0.1 * 32.
    assert cosines(star, house) == {"left of": 0.0, "right of": 0.0, "above": 1.0, "below": -1.0}
    assert set(cosines(house, house).values()) == {-1.0}


def test_relations_hold_in_both_directions() -> None:
    items = (placed(1, "square", "red", 10, 0, 0), placed(2, "square", "blue", 10, 50, 0))
    relations = {(r.subject, r.predicate, r.object) for r in read_relations(read_labels(draw(*items), items))}
    assert relations == {(1, "left of", 2), (2, "right of", 1)}
