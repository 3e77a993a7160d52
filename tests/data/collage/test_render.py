import numpy as np
import pytest

from dreamomni.data.collage.assets import StickerPack
from dreamomni.data.collage.backgrounds import draw_background, paint_background
from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.labels import cosines, read_labels, read_relations
from dreamomni.data.collage.palette import PALETTE
from dreamomni.data.collage.render import Picture, Renderer
from dreamomni.data.collage.scene import BackgroundLook, Look, Placed, Scene, Thing
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


def test_sprites_are_dropped_when_they_fill_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dreamomni.data.collage.render._CACHE_BYTES", 50_000)
    renderer = Renderer(StickerPack.default())
    first = renderer.sprite(Look("shape", "circle", (9, 9, 9), 30))
    for size in range(20, 60):
        renderer.sprite(Look("shape", "circle", (9, 9, 9), size))
    again = renderer.sprite(Look("shape", "circle", (9, 9, 9), 30))
    assert (again.colour == first.colour).all()
    assert renderer._bytes <= 50_000


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
