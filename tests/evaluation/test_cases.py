"""Cases: reproducible, held out, without the answer; and the rules agree with the engine's own labels."""

import dataclasses

import numpy as np
import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.held_out import (
    colour_combination,
    combinations,
    count_combination,
    is_held_out,
    pair_combination,
)
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.errors import ConfigError
from dreamomni.evaluation.cases import KINDS, EvalCase, make_cases
from dreamomni.evaluation.expectation import MEASURES, Seen, expectation_of
from dreamomni.evaluation.scorers import judge
from dreamomni.tasks.sample import ObjectLabel

KINDS_OF_WORLD = (
    "single",
    "two",
    "counting",
    "colors",
    "position",
    "color_attribution",
    "add",
    "remove",
    "replace",
)
"""What mini-world asks."""


@pytest.fixture(scope="module")
def recipe() -> CollageRecipe:
    return load_recipe("mini-world", CollageRecipe)


def seen(labels: tuple[ObjectLabel, ...]) -> list[Seen]:
    return [
        Seen(name=label.name, colour=label.colour, box=tuple(label.box), score=1 - 0.01 * place)
        for place, label in enumerate(labels)
    ]


@pytest.mark.parametrize("kind", sorted(set(KINDS) - set(MEASURES)))
@pytest.mark.parametrize("split", ["held_out", "train"])
def test_the_engines_own_labels_pass_and_the_source_fails(
    recipe: CollageRecipe, kind: str, split: str
) -> None:
    engine = CollageEngine(recipe, split=split)
    for index in range(40):
        sample = engine.sample(5, index, kind=kind)
        expectation = expectation_of(sample)
        verdict = judge(expectation, seen(sample.objects))
        assert verdict[:2] == (True, True), (sample.instruction, verdict)
        if sample.task == "edit":
            before = judge(expectation, seen(sample.source_objects))
            assert not before.correct, (sample.instruction, before)


def test_cases_are_a_pure_function_of_their_arguments(recipe: CollageRecipe) -> None:
    first, second = (make_cases(recipe, split="held_out", num_cases_per_kind=2) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert (one.case.id, one.case.prompt, one.case.seed) == (
            other.case.id,
            other.case.prompt,
            other.case.seed,
        )
        assert np.array_equal(one.truth, other.truth)
    other_seed = make_cases(recipe, split="held_out", num_cases_per_kind=2, seed=1)
    assert [c.case.seed for c in other_seed] != [c.case.seed for c in first]


def test_more_cases_keep_the_first_ones(recipe: CollageRecipe) -> None:
    few = make_cases(recipe, split="held_out", num_cases_per_kind=1)
    many = {c.case.id: c.case.prompt for c in make_cases(recipe, split="held_out", num_cases_per_kind=3)}
    assert all(many[case.case.id] == case.case.prompt for case in few)


def test_ids_are_unique_and_fit_for_files(recipe: CollageRecipe) -> None:
    cases = [
        case
        for split in ("held_out", "train")
        for case in make_cases(recipe, split=split, num_cases_per_kind=2)
    ]
    ids = [case.case.id for case in cases]
    assert len(set(ids)) == len(ids) == 2 * 2 * len(KINDS_OF_WORLD)
    assert all(set(id_) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for id_ in ids)


def test_a_case_does_not_carry_its_answer() -> None:
    names = {field.name for field in dataclasses.fields(EvalCase)}
    assert names == {"id", "kind", "task", "prompt", "images", "size", "seed", "request"}


def test_held_out_cases_show_what_training_never_does(recipe: CollageRecipe) -> None:
    rule = recipe.held_out
    for case in make_cases(recipe, split="held_out", num_cases_per_kind=6):
        asked = case.expectation.asked
        names = sorted({a.name for a in asked} | {k.name for k in case.expectation.kept})
        if case.expectation.removed:
            names.append(case.expectation.removed.name)
        match case.case.kind:
            case "colors":
                assert is_held_out(rule, colour_combination(asked[0].name, asked[0].colour))
            case "counting":
                assert is_held_out(rule, count_combination(asked[0].count, asked[0].name))
            case "two" | "position" | "color_attribution" | "add" | "remove" | "replace":
                pairs = [pair_combination(a, b) for a in names for b in names if a < b]
                assert any(is_held_out(rule, pair) for pair in pairs), (case.case.prompt, names)


def test_seen_cases_show_nothing_held_out(recipe: CollageRecipe) -> None:
    engine = CollageEngine(recipe, split="train")
    for kind in KINDS_OF_WORLD:
        for index in range(5):
            sample = engine.sample(9, index, kind=kind)
            scenes = [
                [(label.name, label.colour) for label in labels]
                for labels in (sample.source_objects, sample.objects)
            ]
            assert not any(is_held_out(recipe.held_out, c) for c in combinations(scenes))


def test_kinds_follow_the_mixture(recipe: CollageRecipe) -> None:
    only = recipe.model_copy(update={"mixture": {"colors": 1.0, "shapes": 1.0}})
    assert {case.case.kind for case in make_cases(only, split="held_out", num_cases_per_kind=2)} == {"colors"}
    none = recipe.model_copy(update={"mixture": {"shapes": 1.0}})
    with pytest.raises(ConfigError, match="has none of them"):
        make_cases(none, split="train", num_cases_per_kind=1)


def test_kinds_can_be_chosen(recipe: CollageRecipe) -> None:
    chosen = make_cases(recipe, split="held_out", num_cases_per_kind=1, kinds=("add", "single"))
    assert [case.case.kind for case in chosen] == ["single", "add"]
    with pytest.raises(ConfigError, match="cannot judge shapes"):
        make_cases(recipe, split="held_out", num_cases_per_kind=1, kinds=("shapes",))
