"""Sizes, ids, options and warnings of a request to Kontext, without a network."""

import pytest
import torch
from coloured import coloured
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dreamomni.errors import RequestError
from dreamomni.inference.kontext.plan import KontextPlan, kontext_card, make_kontext_plan
from dreamomni.inference.kontext.stages import image_ids
from dreamomni.models.kontext.resolutions import BASE_AREA
from dreamomni.tasks.request import EditRequest, Request, SubjectRequest, TextToImageRequest

BOTH = ("edit", "generate")
SIDES = st.integers(16, 200)
IMAGES = st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=5)


def plan_of(request: Request, adapters: tuple[str, ...] = BOTH, *, official: bool = False) -> KontextPlan:
    return make_kontext_plan(request, kontext_card(), adapters, official=official)


def edit(*sizes: tuple[int, int], **options: object) -> EditRequest:
    images = tuple(Image.new("RGB", size) for size in sizes)
    return EditRequest(prompt="make it red", images=images, **options)


@given(IMAGES)
def test_ids_follow_the_formulas_for_one_to_five_images(sizes: list[tuple[int, int]]) -> None:
    plan = plan_of(edit(*sizes))
    ids = image_ids(plan.noise_grid, plan.image_grids, official=False)
    rows, columns = -(-sizes[0][1] // 16), -(-sizes[0][0] // 16)
    expected = [(0, y, x) for y in range(rows) for x in range(columns)]
    shift = 0
    for number, (width, height) in enumerate(sizes, start=1):
        rows, columns = -(-height // 16), -(-width // 16)
        expected += [(number, y, x + shift) for y in range(rows) for x in range(columns)]
        shift += columns
    assert ids.dtype == torch.float32
    assert ids.tolist() == [list(map(float, row)) for row in expected]
    assert len({tuple(row) for row in ids.tolist()}) == plan.num_tokens


@given(IMAGES)
def test_an_edit_keeps_the_size_of_image_1_and_stretches_nothing(sizes: list[tuple[int, int]]) -> None:
    plan = plan_of(edit(*sizes))
    assert plan.size == sizes[0]
    assert [image.size for image in plan.images] == sizes
    assert plan.canvas.width - plan.size.width in range(16)


@settings(max_examples=15)
@given(st.integers(900, 2600), st.integers(900, 2600))
def test_large_references_shrink_to_a_megapixel_with_their_shape(width: int, height: int) -> None:
    plan = plan_of(edit((64, 64), (width, height)))
    shown = plan.images[1]
    assert shown.width * shown.height <= BASE_AREA
    assert shown.width / shown.height == pytest.approx(width / height, rel=0.01)
    assert plan.images[0].size == (64, 64)
    if width * height > BASE_AREA:
        assert plan.structure["read_at"] == ["64x64", f"{shown.width}x{shown.height}"]


def test_a_size_that_is_asked_for_is_taken_and_generation_has_a_megapixel() -> None:
    plan = plan_of(edit((70, 50), size="96x64"))
    assert (plan.size, plan.images[0].size) == ((96, 64), (96, 64))
    assert plan_of(TextToImageRequest(prompt="a cat")).size == (1024, 1024)
    subject = SubjectRequest(prompt="a cat", images=(coloured(40, 40),), size="64x32")
    assert (plan_of(subject).size, plan_of(subject).images[0].size) == ((64, 32), (40, 40))


@pytest.mark.parametrize(
    ("size", "shown", "result"),
    [
        ((64, 64), (1024, 1024), (1024, 1024)),
        ((100, 233), (672, 1568), (656, 1552)),
        ((300, 200), (1248, 832), (1248, 832)),
    ],
)
def test_the_official_sizes_are_those_of_the_release(
    size: tuple[int, int], shown: tuple[int, int], result: tuple[int, int]
) -> None:
    plan = plan_of(edit(size, (30, 30)), official=True)
    assert [image.size for image in plan.images] == [shown, (1024, 1024)]
    assert (plan.size, plan.canvas) == (result, result)
    assert plan.structure == {"official": True, "read_at": [f"{shown[0]}x{shown[1]}", "1024x1024"]}
    ids = image_ids(plan.noise_grid, plan.image_grids, official=True)
    assert torch.equal(ids, ids.to(torch.bfloat16).float())


def test_steps_and_the_adapter_follow_the_request() -> None:
    one, two = edit((64, 64)), edit((64, 64), (32, 32))
    subject = SubjectRequest(prompt="a cat", images=(coloured(40, 40),))
    chosen = [
        (plan_of(request).adapter, plan_of(request).num_inference_steps) for request in (one, two, subject)
    ]
    assert chosen == [(None, 28), ("edit", 30), ("generate", 30)]
    assert plan_of(edit((64, 64), adapter="edit", num_inference_steps=4)).num_inference_steps == 4
    assert [plan_of(request).rewrite for request in (one, two, subject)] == [False, True, True]
    assert not plan_of(edit((64, 64), (32, 32), rewrite=False)).rewrite
    with pytest.raises(RequestError, match="no LoRA 'edit'"):
        plan_of(edit((64, 64), adapter="edit"), ())


def warnings_of(request: Request, adapters: tuple[str, ...] = BOTH) -> str:
    return " | ".join(plan_of(request, adapters).warnings)


def test_warnings_say_what_to_expect() -> None:
    usual = {"size": "1024x1024"}
    assert warnings_of(edit((64, 64), (32, 32), **usual)) == ""
    assert "12 images came, but the model was trained with 1 to 5" in warnings_of(
        edit(*[(32, 32)] * 12, **usual)
    )
    assert "the LoRA 'edit' is not there" in warnings_of(edit((64, 64), (32, 32), **usual), ())
    assert "without a LoRA" in warnings_of(edit((64, 64), (32, 32), adapter="none", **usual))
    assert "the result is 64x64, far below the 1024x1024" in warnings_of(edit((64, 64)))


BAD = {
    "too many tokens": (edit(*[(1024, 1024)] * 16), "16 images and the result make 70,144 tokens"),
    "too large": (edit((2100, 2000)), "image 1 is 2100x2000.*such as"),
    "off the grid": (edit((64, 64), size="70x64"), "nearest is 64x64"),
    "image guidance": (edit((64, 64), image_guidance_scale=2.0), "no image guidance"),
    "image 3 of 1": (EditRequest(prompt="use image 3", images=(coloured(32, 32),)), "image 3"),
    "drags": (
        EditRequest(prompt="move", images=(coloured(32, 32),), drags=((0.1, 0.1, 0.2, 0),)),
        "takes no drags",
    ),
    "no words": (SubjectRequest(images=(coloured(32, 32),)), "say in words"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_served_is_refused(case: str) -> None:
    request, words = BAD[case]
    with pytest.raises(RequestError, match=words):
        plan_of(request)


def test_the_area_of_a_size_that_is_asked_for_has_a_limit() -> None:
    assert plan_of(edit((64, 64), size="4096x1024")).size == (4096, 1024)
    with pytest.raises(RequestError, match="the limit is 4,194,304"):
        plan_of(edit((64, 64), size="4096x1040"))


def test_a_mask_does_not_go_with_stretched_images() -> None:
    mask = Image.new("L", (64, 64), 255)
    with pytest.raises(RequestError, match="a mask does not go with the official sizes"):
        plan_of(edit((64, 64), mask=mask), official=True)
