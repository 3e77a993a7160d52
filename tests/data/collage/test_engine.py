import pickle
import subprocess
import sys

import cv2
import numpy as np
import pytest
from collage_worlds import CROWDED, MINI, same

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.errors import ConfigError, DataError


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


def test_the_mixture_is_kept(mini: CollageEngine) -> None:
    kinds = [mini.kind_of(1, index) for index in range(1500)]
    total = sum(MINI.mixture.values())
    for kind, weight in MINI.mixture.items():
        assert kinds.count(kind) / 1500 == pytest.approx(weight / total, abs=0.035)


def test_sizes_of_the_canvas_are_those_of_the_recipe(crowded: CollageEngine) -> None:
    shapes = {crowded.sample(0, index).target.shape for index in range(30)}
    assert shapes == {(96, 96, 3), (80, 128, 3)}


def test_labels_carry_licences_and_splits_differ() -> None:
    train, held = CollageEngine(MINI), CollageEngine(MINI, split="held_out")
    first, second = train.sample(0, 0, "single"), held.sample(0, 0, "single")
    assert first.licences == ("Apache-2.0",)
    assert first.target.tobytes() != second.target.tobytes()
    assert first.key != second.key
    assert "." not in first.key


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


def loads_torch(code: str) -> bool:
    """Whether a fresh interpreter has torch after running this."""
    said = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint('torch' in sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return {"True": True, "False": False}[said.split()[-1]]


def test_the_engine_starts_and_draws_without_torch() -> None:
    draws = (
        "from dreamomni.config import load_recipe\n"
        "from dreamomni.data.collage.engine import CollageEngine, KINDS\n"
        "from dreamomni.data.collage.recipe import CollageRecipe\n"
        "engine = CollageEngine(load_recipe('dreamomni', CollageRecipe, ['buckets=null', 'size=64x64']))\n"
        "for kind in KINDS: engine.sample(0, 0, kind)\n"
    )
    assert not loads_torch(draws)
    # The question can be answered with yes.
    assert loads_torch("import dreamomni.data.dataset")


def test_pixels_do_not_depend_on_the_threads_of_opencv(mini: CollageEngine) -> None:
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        first = CollageEngine(MINI).sample(0, 5)
        cv2.setNumThreads(2)
        assert same(CollageEngine(MINI).sample(0, 5), first)
    finally:
        cv2.setNumThreads(before)
