import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.labels import PREDICATES, cosines
from dreamomni.data.collage.layout import LOCATIONS, Spacing, place_at, place_free, place_related
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.tasks.geometry import Size

CANVAS = Size(64, 64)
CALM = Spacing(0.5, jitter=0.03)


@pytest.mark.parametrize("count", range(1, 8))
def test_things_stand_in_the_cells_of_a_grid(count: int) -> None:
    side = Size(14, 12)
    middles = {1: {0.5}, 2: {0.25, 0.5, 0.75}, 3: {0.25, 0.75}, 4: {0.25, 0.75}}.get(
        count, {1 / 6, 0.5, 5 / 6}
    )
    for index in range(30):
        boxes = place_free([side] * count, CANVAS, Draws(index), CALM)
        assert boxes is not None
        for number, box in enumerate(boxes):
            assert all(CALM.allows(box, other) for other in boxes[:number])
            assert 0 <= box.x0 < box.x1 <= 64
            assert 0 <= box.y0 < box.y1 <= 64
            for at in box.centre:
                assert min(abs(at / 64 - middle) for middle in middles) <= 0.03 + 0.5 / 64 + 1e-9


@pytest.mark.parametrize("predicate", PREDICATES)
@pytest.mark.parametrize("counts", [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_relations_hold_in_slots(predicate: str, counts: tuple[int, int]) -> None:
    for index in range(20):
        placed = place_related(
            [Size(20, 24)] * counts[0], predicate, [Size(24, 20)] * counts[1], CANVAS, Draws(index), CALM
        )
        assert placed is not None
        assert all(cosines(one, other)[predicate] > 0.6 for one in placed[0] for other in placed[1])


def test_a_pair_leaves_room_for_a_third() -> None:
    for index in range(20):
        placed = place_related([Size(26, 26)], "left of", [Size(26, 26)], CANVAS, Draws(index), CALM, 1)
        assert placed is not None
        taken = [*placed[0], *placed[1]]
        assert place_free([Size(26, 26)], CANVAS, Draws(index, "rest"), CALM, taken) is not None


@pytest.mark.parametrize("location", LOCATIONS)
def test_named_places_are_kept(location: str) -> None:
    x0, y0, x1, y1 = LOCATIONS[location]
    box = place_at(Size(20, 20), location, CANVAS, Draws(3), 0.03)
    assert box is not None
    assert x0 * 64 <= box.centre[0] <= x1 * 64
    assert y0 * 64 <= box.centre[1] <= y1 * 64


def test_what_is_too_large_for_a_slot_has_no_place() -> None:
    assert place_free([Size(40, 40)] * 2, CANVAS, Draws(0), CALM) is None
    assert place_free([Size(65, 10)], CANVAS, Draws(0), CALM) is None
    assert place_related([Size(10, 40)] * 3, "left of", [Size(10, 10)], CANVAS, Draws(0), CALM) is None
    assert place_at(Size(60, 60), "upper left", CANVAS, Draws(0), 0.03) is None


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_the_calm_world_finds_room_for_every_kind(split: str) -> None:
    engine = CollageEngine(load_recipe("mini-v0-slots", CollageRecipe), split=split)
    for index in range(120):
        assert engine.sample(0, index).details["attempts"] <= 10
