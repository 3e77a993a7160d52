"""Cases as requests: of the right task, and none shows its answer."""

import numpy as np
import pytest
from PIL import Image

from dreamomni.config import load_recipe
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.evaluation.cases import KINDS, make_cases
from dreamomni.evaluation.expectation import REFERENCE_METRICS


@pytest.fixture(scope="module")
def recipe() -> CollageRecipe:
    mixture = [f"mixture.{kind}=1" for kind in REFERENCE_METRICS]
    # Words are small at 64 pixels, but a request shows them all the same.
    return load_recipe("mini-v1", CollageRecipe, mixture)


def pixels(image: object) -> np.ndarray:
    assert isinstance(image, Image.Image)
    return np.asarray(image)


def test_every_kind_becomes_a_request_of_its_task(recipe: CollageRecipe) -> None:
    for member in make_cases(recipe, split="held_out", num_cases_per_kind=2):
        request = member.case.request
        assert request.task == member.case.task == member.sample.task
        assert request.seed == member.case.seed
        assert request.prompt == member.case.prompt
        for image in request.images:
            assert not np.array_equal(pixels(image), member.truth), member.case.id
    assert {member.case.kind for member in make_cases(recipe, split="held_out", num_cases_per_kind=1)} == set(
        KINDS
    )


def test_subjects_can_be_mixed_up(recipe: CollageRecipe) -> None:
    cases = make_cases(recipe, split="held_out", num_cases_per_kind=8, kinds=["subject"])
    assert all(member.expectation.rejected for member in cases)
    assert all(len(member.case.request.images) == len(member.sample.images) for member in cases)
