import pickle
import subprocess
import sys

import cv2
import numpy as np
import pytest
import yaml

from dreamomni.config import dump_recipe, list_recipes, load_recipe, validate
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.labels import cosines
from dreamomni.data.collage.layout import LOCATIONS
from dreamomni.data.collage.recipe import EDIT_KINDS, TEXT_TO_IMAGE_KINDS, CollageRecipe
from dreamomni.errors import ConfigError, DataError
from dreamomni.tasks.geometry import Size, aspect_buckets
from dreamomni.tasks.sample import ObjectLabel, TrainingSample

ALL_KINDS = (*TEXT_TO_IMAGE_KINDS, *EDIT_KINDS)
MINI = load_recipe("mini-world", CollageRecipe)
# Everything at once, crowded enough that things cover each other, small enough to be quick.
CROWDED = load_recipe("collage-all", CollageRecipe, ["size=[96x96, 128x80]", "max_overlap=0.3"])


@pytest.fixture(scope="module")
def mini() -> CollageEngine:
    return CollageEngine(MINI)


@pytest.fixture(scope="module")
def crowded() -> CollageEngine:
    return CollageEngine(CROWDED)


def same(first: TrainingSample, second: TrainingSample) -> bool:
    facts = (
        "key",
        "task",
        "kind",
        "instruction",
        "caption",
        "objects",
        "source_objects",
        "relations",
        "details",
    )
    return (
        all(getattr(first, fact) == getattr(second, fact) for fact in facts)
        and first.target.tobytes() == second.target.tobytes()
        and [image.tobytes() for image in first.images] == [image.tobytes() for image in second.images]
        and (first.mask is None) == (second.mask is None)
        and (first.mask is None or first.mask.tobytes() == second.mask.tobytes())
    )


def with_name(labels: tuple[ObjectLabel, ...], name: str, colour: str | None = None) -> list[ObjectLabel]:
    return [label for label in labels if label.name == name and colour in (None, label.colour)]


@pytest.mark.parametrize("recipe", [MINI, CROWDED], ids=["mini", "crowded"])
def test_a_sample_is_a_pure_function_of_recipe_seed_and_index(recipe: CollageRecipe) -> None:
    first, second = CollageEngine(recipe), CollageEngine(recipe)
    forward = {index: first.sample(7, index) for index in range(40)}
    order = np.random.default_rng(0).permutation(40).tolist()
    for index in order:
        assert same(second.sample(7, index), forward[index])
    third = pickle.loads(pickle.dumps(second))
    assert all(same(third.sample(7, index), forward[index]) for index in order[:10])
    assert not any(same(second.sample(8, index), forward[index]) for index in order[:10])


def test_a_forced_kind_gives_what_the_mixture_gives(mini: CollageEngine) -> None:
    for index in range(30):
        sample = mini.sample(2, index)
        assert same(mini.sample(2, index, sample.kind), sample)


def test_two_processes_give_equal_bytes(mini: CollageEngine) -> None:
    code = (
        "import hashlib\n"
        "from dreamomni.config import load_recipe\n"
        "from dreamomni.data.collage.engine import CollageEngine\n"
        "from dreamomni.data.collage.recipe import CollageRecipe\n"
        "engine = CollageEngine(load_recipe('mini-world', CollageRecipe))\n"
        "for index in (3, 1, 2):\n"
        "    s = engine.sample(11, index)\n"
        "    data = s.target.tobytes() + repr((s.instruction, s.objects, s.details)).encode()\n"
        "    print(hashlib.sha256(data).hexdigest())\n"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed, "PATH": ""},
        ).stdout
        for seed in ("1", "2")
    ]
    assert len(runs[0].split()) == 3
    assert runs[0] == runs[1]


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_labels_are_the_boxes_of_the_pixels(crowded: CollageEngine, kind: str) -> None:
    for index in range(25):
        sample = crowded.sample(1, index, kind)
        for ids, labels in (
            (sample.ids, sample.objects),
            *zip(sample.image_ids, sample.image_objects, strict=True),
        ):
            assert ids is not None
            assert {label.instance_id for label in labels} == set(np.unique(ids).tolist()) - {0}
            for label in labels:
                rows, columns = np.nonzero(ids == label.instance_id)
                box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                assert tuple(label.box) == box
                assert label.area == len(rows)
                assert 0 < label.visibility <= 1


def test_some_things_are_covered_in_a_crowded_world(crowded: CollageEngine) -> None:
    shares = [label.visibility for index in range(80) for label in crowded.sample(1, index).objects]
    assert min(shares) < 0.95


@pytest.mark.parametrize("kind", EDIT_KINDS)
@pytest.mark.parametrize("name", ["mini", "crowded"])
def test_the_mask_is_exactly_what_changed(kind: str, name: str, request: pytest.FixtureRequest) -> None:
    engine: CollageEngine = request.getfixturevalue(name)
    for index in range(60):
        sample = engine.sample(4, index, kind)
        (source,) = sample.images
        assert sample.mask is not None
        assert source.shape == sample.target.shape
        assert set(np.unique(sample.mask)) == {0, 255}
        assert ((source != sample.target).any(axis=2) == (sample.mask == 255)).all()
        # Only what comes or goes changes, so the change is about as large as that.
        assert 0 < (sample.mask > 0).mean() < 0.6


@pytest.mark.parametrize("kind", ["add", "remove", "replace"])
def test_edits_do_what_they_say_and_keep_the_rest(mini: CollageEngine, kind: str) -> None:
    for index in range(120):
        sample = mini.sample(6, index, kind)
        before = {label.instance_id: label for label in sample.source_objects}
        after = {label.instance_id: label for label in sample.objects}
        gone = [before[number] for number in before.keys() - after.keys()]
        come = [after[number] for number in after.keys() - before.keys()]
        assert len(gone) == (kind != "add")
        assert len(come) == (kind != "remove")
        assert all(before[number] == after[number] for number in before.keys() & after.keys())
        for thing, labels in ((sample.details["removed"], gone), (sample.details["added"], come)):
            assert [(label.name, label.colour) for label in labels] == (
                [tuple(thing.values())] if thing else []
            )
        if gone and come:
            drift = np.subtract(gone[0].box.centre, come[0].box.centre)
            assert np.abs(drift).max() <= 1.5


@pytest.mark.parametrize("kind", ["remove", "replace"])
def test_the_removed_thing_is_named_without_doubt(mini: CollageEngine, kind: str) -> None:
    twins = 0
    for index in range(300):
        sample = mini.sample(8, index, kind)
        name, colour = sample.details["removed"].values()
        text = sample.instruction.lower()
        coloured = f"the {colour} {name}" in text
        assert coloured or f"the {name}" in text
        assert len(with_name(sample.source_objects, name, colour if coloured else None)) == 1
        twins += len(with_name(sample.source_objects, name)) > 1
    assert twins > 10


def test_the_place_of_an_addition_is_true_and_clear(mini: CollageEngine) -> None:
    places = set()
    for index in range(400):
        sample = mini.sample(9, index, "add")
        (added,) = [label for label in sample.objects if label not in sample.source_objects]
        relation, location = sample.details["expect"]["relation"], sample.details["location"]
        if relation is not None:
            anchors = with_name(sample.source_objects, relation["object"])
            said = [a for a in anchors if f"the {a.colour} {a.name}" in sample.instruction.lower()]
            assert len(said or anchors) == 1, sample.instruction
            assert cosines(added.box, (said or anchors)[0].box)[relation["predicate"]] > 0.8
            places.add(relation["predicate"])
        if location is not None:
            x0, y0, x1, y1 = LOCATIONS[location]
            x, y = added.box.centre
            assert x0 * 64 - 1 <= x <= x1 * 64 + 1
            assert y0 * 64 - 1 <= y <= y1 * 64 + 1
            places.add(location)
    assert places == {*LOCATIONS, "left of", "right of", "above", "below"}


@pytest.mark.parametrize("kind", [kind for kind in TEXT_TO_IMAGE_KINDS if kind != "text"])
def test_prompts_are_satisfied_by_their_pictures(
    crowded: CollageEngine, mini: CollageEngine, kind: str
) -> None:
    for index in range(80):
        engine = mini if index % 2 and kind in MINI.mixture else crowded
        sample = engine.sample(10, index, kind)
        expect = sample.details["expect"]
        for group in expect["include"]:
            assert len(with_name(sample.objects, group["name"], group["colour"])) == group["count"]
        assert sum(group["count"] for group in expect["include"]) == len(sample.objects)
        if expect["relation"] is not None:
            relation = expect["relation"]
            for subject in with_name(sample.objects, relation["subject"]):
                for other in with_name(sample.objects, relation["object"]):
                    assert cosines(subject.box, other.box)[relation["predicate"]] > 0.5
        assert (expect["relation"] is not None) == (" left of " in sample.instruction) or kind != "two"


def test_written_words_are_in_the_prompt_and_on_the_canvas(crowded: CollageEngine) -> None:
    company = set()
    for index in range(120):
        sample = crowded.sample(3, index, "text")
        (label,) = [label for label in sample.objects if label.kind == "text"]
        others = [other for other in sample.objects if other.kind != "text"]
        assert f'"{label.name}"' in sample.instruction
        assert label.colour is not None
        assert label.colour in sample.instruction.lower()
        height, width = sample.target.shape[:2]
        assert label.box.x1 <= width
        assert label.box.y1 <= height
        for other in others:
            assert f"{other.colour} {other.name}" in sample.instruction or f"{other.colour} sign" in (
                sample.instruction
            )
            if sample.details["expect"]["relation"] is None:
                inside = other.box
                assert inside.x0 <= label.box.x0 < label.box.x1 <= inside.x1
                assert inside.y0 <= label.box.y0 < label.box.y1 <= inside.y1
                company.add("plate")
        company |= {other.kind for other in others}
    assert company == {"plate", "shape", "sticker"}


def test_words_on_several_lines_are_one_instance() -> None:
    overrides = ["size=256x256", "text_to_image={text_lines: {3: 1}, text_words: {5: 1}, text_phrases: 0}"]
    overrides.append("text_to_image.text_with={alone: 1}")
    engine = CollageEngine(load_recipe("collage-all", CollageRecipe, [*overrides]))
    for index in range(8):
        (label,) = engine.sample(3, index, "text").objects
        assert "\n" not in label.name
        # Three lines of a few letters are no long and flat box.
        assert len(label.name.split()) in (1, 5)
        assert len(label.name.split()) == 1 or label.box.width < 6 * label.box.height


def test_things_stand_out_from_their_background() -> None:
    engine = CollageEngine(load_recipe("collage-all", CollageRecipe, ["size=64x64"]))
    for index in range(150):
        sample = engine.sample(0, index)
        assert not (
            sample.details["background"]["colour"] == "white"
            # Written words may stand on a plate, which is what they stand out from.
            and "white" in [o.colour for o in sample.objects if o.kind != "text"]
        )
    assert {o.colour for index in range(150) for o in engine.sample(0, index).objects} >= {
        "black",
        "cyan",
        "gray",
    }


def test_the_mixture_is_kept(mini: CollageEngine) -> None:
    kinds = [mini.kind_of(1, index) for index in range(1500)]
    total = sum(MINI.mixture.values())
    for kind, weight in MINI.mixture.items():
        assert kinds.count(kind) / 1500 == pytest.approx(weight / total, abs=0.035)


def test_sizes_of_the_canvas_are_those_of_the_recipe(crowded: CollageEngine) -> None:
    shapes = {crowded.sample(0, index).target.shape for index in range(30)}
    assert shapes == {(96, 96, 3), (80, 128, 3)}


def test_things_are_large_enough_to_be_recognised(mini: CollageEngine) -> None:
    sides = [max(o.box.width, o.box.height) for i in range(150) for o in mini.sample(0, i).objects]
    assert min(sides) >= 0.22 * 64 - 0.5
    assert max(sides) <= 0.6 * 64 + 1


def test_labels_carry_licences_and_splits_differ() -> None:
    train, held = CollageEngine(MINI), CollageEngine(MINI, split="held_out")
    first, second = train.sample(0, 0, "single"), held.sample(0, 0, "single")
    assert first.licences == ("Apache-2.0",)
    assert first.target.tobytes() != second.target.tobytes()
    assert first.key != second.key
    assert "." not in first.key


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["names=[apple, huose]"], "'huose', which does not exist; did you mean 'house'"),
        (["colours=[red, grean]"], "did you mean 'green'"),
        (["backgrounds=[marble]"], "'marble', which does not exist"),
        (["names=[]"], "names is empty"),
        (["names=[apple, apple]"], "names something twice"),
        (["held_out.fraction=1"], "no colour left for training"),
        (["size=8x8"], "outside 32x32"),
        (["size=640x64"], "longer than 4:1"),
        (["mixture={single: 0}"], "at least one weight above 0"),
        (["object_sizes={2: [0.1, 0.2]}"], "needs a row for 1"),
        (["object_sizes={1: [0.4, 0.2]}"], "smallest <= largest"),
        (["hold_out={}"], "unknown key"),
        (["version=2"], r"mini-world.yaml: the recipe: it has version 2, but this release draws version 1"),
        (["version=0", "nonsense=1"], "it has version 0, but this release"),
        (["object_sizes={1: [0.9, 1.0]}"], "no two things of that size fit on a canvas of 64x64"),
        (["names=[apple]"], "two, which shows 2 different things, but the recipe has 1"),
        (["buckets=512"], "size and buckets are both given"),
        (["size=null", "buckets=20"], "buckets.*base"),
        (["size=null", "buckets={base: 64, multiple: 48}"], "base size 64 is too small"),
        (["edit.num_edits={2: 0}"], "at least one weight above 0"),
        (
            ["mixture.multi_edit=1", "max_edit_objects=1", "edit.operations={remove: 1}"],
            "at least 2 edits of different things",
        ),
        (["text_to_image.description_things=3"], "asks for 6 different things"),
        (["text_to_image.small=[0.1, 0.4]"], "what is large must be at least 1.5 times"),
    ],
)
def test_impossible_recipes_are_explained(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CollageEngine(load_recipe("mini-world", CollageRecipe, overrides))


def test_unknown_kinds_and_splits_are_explained(mini: CollageEngine) -> None:
    with pytest.raises(ConfigError, match="no kind of sample 'drawing'"):
        mini.sample(0, 0, "drawing")
    with pytest.raises(ConfigError, match="no split 'test'"):
        CollageEngine(MINI, split="test")  # type: ignore[arg-type]


def test_no_room_is_said_so() -> None:
    # Nothing in the mixture needs room for two, so only a forced kind finds none.
    overrides = ["object_sizes={1: [0.9, 1.0]}", "mixture={single: 1}"]
    engine = CollageEngine(load_recipe("mini-world", CollageRecipe, overrides))
    assert engine.sample(0, 0, "single")
    with pytest.raises(DataError, match=r"sample 0 of seed 0 \(two, 64x64\) found no layout in 40 attempts"):
        engine.sample(0, 0, "two")


def test_buckets_stand_for_their_sizes() -> None:
    recipe = load_recipe("mini-world", CollageRecipe, ["size=null", "buckets=256"])
    assert recipe.size == aspect_buckets(256)
    assert len(recipe.size) == 31
    coarse = load_recipe("mini-world", CollageRecipe, ["size=null", "buckets={base: 256, multiple: 64}"])
    assert coarse.size == aspect_buckets(256, 64)
    again = validate(yaml.safe_load(dump_recipe(recipe)), CollageRecipe, origin="copy")
    assert again == recipe
    engine = CollageEngine(recipe)
    shapes = {engine.sample(0, index, "two").target.shape[1::-1] for index in range(60)}
    assert shapes <= set(aspect_buckets(256))
    assert len(shapes) > 20


def test_every_shipped_data_recipe_draws() -> None:
    names = [name for name in list_recipes() if name.startswith("data/")]
    assert {"data/dreamomni", "data/text-to-image", "data/edit", "data/collage-all"} <= set(names)
    for name in names:
        recipe = load_recipe(name, CollageRecipe)
        engine = CollageEngine(recipe)
        for kind, weight in recipe.mixture.items():
            if weight > 0:
                assert engine.sample(0, 0, kind).kind == kind


def test_the_blend_of_a_sample_is_drawn_and_said() -> None:
    weights = "blending.weights={none: 1, feather: 1, gaussian: 1, gain: 1, shadow: 1}"
    engine = CollageEngine(load_recipe("mini-world", CollageRecipe, [weights]))
    plain = CollageEngine(MINI)
    styles = set()
    for index in range(40):
        sample, other = engine.sample(3, index, "replace"), plain.sample(3, index, "replace")
        style = sample.details["blend"]["style"]
        styles.add(style)
        assert sample.instruction == other.instruction
        assert [label.name for label in sample.objects] == [label.name for label in other.objects]
        # Softer edges end a little earlier; light and shadow belong to no thing.
        if style in ("none", "gain", "shadow"):
            assert sample.objects == other.objects
        if style == "none":
            assert sample.target.tobytes() == other.target.tobytes()
    assert styles == {"none", "feather", "gaussian", "gain", "shadow"}


def test_a_recipe_survives_being_written() -> None:
    for recipe in (MINI, CROWDED):
        assert validate(yaml.safe_load(dump_recipe(recipe)), CollageRecipe, origin="copy") == recipe
    assert CollageRecipe(size="64x48").size == (Size(64, 48),)
    assert CollageRecipe(size=[64, 48]).size == (Size(64, 48),)


def test_the_engine_starts_without_torch() -> None:
    code = "import sys, dreamomni.data.collage.engine; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_pixels_do_not_depend_on_the_threads_of_opencv(mini: CollageEngine) -> None:
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        first = CollageEngine(MINI).sample(0, 5)
        cv2.setNumThreads(2)
        assert same(CollageEngine(MINI).sample(0, 5), first)
    finally:
        cv2.setNumThreads(before)
