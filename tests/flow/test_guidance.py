import torch
from hypothesis import given
from hypothesis import strategies as st

from dreamomni.flow.guidance import guide, guide_twice

SCALES = st.floats(-2, 20)
FULL, IMAGE_ONLY, NEITHER = torch.randn(3, 2, 4, 3, 3, generator=torch.Generator().manual_seed(0))


def test_scale_one_is_no_guidance() -> None:
    assert torch.equal(guide(FULL, NEITHER, 1.0), FULL)
    assert torch.equal(
        guide_twice(FULL, IMAGE_ONLY, NEITHER, guidance_scale=1.0, image_guidance_scale=1.0), FULL
    )


def test_scale_zero_leaves_the_condition_out() -> None:
    torch.testing.assert_close(guide(FULL, NEITHER, 0.0), NEITHER)
    nothing = guide_twice(FULL, IMAGE_ONLY, NEITHER, guidance_scale=0.0, image_guidance_scale=0.0)
    torch.testing.assert_close(nothing, NEITHER)


@given(SCALES)
def test_guide_is_linear_in_the_scale(scale: float) -> None:
    torch.testing.assert_close(
        guide(FULL, NEITHER, scale), NEITHER + scale * (FULL - NEITHER), atol=1e-4, rtol=1e-4
    )


@given(SCALES, SCALES)
def test_guide_twice_is_the_formula_of_instruct_pix2pix(words: float, images: float) -> None:
    expected = NEITHER + images * (IMAGE_ONLY - NEITHER) + words * (FULL - IMAGE_ONLY)
    ours = guide_twice(FULL, IMAGE_ONLY, NEITHER, guidance_scale=words, image_guidance_scale=images)
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


@given(SCALES)
def test_guide_twice_with_image_scale_one_is_guide(words: float) -> None:
    twice = guide_twice(FULL, IMAGE_ONLY, NEITHER, guidance_scale=words, image_guidance_scale=1.0)
    torch.testing.assert_close(twice, guide(FULL, IMAGE_ONLY, words))
