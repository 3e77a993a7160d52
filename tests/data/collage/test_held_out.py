import functools
import itertools

import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.held_out import (
    combinations,
    count_combination,
    is_held_out,
    pair_combination,
)
from dreamomni.data.collage.recipe import CollageRecipe, HeldOut
from dreamomni.errors import ConfigError
from dreamomni.tasks.sample import TrainingSample

NAMES = [f"thing{number}" for number in range(40)]


def shown(sample: TrainingSample) -> set[tuple[str, ...]]:
    pictures = (sample.objects, sample.source_objects)
    return combinations(
        [(label.name, label.colour) for label in labels if label.kind != "text"] for labels in pictures
    )


def test_combinations_of_a_replacement_are_counted_by_hand() -> None:
    source = [("star", "red"), ("star", "blue"), ("car", "red")]
    target = [("star", "red"), ("star", "blue"), ("tree", "green")]
    assert combinations([source, target]) == {
        ("colour", "star", "red"),
        ("colour", "star", "blue"),
        ("colour", "car", "red"),
        ("colour", "tree", "green"),
        ("pair", "car", "star"),
        ("pair", "star", "tree"),
        ("pair", "car", "tree"),
        ("count", "2", "star"),
    }


def test_a_pair_has_no_order_and_the_fraction_is_kept() -> None:
    assert pair_combination("tree", "car") == pair_combination("car", "tree")
    rule = HeldOut(fraction=0.1, salt="x")
    pairs = [pair_combination(a, b) for a, b in itertools.combinations(NAMES, 2)]
    share = sum(is_held_out(rule, pair) for pair in pairs) / len(pairs)
    assert share == pytest.approx(0.1, abs=0.03)
    assert not any(is_held_out(HeldOut(fraction=0.0), pair) for pair in pairs)
    assert all(is_held_out(HeldOut(fraction=1.0), pair) for pair in pairs)
    other = HeldOut(fraction=0.1, salt="y")
    assert [is_held_out(rule, p) for p in pairs] != [is_held_out(other, p) for p in pairs]


def test_the_split_of_the_mini_world_is_recorded() -> None:
    # Changing it would make published numbers on held-out prompts mean something else.
    rule = load_recipe("mini-world", CollageRecipe).held_out
    recipe = load_recipe("mini-world", CollageRecipe)
    assert isinstance(recipe.names, tuple)
    pairs = [
        p for p in itertools.combinations(sorted(recipe.names), 2) if is_held_out(rule, pair_combination(*p))
    ]
    counts = [
        (n, name)
        for n in (2, 3, 4)
        for name in sorted(recipe.names)
        if is_held_out(rule, count_combination(n, name))
    ]
    assert counts == [(2, "car"), (3, "car"), (4, "house"), (4, "key")]
    assert [" ".join(pair) for pair in pairs] == [
        "apple flower",
        "balloon flower",
        "balloon house",
        "boat car",
        "boat cup",
        "boat flower",
        "car cup",
        "cat cup",
        "fish tree",
        "heart star",
        "key moon",
        "mushroom tree",
    ]


@pytest.mark.parametrize("name", ["mini-world", "collage-all"])
def test_training_never_shows_what_is_held_out(name: str) -> None:
    recipe = load_recipe(name, CollageRecipe, ["size=64x64"])
    engine = CollageEngine(recipe)
    is_out = functools.cache(lambda combination: is_held_out(recipe.held_out, combination))
    for index in range(1500 if name == "mini-world" else 500):
        leaked = {c for c in shown(engine.sample(5, index)) if is_out(c)}
        assert not leaked, (index, leaked)


WANTED = {
    "colors": "colour",
    "counting": "count",
    "two": "pair",
    "position": "pair",
    "color_attribution": "pair",
    "add": "pair",
    "remove": "pair",
    "replace": "pair",
}


@pytest.mark.parametrize("kind", WANTED)
def test_every_held_out_sample_shows_exactly_the_combination_of_its_kind(kind: str) -> None:
    recipe = load_recipe("mini-world", CollageRecipe)
    engine = CollageEngine(recipe, split="held_out")
    for index in range(60):
        sample = engine.sample(5, index, kind)
        out = {c for c in shown(sample) if is_held_out(recipe.held_out, c)}
        assert len(out) == 1, (sample.instruction, out)
        (only,) = out
        assert only[0] == WANTED[kind]
        changed = [thing["name"] for key in ("removed", "added") if (thing := sample.details[key])]
        assert all(name in only for name in changed) or kind not in ("replace",)
        assert not changed or any(name in only for name in changed)


def test_a_split_with_nothing_held_out_is_refused() -> None:
    recipe = load_recipe("mini-world", CollageRecipe, ["held_out.fraction=0"])
    assert CollageEngine(recipe).sample(0, 0)
    with pytest.raises(ConfigError, match=r"held_out\.fraction 0\.0: raise it"):
        CollageEngine(recipe, split="held_out")
