import itertools

from hypothesis import given
from hypothesis import strategies as st

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.labels import OPPOSITE, PREDICATES, cosines
from dreamomni.data.collage.layout import LOCATIONS, Spacing, place_at, place_free, place_related
from dreamomni.tasks.geometry import Box, Size

sides = st.builds(Size, st.integers(6, 30), st.integers(6, 30))
canvases = st.builds(Size, st.integers(48, 160), st.integers(48, 160))


def inside(box: Box, canvas: Size) -> bool:
    return 0 <= box.x0 < box.x1 <= canvas.width and 0 <= box.y0 < box.y1 <= canvas.height


@given(st.lists(sides, min_size=1, max_size=5), canvases, st.integers(0, 10**6))
def test_free_boxes_fit_and_keep_apart(boxes: list[Size], canvas: Size, seed: int) -> None:
    placed = place_free(boxes, canvas, Draws(seed, "free"), Spacing(2))
    if placed is None:
        return
    assert [Size(box.width, box.height) for box in placed] == boxes
    assert all(inside(box, canvas) for box in placed)
    for a, b in itertools.combinations(placed, 2):
        apart = a.x1 + 2 <= b.x0 or b.x1 + 2 <= a.x0 or a.y1 + 2 <= b.y0 or b.y1 + 2 <= a.y0
        assert apart, (a, b)


@given(st.lists(sides, min_size=2, max_size=5), canvases, st.floats(0.05, 0.5), st.integers(0, 10**6))
def test_overlap_stays_below_its_limit(boxes: list[Size], canvas: Size, limit: float, seed: int) -> None:
    placed = place_free(boxes, canvas, Draws(seed, "overlap"), Spacing(2, limit)) or []
    for a, b in itertools.combinations(placed, 2):
        width = max(0, min(a.x1, b.x1) - max(a.x0, b.x0))
        height = max(0, min(a.y1, b.y1) - max(a.y0, b.y0))
        assert width * height <= limit * min(a.area, b.area)


@given(
    st.lists(sides, min_size=1, max_size=3),
    st.lists(sides, min_size=1, max_size=3),
    st.sampled_from(PREDICATES),
    canvases,
    st.integers(0, 10**6),
)
def test_related_groups_lie_clearly(
    subjects: list[Size], others: list[Size], predicate: str, canvas: Size, seed: int
) -> None:
    result = place_related(subjects, predicate, others, canvas, Draws(seed, "related"), Spacing(2.0))
    if result is None:
        return
    first, second = result
    assert [Size(box.width, box.height) for box in (*first, *second)] == [*subjects, *others]
    assert all(inside(box, canvas) for box in (*first, *second))
    for a, b in itertools.product(first, second):
        assert cosines(a, b)[predicate] > 0.6
        assert cosines(b, a)[OPPOSITE[predicate]] > 0.6
        # The bands do not touch, so "above" means all of it is above.
        apart = {
            "above": a.y1 <= b.y0,
            "below": b.y1 <= a.y0,
            "left of": a.x1 <= b.x0,
            "right of": b.x1 <= a.x0,
        }
        assert apart[predicate]
    for a, b in (*itertools.combinations(first, 2), *itertools.combinations(second, 2)):
        assert a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0


def test_two_small_boxes_always_find_a_relation() -> None:
    for seed, predicate in enumerate(PREDICATES * 10):
        assert place_related(
            [Size(20, 20)], predicate, [Size(20, 20)], Size(64, 64), Draws(seed, "x"), Spacing(2.0)
        )


@given(sides, st.sampled_from(sorted(LOCATIONS)), canvases, st.integers(0, 10**6))
def test_named_cells_hold_the_centre(side: Size, location: str, canvas: Size, seed: int) -> None:
    box = place_at(side, location, canvas, Draws(seed, "at"))
    if box is None:
        return
    assert inside(box, canvas)
    x0, y0, x1, y1 = LOCATIONS[location]
    x, y = box.centre
    assert x0 * canvas.width - 1 <= x <= x1 * canvas.width + 1
    assert y0 * canvas.height - 1 <= y <= y1 * canvas.height + 1


def test_what_does_not_fit_is_refused() -> None:
    assert place_free([Size(70, 10)], Size(64, 64), Draws(0, "x"), Spacing(0)) is None
    assert (
        place_related([Size(40, 40)], "above", [Size(40, 40)], Size(64, 64), Draws(0, "x"), Spacing(0.0))
        is None
    )
    assert place_at(Size(60, 60), "upper left", Size(64, 64), Draws(0, "x")) is None
