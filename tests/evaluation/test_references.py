"""Several references: truths pass, damages and answers of the wrong picture do not, exchanges show."""

import numpy as np
import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.evaluation.cases import SWAPPED, WorldCase, make_cases
from dreamomni.evaluation.cheats import CHEATS, fits
from dreamomni.evaluation.degradations import Degradation
from dreamomni.evaluation.expectation import MEASURES, REFERENCE_METRICS
from dreamomni.evaluation.judging import Eye, judge_answer
from dreamomni.evaluation.record import Record, rescore
from dreamomni.evaluation.references import closeness, followed
from dreamomni.evaluation.runner import evaluate_world

NUM = 4
KINDS = [kind for kind in REFERENCE_METRICS if kind != "reference_font"]
MIXTURE = "mixture={" + ", ".join(f"{kind}: 1" for kind in KINDS) + "}"


@pytest.fixture(scope="module")
def recipe() -> CollageRecipe:
    return load_recipe("mini-references-edit", CollageRecipe, [MIXTURE])


@pytest.fixture(scope="module")
def cases(recipe: CollageRecipe) -> list[WorldCase]:
    return make_cases(recipe, split="held_out", num_cases_per_kind=NUM, kinds=KINDS)


@pytest.fixture(scope="module")
def eye(recipe: CollageRecipe) -> Eye:
    return Eye(recipe)


@pytest.fixture(scope="module")
def record(recipe: CollageRecipe, cases: list[WorldCase]) -> Record:
    truths = {case.case.id: case.truth for case in cases}
    return evaluate_world(
        lambda asked: [truths[case.id] for case in asked],
        recipe,
        num_cases_per_kind=NUM,
        num_seen_cases_per_kind=0,
        progress=False,
    )


def test_every_second_case_has_one_with_two_references_exchanged(cases: list[WorldCase]) -> None:
    by_id = {case.case.id: case for case in cases}
    twins = [case for case in cases if case.expectation.pair]
    assert len(twins) >= len(KINDS) * NUM // 2 - 2
    for twin in twins:
        other = by_id[str(twin.expectation.pair)]
        assert twin.case.id == other.case.id + SWAPPED
        assert twin.case.prompt == other.case.prompt
        assert twin.case.seed == other.case.seed
        mine, theirs = ([image.tobytes() for image in case.case.images] for case in (twin, other))
        assert mine != theirs
        assert sorted(mine) == sorted(theirs)
        assert twin.truth.tobytes() != other.truth.tobytes()


def test_truths_pass_and_are_followed_even_when_they_are_blurred(cases: list[WorldCase], eye: Eye) -> None:
    damage = Degradation(blur=0.8, noise=4)
    for case in cases:
        for picture in (case.truth, damage.apply(case.truth, np.random.default_rng(0))):
            answer = judge_answer(case, picture, eye)
            assert answer.correct, (case.case.prompt, answer.reason, answer.values)
            assert followed(case.expectation, answer.seen, answer.values)


@pytest.mark.parametrize("cheat", ["blank", "noise", "copy_source", "copy_reference"])
def test_answers_without_a_model_fail(cases: list[WorldCase], eye: Eye, cheat: str) -> None:
    able = [case for case in cases if fits(cheat, case)]
    assert able
    answers = [
        judge_answer(case, picture, eye) for case, picture in zip(able, CHEATS[cheat](able), strict=True)
    ]
    right = [answer.case for answer in answers if answer.correct]
    # A reference now and then shows by luck all that a replacement leaves.
    assert len(right) <= (1 if cheat == "copy_reference" else 0), right


def test_the_answer_of_the_other_order_follows_the_wrong_picture(cases: list[WorldCase], eye: Eye) -> None:
    truths = {case.case.id: case.truth for case in cases}
    twins = [case for case in cases if case.expectation.pair]
    for case in twins:
        answer = judge_answer(case, truths[str(case.expectation.pair)], eye)
        assert not answer.correct, case.case.prompt
        assert not followed(case.expectation, answer.seen, answer.values), case.case.prompt


def test_what_has_no_body_is_told_from_every_other_value(cases: list[WorldCase], eye: Eye) -> None:
    compared = [case for case in cases if case.case.kind in MEASURES]
    assert compared
    for case in compared:
        assert len(case.rivals) >= 2
        for name, rival in case.rivals.items():
            assert closeness(case.truth, case.truth, rival) == 1.0
            assert closeness(rival, case.truth, rival) == 0.0
            answer = judge_answer(case, rival, eye)
            assert not answer.correct
            given = {gift.value: gift.image for gift in case.expectation.given}
            assert answer.values["image"] == (1 if name == "" else given.get(name, 0))


def test_the_record_has_shares_by_kind_and_group_and_the_test_of_exchange(record: Record) -> None:
    metrics = record.metrics
    groups = ("references_concrete", "references_abstract", "generation_concrete", "generation_abstract")
    shares = (*KINDS, *groups, "references_followed", "generation_followed")
    assert all(metrics[name].mean == 1.0 for name in shares)
    assert metrics["references_swapped"].mean == metrics["generation_swapped"].mean == 1.0
    assert metrics["reference_add"].num_scored == NUM
    assert metrics["references_swapped"].num_scored <= NUM // 2 * 6
    wrong = record.cheats["wrong_reference"]
    assert wrong["references_swapped"].mean == wrong["generation_swapped"].mean == 0.0
    assert record.cheats["copy_source"]["references_psnr_outside"].mean == 60.0
    again = rescore(record)
    assert again.metrics == metrics


def test_fonts_are_told_apart_where_words_are_large_enough() -> None:
    large = ["buckets=null", "size=192x96", "multi_reference.reference_sizes=[192x96]"]
    world = load_recipe(
        "references",
        CollageRecipe,
        [*large, "mixture={reference_font: 1}", "text_to_image.text_height=[0.3, 0.4]"],
    )
    eye = Eye(world)
    made = make_cases(world, split="held_out", num_cases_per_kind=2, kinds=["reference_font"])
    for case in made:
        assert judge_answer(case, case.truth, eye).correct
        assert not judge_answer(case, case.case.images[0], eye).correct
