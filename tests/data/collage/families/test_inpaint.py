import functools
from collections import Counter

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamomni.config import load_recipe
from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.held_out import combinations, is_held_out
from dreamomni.data.collage.holes import HOLES
from dreamomni.data.collage.options.inpaint import InpaintOptions
from dreamomni.data.collage.recipe import INPAINT_KINDS, CollageRecipe
from dreamomni.errors import ConfigError
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.sample import TrainingSample

SMALL = [
    "buckets=null",
    "size=[96x96, 128x80]",
    "names=[apple, bell, boat, bus, car, cat, cup, fish, house, key, star, tree]",
]


@functools.cache
def engine(*overrides: str) -> CollageEngine:
    return CollageEngine(load_recipe("inpaint", CollageRecipe, [*SMALL, *overrides]))


def samples(kind: str, count: int, *overrides: str) -> list[TrainingSample]:
    return [engine(*overrides).sample(4, index, kind) for index in range(count)]


@settings(max_examples=80, deadline=None)
@given(
    style=st.sampled_from(sorted(HOLES)),
    size=st.tuples(st.integers(32, 200), st.integers(32, 200)),
    seed=st.integers(0, 2**32),
    aimed=st.booleans(),
)
def test_holes_are_black_and_white_and_of_the_wanted_size(
    style: str, size: tuple[int, int], seed: int, aimed: bool
) -> None:
    canvas, options = Size(*size), InpaintOptions()
    aim = (size[0] * 0.3, size[1] * 0.8) if aimed else None
    mask = HOLES[style](canvas, aim, options, Draws(seed, "hole"))
    if mask is None:
        return
    assert mask.shape == (size[1], size[0])
    assert set(np.unique(mask)) == {0, 255}
    low, high = options.edge_share if style == "edges" else options.share
    assert low <= (mask > 0).mean() <= high
    again = HOLES[style](canvas, aim, options, Draws(seed, "hole"))
    assert again is not None
    assert again.tobytes() == mask.tobytes()
    if style == "edges":
        kept = cv2.boundingRect((mask == 0).astype(np.uint8))
        assert kept[2] * kept[3] == (mask == 0).sum()  # what is kept is one rectangle
        touched = [kept[0] > 0, kept[1] > 0, kept[0] + kept[2] < size[0], kept[1] + kept[3] < size[1]]
        assert 1 <= sum(touched) <= 4
        # The side that is nearest to the aim (20% from the bottom) is cut.
        assert touched[3] or not aimed


def test_holes_are_found_nearly_always_and_cover_their_range() -> None:
    for style in HOLES:
        found = [
            HOLES[style](Size(128, 128), None, InpaintOptions(), Draws(seed, style)) for seed in range(80)
        ]
        shares = [(mask > 0).mean() for mask in found if mask is not None]
        assert len(shares) > 60, style
        assert min(shares) < 0.18, style
        assert max(shares) > 0.35, style


@pytest.mark.parametrize("kind", INPAINT_KINDS)
def test_image_1_is_the_target_but_for_the_hole(kind: str) -> None:
    for sample in samples(kind, 60):
        (image,) = sample.images
        assert sample.task == sample.details["operation"] == kind
        assert sample.mask is not None
        hole = sample.mask > 0
        assert set(np.unique(sample.mask)) == {0, 255}
        assert (image[~hole] == sample.target[~hole]).all()
        assert (image[hole] == sample.details["fill"]).all()
        assert sample.details["share"] == pytest.approx(hole.mean(), abs=1e-4)
        assert (sample.details["hole"] == "edges") == (kind == "outpaint")


@pytest.mark.parametrize("kind", INPAINT_KINDS)
def test_labels_of_image_1_are_what_is_left(kind: str) -> None:
    gone = 0
    for sample in samples(kind, 60):
        (ids,) = sample.image_ids
        assert ids is not None
        assert sample.ids is not None
        assert sample.mask is not None
        assert (ids == np.where(sample.mask > 0, 0, sample.ids)).all()
        left = {label.instance_id: label for label in sample.source_objects}
        assert left.keys() == set(np.unique(ids).tolist()) - {0}
        for label in sample.objects:
            hidden = ((sample.ids == label.instance_id) & (sample.mask > 0)).sum() / label.area
            said = sample.details["hidden"].get(str(label.instance_id), 0.0)
            assert said == pytest.approx(hidden, abs=1e-4)
            gone += label.instance_id not in left
            if label.instance_id in left:
                now = left[label.instance_id]
                rows, columns = np.nonzero(ids == label.instance_id)
                assert tuple(now.box) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                assert now.area == len(rows)
                assert now.visibility == pytest.approx(label.visibility * (1 - hidden), abs=0.01)
    assert gone > 0


@pytest.mark.parametrize("kind", INPAINT_KINDS)
def test_half_of_the_instructions_are_the_caption_and_half_are_empty(kind: str) -> None:
    said = Counter(s.instruction == s.caption for s in samples(kind, 200, "size=64x64"))
    assert all(s.instruction in ("", s.caption) for s in samples(kind, 50, "size=64x64"))
    assert 75 <= said[True] <= 125
    assert all(s.instruction for s in samples(kind, 20, "inpaint.say_caption=1"))
    assert not any(s.instruction for s in samples(kind, 20, "inpaint.say_caption=0"))


@pytest.mark.parametrize("kind", INPAINT_KINDS)
def test_holes_hide_things_as_often_as_asked(kind: str) -> None:
    for sample in samples(kind, 40, "inpaint.hide_thing=1", "inpaint.hidden_part=0.3"):
        assert max(sample.details["hidden"].values()) >= 0.3
    some = samples(kind, 60, "inpaint.hide_thing=0", "inpaint.share=[0.05, 0.1]")
    assert any(max(sample.details["hidden"].values(), default=0.0) < 0.1 for sample in some)


def test_options_act() -> None:
    black = samples("inpaint", 5, "inpaint.fill=[0, 10, 20]")
    assert all(sample.details["fill"] == [0, 10, 20] for sample in black)
    assert {s.details["hole"] for s in samples("inpaint", 10, "inpaint.styles={block: 1}")} == {"block"}
    assert {s.details["hole"] for s in samples("inpaint", 20)} == {"smear", "block"}
    assert {s.details["base"] for s in samples("inpaint", 5, "inpaint.bases={text: 1}")} == {"text"}
    for sample in samples("outpaint", 10, "inpaint.edge_share=[0.3, 0.4]"):
        assert 0.3 <= sample.details["share"] <= 0.4
    for num in (1, 4):
        for sample in samples("outpaint", 10, f"inpaint.num_sides=[{num}, {num}]"):
            assert sample.mask is not None
            edges = sample.mask[0], sample.mask[-1], sample.mask[:, 0], sample.mask[:, -1]
            assert sum(bool((edge > 0).all()) for edge in edges) == num
    for sample in samples("inpaint", 10, "inpaint.styles={block: 1}", "inpaint.num_blocks=[1, 1]"):
        assert sample.mask is not None
        box = cv2.boundingRect(sample.mask)
        assert box[2] * box[3] == (sample.mask > 0).sum()
    one = ("inpaint.styles={smear: 1}", "inpaint.num_strokes=[1, 1]")
    for sample in samples("inpaint", 10, *one):
        assert sample.mask is not None
        assert cv2.connectedComponents(sample.mask)[0] == 2  # the background and one stroke
    thin, thick = (
        np.mean([_thickness(s) for s in samples("inpaint", 10, *one, f"inpaint.brush={brush}")])
        for brush in ([0.06, 0.07], [0.2, 0.22])
    )
    assert thick > 1.5 * thin


def _thickness(sample: TrainingSample) -> float:
    assert sample.mask is not None
    return float(cv2.distanceTransform(sample.mask, cv2.DIST_L2, 3).max())


def test_the_splits_keep_their_combinations() -> None:
    recipe = load_recipe("inpaint", CollageRecipe, SMALL)
    for split in ("train", "held_out"):
        made = CollageEngine(recipe, split=split)
        for index in range(60):
            sample = made.sample(0, index)
            shown = [
                [(label.name, label.colour) for label in labels if label.kind != "text"]
                for labels in (sample.objects, sample.source_objects)
            ]
            out = {found for found in combinations(shown) if is_held_out(recipe.held_out, found)}
            assert bool(out) == (split == "held_out"), (sample.details["base"], out)


def test_what_a_hole_leaves_is_no_number_kept_for_evaluation() -> None:
    crowded = [
        "inpaint.bases={counting: 1}",
        "inpaint.share=[0.3, 0.6]",
        "held_out.fraction=0.3",
        "max_count=6",
    ]
    recipe = load_recipe("inpaint", CollageRecipe, [*SMALL, *crowded])
    made = engine(*crowded)
    fewer = 0
    for index in range(60):
        sample = made.sample(1, index, "inpaint")
        left = combinations([[(label.name, label.colour) for label in sample.source_objects]])
        assert not {found for found in left if is_held_out(recipe.held_out, found)}
        fewer += 1 < len(sample.source_objects) < len(sample.objects)
    assert fewer > 5


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("inpaint.share=[0.5, 0.2]", r"share must be \[smallest, largest\]"),
        ("inpaint.share=[0.3, 0.3]", "needs room between its ends"),
        ("inpaint.styles={smear: 0}", "styles needs at least one weight above 0"),
        ("inpaint.num_sides=[1, 5]", "num_sides"),
        ("inpaint.fill=[0, 0, 300]", "fill"),
    ],
)
def test_impossible_options_are_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("inpaint", CollageRecipe, [override])
