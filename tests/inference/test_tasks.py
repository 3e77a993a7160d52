"""All nine tasks by a tiny model with random weights: sizes, seeds, batches, exact outsides, errors."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dreamomni import DreamOmniPipeline
from dreamomni.errors import RequestError
from dreamomni.inference import stages
from dreamomni.inference.plan import make_plan
from dreamomni.inference.reading import read_marks
from dreamomni.inference.structure import Kept
from dreamomni.models.folder import ModelCard
from dreamomni.tasks.colours import PALETTE
from dreamomni.tasks.geometry import Box, Size
from dreamomni.tasks.request import REQUESTS, Request, parse_request
from dreamomni.tasks.result import ImageResult


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def half_mask(width: int, height: int) -> Image.Image:
    mask = np.zeros((height, width), np.uint8)
    mask[:, width // 2 :] = 255
    return Image.fromarray(mask)


def request(task: str, **more: Any) -> Request:
    values: dict[str, Any] = {"task": task, "prompt": "a red star", "seed": 3}
    if task != "text_to_image":
        values["images"] = (picture(40, 33),)
    values |= {
        "inpaint": {"mask": half_mask(40, 33)},
        "outpaint": {"margins": (5, 0, 7, 10)},
        "drag": {"drags": ((0.25, 0.5, 0.5, 0.0), (0.5, 0.5, 0.0, 0.25))},
        "control": {"control": "canny"},
        "subject": {"images": (picture(40, 33), picture(20, 50, 1))},
    }.get(task, {})
    return parse_request(values | more)


SIZES = dict.fromkeys(REQUESTS, (40, 33)) | {
    "text_to_image": (32, 32),
    "outpaint": (52, 43),
    "subject": (32, 32),
}


def levels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


@pytest.fixture(scope="module")
def results(every_task_pipe: DreamOmniPipeline) -> dict[str, ImageResult]:
    """Each task alone."""
    return {task: every_task_pipe.run(request(task)) for task in REQUESTS}


@pytest.mark.parametrize("task", REQUESTS)
def test_every_task_is_served_with_its_size(results: dict[str, ImageResult], task: str) -> None:
    result = results[task]
    assert [image.size for image in result.images] == [SIZES[task]]
    assert result.provenance.task == task
    assert result.provenance.size == Size(*SIZES[task])
    assert result.provenance.prompt == "a red star"


def test_one_batch_serves_all_tasks_as_each_alone(
    every_task_pipe: DreamOmniPipeline, results: dict[str, ImageResult]
) -> None:
    asked = [request(task) for task in REQUESTS]
    # Mates of the same shape, with other seeds and words, so that every batch has more than one row.
    mates = [request(task, prompt="a blue house far away", seed=9) for task in REQUESTS]
    together = every_task_pipe.run_batch([*mates, *asked])
    for task, mate, result in zip(REQUESTS, together[:9], together[9:], strict=True):
        alone = results[task]
        assert result.provenance == alone.provenance
        assert np.abs(levels(result.images[0]) - levels(alone.images[0])).max() <= 1
        assert mate.images[0].tobytes() != result.images[0].tobytes()


@pytest.mark.parametrize("task", REQUESTS)
def test_the_same_seed_gives_the_same_bytes(
    every_task_pipe: DreamOmniPipeline, results: dict[str, ImageResult], task: str
) -> None:
    pair = every_task_pipe.run(request(task, num_images=2))
    assert every_task_pipe.run(request(task)).images[0].tobytes() == results[task].images[0].tobytes()
    assert pair.images[0].tobytes() != pair.images[1].tobytes()
    assert len(pair.marks) == (2 if task in ("segment", "detect") else 0)


def test_images_of_many_sizes_fit_in_one_call(every_task_pipe: DreamOmniPipeline) -> None:
    sizes = [(40, 33), (64, 16), (17, 68), (33, 40)]
    asked = [
        request(task, images=(picture(*size),), **({"mask": half_mask(*size)} if task == "inpaint" else {}))
        for size in sizes
        for task in ("edit", "inpaint", "segment", "control")
    ]
    found = [result.images[0].size for result in every_task_pipe.run_batch(asked)]
    assert found == [size for size in sizes for _ in range(4)]
    many = request("subject", images=tuple(picture(*size) for size in sizes[:3]), size="48x16")
    assert every_task_pipe.run(many).images[0].size == (48, 16)


def test_outside_the_mask_every_bit_is_that_of_the_input(results: dict[str, ImageResult]) -> None:
    known = levels(picture(40, 33))
    inpainted = levels(results["inpaint"].images[0])
    assert (inpainted[:, :20] == known[:, :20]).all()
    assert (inpainted[:, 20:] != known[:, 20:]).mean() > 0.9
    outpainted = levels(results["outpaint"].images[0])
    assert (outpainted[0:33, 5:45] == known).all()


def test_what_the_model_made_outside_can_be_had(
    every_task_pipe: DreamOmniPipeline, results: dict[str, ImageResult]
) -> None:
    known = levels(picture(40, 33))
    raw = every_task_pipe.run(request("inpaint", keep_outside=False))
    assert (levels(raw.images[0])[:, :20] != known[:, :20]).mean() > 0.5
    assert raw.provenance.structure["keep_outside"] is False
    # Inside the mask nothing is blended.
    kept = levels(results["inpaint"].images[0])
    assert (levels(raw.images[0])[:, 20:] == kept[:, 20:]).all()


@pytest.mark.parametrize("task", ["edit", "drag"])
def test_an_edit_with_a_mask_changes_nothing_outside(every_task_pipe: DreamOmniPipeline, task: str) -> None:
    whole = levels(every_task_pipe.run(request(task)).images[0])
    part = levels(every_task_pipe.run(request(task, mask=half_mask(40, 33))).images[0])
    assert (part[:, :20] == levels(picture(40, 33))[:, :20]).all()
    assert (part[:, 20:] == whole[:, 20:]).all()  # the model saw the same: the mask is not its business


def test_a_mask_goes_along_when_another_size_is_asked(every_task_pipe: DreamOmniPipeline) -> None:
    result = every_task_pipe.run(request("inpaint", size="64x32"))
    shrunk = picture(40, 33).resize((64, 32), Image.Resampling.LANCZOS)
    assert (levels(result.images[0])[:, :32] == levels(shrunk)[:, :32]).all()


def test_output_types_keep_the_outside_too(every_task_pipe: DreamOmniPipeline) -> None:
    options = {"prompt": "a star", "image": picture(40, 33), "mask_image": half_mask(40, 33)}
    array = every_task_pipe(**options, output_type="np").images
    assert np.abs(array[0, :, :20] * 255 - levels(picture(40, 33))[:, :20]).max() < 1e-3
    assert every_task_pipe(**options, output_type="latent").images.shape == (1, 16, 6, 6)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from([torch.float32, torch.bfloat16]))
def test_what_is_put_back_is_exact_at_every_level(seed: int, dtype: torch.dtype) -> None:
    draws = np.random.default_rng(seed)
    known = np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, 2).reshape(16, 16, 3)
    mask = np.where(draws.random((16, 16)) < 0.5, np.uint8(255), np.uint8(0))
    made = torch.from_numpy(draws.uniform(-1.2, 1.2, (2, 3, 16, 16))).to(dtype)
    kept = Kept(Image.fromarray(known), Image.fromarray(mask))
    result = stages.to_uint8(stages.put_back(made, [kept, None])).numpy()
    plain = stages.to_uint8(made).numpy()
    assert (result[0][mask == 0] == known[mask == 0]).all()
    assert (result[0][mask == 255] == plain[0][mask == 255]).all()
    assert (result[1] == plain[1]).all()


def test_the_model_sees_what_it_was_trained_on() -> None:
    card = ModelCard(name="all", tasks=tuple(REQUESTS), base_size=32)

    def plan(task: str, **more: Any) -> Any:
        return make_plan(request(task, **more), card, 16)

    hole = np.asarray(plan("inpaint").images[0])
    assert (hole[:, 20:] == 128).all()
    assert (hole[:, :20] == np.asarray(picture(40, 33))[:, :20]).all()
    soft = half_mask(40, 33).point(lambda level: 129 if level else 126)
    assert (np.asarray(plan("inpaint", mask=soft).images[0]) == hole).all()
    grown = np.asarray(plan("outpaint").images[0])
    assert grown.shape == (43, 52, 3)
    assert (grown[:, :5] == 128).all()
    assert (grown[33:] == 128).all()
    assert (
        plan("drag").words == "(0.2500, 0.5000, 0.5000, 0.0000) (0.5000, 0.5000, 0.0000, 0.2500) a red star"
    )
    assert plan("edit", drags=((0, 0, 1, 1),)).words == "(0.0000, 0.0000, 1.0000, 1.0000) a red star"
    assert plan("control").words == "a red star, following the edges of the image"
    assert plan("subject").words == "a red star, as seen in image 1 and image 2"
    assert plan("segment", colour="blue").words == "segment a red star in blue"
    assert plan("detect", prompt="all stars in Grey").words == "draw gray boxes around all stars"
    assert plan("inpaint", prompt="").words == ""
    white = Image.new("RGB", (32, 32), "white")
    assert plan("segment", images=(white,)).colour == "orange"
    regions = Image.fromarray(np.kron(np.eye(8, dtype=np.uint8) * 255, np.ones((4, 4), np.uint8))).convert(
        "RGB"
    )
    scaled = plan("control", control="segmentation", images=(regions,), size="48x48").images[0]
    assert set(np.unique(np.asarray(scaled))) == {0, 255}


def test_provenance_and_words_say_what_was_done(results: dict[str, ImageResult]) -> None:
    structure = {task: result.provenance.structure for task, result in results.items()}
    assert structure["text_to_image"] == structure["edit"] == structure["subject"] == {}
    assert structure["inpaint"]["mask"].startswith("40x33 sha256:")
    assert structure["inpaint"]["keep_outside"] is True
    assert structure["outpaint"] == {"margins": [5, 0, 7, 10], "keep_outside": True}
    assert structure["drag"] == {"drags": [[0.25, 0.5, 0.5, 0.0], [0.5, 0.5, 0.0, 0.25]]}
    assert structure["control"] == {"control": "canny"}
    assert set(structure["segment"]) == {"colour"}
    assert results["edit"].provenance.words is None
    assert results["control"].provenance.words == "a red star, following the edges of the image"


def test_both_guidances_work_for_every_task(every_task_pipe: DreamOmniPipeline) -> None:
    for task in REQUESTS:
        options = [{"guidance_scale": 1.0}, {"guidance_scale": 5.0}]
        if task != "text_to_image":
            options.append({"guidance_scale": 5.0, "image_guidance_scale": 3.0})
        made = [
            every_task_pipe.run(
                request(task, keep_outside=False, **some)
                if task in ("inpaint", "outpaint")
                else request(task, **some)
            )
            .images[0]
            .tobytes()
            for some in options
        ]
        assert len(set(made)) == len(options), task


def test_the_null_conditions_are_those_of_training(
    every_task_pipe: DreamOmniPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[list[str], list[int]]] = []
    encode = stages.encode_text

    def spy(vlm: Any, prompts: Any, images: Any) -> Any:
        seen.append((list(prompts), [len(own) for own in images]))
        return encode(vlm, prompts, images)

    monkeypatch.setattr(stages, "encode_text", spy)
    every_task_pipe.run(request("subject", guidance_scale=3.0, image_guidance_scale=2.0))
    assert seen == [(["a red star, as seen in image 1 and image 2"], [2]), ([""], [2]), ([""], [0])]
    seen.clear()
    every_task_pipe.run(request("outpaint", prompt="", guidance_scale=3.0))
    assert seen == [([""], [1])]  # no words: nothing to be guided by


def test_marks_are_read_off_the_picture() -> None:
    card = ModelCard(name="all", tasks=tuple(REQUESTS), base_size=64)
    before = Image.new("RGB", (64, 48), PALETTE["yellow"])
    after = np.asarray(before).copy()
    after[10:20, 30:40] = PALETTE["blue"]
    plan = make_plan(request("segment", images=(before,), colour="blue"), card, 16)
    marks = read_marks(plan, after)
    assert marks is not None
    assert marks.mask is not None
    assert (marks.colour, marks.boxes) == ("blue", (Box(30, 10, 40, 20),))
    assert np.count_nonzero(marks.mask) == 100
    after[12:18, 32:38] = PALETTE["yellow"]
    plan = make_plan(request("detect", images=(before,), colour="blue"), card, 16)
    marks = read_marks(plan, after)
    assert marks is not None
    assert (marks.boxes, marks.mask) == ((Box(32, 12, 38, 18),), None)
    assert read_marks(make_plan(request("edit"), card, 16), after) is None


def test_results_of_other_tasks_have_no_marks(results: dict[str, ImageResult]) -> None:
    assert results["segment"].mask is not None
    assert results["segment"].mask.size == (40, 33)
    assert results["detect"].mask is None
    assert isinstance(results["detect"].boxes, tuple)
    assert results["edit"].mask is None
    assert results["edit"].boxes == ()


@pytest.mark.parametrize(
    ("arguments", "task"),
    [
        ({"mask_image": half_mask(40, 33)}, "inpaint"),
        ({"margins": (1, 2, 3, 4)}, "outpaint"),
        ({"drags": [(0.1, 0.1, 0.2, 0.2)]}, "drag"),
        ({"control": "depth"}, "control"),
        ({"task": "segment"}, "segment"),
        ({"task": "detect", "colour": "red"}, "detect"),
        ({"task": "subject"}, "subject"),
        ({"task": "edit", "mask_image": half_mask(40, 33)}, "edit"),
        ({}, "edit"),
    ],
)
def test_a_call_tells_the_task_by_its_arguments(
    every_task_pipe: DreamOmniPipeline, arguments: dict[str, Any], task: str
) -> None:
    made = every_task_pipe("the star", image=picture(40, 33), **arguments)
    assert made.provenance[0].task == task
    assert every_task_pipe("the star").provenance[0].task == "text_to_image"


def test_a_list_of_prompts_takes_a_list_of_everything(every_task_pipe: DreamOmniPipeline) -> None:
    images, masks = [picture(32, 32), picture(48, 32)], [half_mask(32, 32), half_mask(48, 32)]
    made = every_task_pipe(["a star", "a cup"], image=images, mask_image=masks)
    assert [image.size for image in made.images] == [(32, 32), (48, 32)]
    drags = [[(0.1, 0.1, 0.2, 0.2)], [(0.3, 0.3, 0.1, 0.1), (0.2, 0.2, 0, 0)]]
    made = every_task_pipe(["", ""], image=images, drags=drags)
    assert [len(one.structure["drags"]) for one in made.provenance] == [1, 2]
    made = every_task_pipe(["", ""], image=images, margins=(8, 0, 0, 0))
    assert [image.size for image in made.images] == [(40, 32), (56, 32)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"mask_image": half_mask(33, 40)},
            "mask is 33x40, but its image is 40x33; it seems to lie on its side",
        ),
        ({"mask_image": half_mask(20, 20)}, "scale it to 40x33, or paint it on a copy"),
        ({"mask_image": Image.new("L", (40, 33))}, "black everywhere"),
        ({"mask_image": half_mask(40, 33), "drags": [(0, 0, 0, 0)]}, "together fit several tasks: say which"),
        (
            {"drags": [(20, 16, 10, 0)]},
            r"drag \(20, 16, 10, 0\) leaves the image: .* not pixels: divide x and dx",
        ),
        ({"drags": [(0.9, 0.5, 0.3, 0)]}, "both ends must be within 0 to 1"),
        ({"margins": (-4, 0, 0, 0)}, "must not be negative"),
        ({"margins": (0, 0, 0, 0)}, "needs a margin"),
        ({"margins": (9000, 0, 0, 0)}, "image 1 with its margins is 9040x33, .* take smaller margins"),
        ({"margins": (1, 0, 0, 0), "height": 32, "width": 32}, "outpaint takes no size"),
        ({"margins": (1, 2, 3)}, "margins"),
        ({"task": "subject", "image": [picture(20, 20)] * 4}, "takes 3 input images, and the request has 4"),
        ({"task": "segment", "image": [picture(20, 20)] * 2}, "segment takes one image, but 2 came"),
        ({"task": "segment", "colour": "mauve"}, "colour 'mauve' is unknown: say one of red"),
        (
            {"task": "segment", "prompt": "mark it in red", "colour": "blue"},
            "asks for red and colour for blue",
        ),
        ({"task": "segment", "prompt": ""}, "prompt is empty"),
        ({"task": "segment", "mask_image": half_mask(40, 33)}, "takes no mask: edit, inpaint, drag do"),
        ({"task": "subject", "drags": [(0, 0, 0, 0)]}, "takes no drags: edit, drag do"),
        ({"control": "edges"}, "'canny'"),
        ({"task": "inpaint"}, "inpaint needs a mask"),
        ({"task": "paint"}, "did you mean inpaint"),
        ({"task": "edit", "control": "canny"}, "unknown key control"),
        (
            {"prompt": ["a", "b"], "image": [picture(20, 20)] * 2, "mask_image": [half_mask(20, 20)]},
            "list of 2",
        ),
    ],
)
def test_wrong_structure_gets_a_sentence(
    every_task_pipe: DreamOmniPipeline, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        every_task_pipe(**{"prompt": "a star", "image": picture(40, 33)} | options)
    assert "\n" not in str(caught.value)


def test_a_task_that_the_card_lacks_is_refused_with_those_it_has() -> None:
    card = ModelCard(name="edits", tasks=("edit", "text_to_image"), base_size=32)
    for task in set(REQUESTS) - {"edit", "text_to_image"}:
        with pytest.raises(
            RequestError, match=f"'edits' did not learn {task}; it learned edit, text_to_image"
        ):
            make_plan(request(task), card, 16)


def test_a_map_that_the_card_lacks_is_refused_with_those_it_has() -> None:
    card = ModelCard(name="lines", tasks=("control",), base_size=32, controls=("canny",))
    assert make_plan(request("control"), card, 16).task == "control"
    for control in ("depth", "pose", "scribble", "segmentation"):
        with pytest.raises(RequestError, match=f"'lines' did not learn to follow a {control} map; .* canny"):
            make_plan(request("control", control=control), card, 16)
