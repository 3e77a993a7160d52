from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from dreamomni.errors import RequestError
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.request import (
    REQUESTS,
    BaseRequest,
    EditRequest,
    Margins,
    OutpaintRequest,
    Request,
    TextToImageRequest,
    parse_request,
)

EXAMPLES: list[dict[str, Any]] = [
    {"task": "text_to_image", "prompt": "a star", "size": "64x48", "num_images": 3},
    {"task": "edit", "prompt": "make it red", "images": ["a.png", "b.png"], "guidance_scale": 3},
    {"task": "inpaint", "prompt": "a star", "images": ["a.png"], "mask": "m.png"},
    {"task": "outpaint", "images": ["a.png"], "margins": [0, 0, 16, 0]},
    {"task": "drag", "images": ["a.png"], "drags": [[0.1, 0.2, 0.5, -0.1]]},
    {"task": "control", "prompt": "a house", "images": ["edges.png"], "control": "canny"},
    {"task": "subject", "prompt": "the cat of image 1", "images": ["cat.png"]},
    {"task": "segment", "prompt": "the cat", "images": ["a.png"]},
    {"task": "detect", "prompt": "the cat", "images": ["a.png"]},
]


@pytest.mark.parametrize("values", EXAMPLES, ids=lambda values: values["task"])
def test_every_task_parses_and_its_record_parses_back(values: dict[str, Any]) -> None:
    request = parse_request(values)
    assert type(request) is REQUESTS[values["task"]]
    assert request.seed == 0
    record = request.model_dump(mode="json")
    assert parse_request(record) == request
    assert TypeAdapter(Request).validate_python(record) == request


def test_the_nine_tasks_are_there() -> None:
    assert [values["task"] for values in EXAMPLES] == list(REQUESTS)


def test_values_are_typed() -> None:
    request = parse_request(EXAMPLES[0])
    assert request.size == Size(64, 48)
    assert parse_request(EXAMPLES[4]).drags[0].dx == 0.5
    outpaint = parse_request(EXAMPLES[3])
    assert isinstance(outpaint, OutpaintRequest)
    assert outpaint.margins == Margins(right=16)


def test_images_in_memory_and_paths_are_kept_in_order(tmp_path: Path) -> None:
    image = Image.new("RGB", (20, 30))
    request = EditRequest(prompt="go", images=(tmp_path, image, "b.png"))
    assert request.images == (tmp_path, image, "b.png")
    assert request.images[1] is image
    assert request.model_dump(mode="json")["images"] == [str(tmp_path), "<image 20x30>", "b.png"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prompt": ""}, "the prompt is empty"),
        ({"prompt": " \n\t"}, "the prompt is empty"),
        ({"prompt": "x" * 9000}, "9,000 characters; the limit is 8,000"),
        ({"images": []}, "edit needs one image, but none came"),
        ({"images": [3]}, "images.0: an image is a path or a Pillow image, not 3"),
        ({"images": [""]}, "images.0: an image is"),
        ({"size": "0x0"}, "size 0x0 is impossible"),
        ({"size": [64.5, 64]}, "WIDTHxHEIGHT"),
        ({"size": "wide"}, "'wide'"),
        ({"seed": -1}, "seed: input should be greater than or equal to 0, got -1"),
        ({"seed": 2**64}, "seed"),
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"num_images": 0}, "num_images"),
        ({"guidance_scale": float("nan")}, "finite"),
        ({"guidance_scale": -1}, "guidance_scale"),
        ({"drags": [[0, 0, 2, 0]]}, "leaves the image"),
        ({"promt": "x"}, "unknown key promt .did you mean prompt?"),
        ({"task": "edti"}, "did you mean edit?"),
        ({"task": None}, "say one of text_to_image"),
        ({"task": "text_to_image"}, "takes no images, but 1 came"),
        ({"task": "text_to_image", "images": [], "mask": "m.png"}, "a mask needs the image"),
        ({"task": "inpaint"}, "inpaint needs a mask"),
        ({"task": "outpaint"}, "outpaint needs a margin"),
        ({"task": "outpaint", "margins": [-1, 2, 0, 0]}, "must not be negative"),
        ({"task": "drag"}, "at least one drag"),
        ({"task": "control"}, "control is missing"),
        ({"task": "control", "control": "edges"}, "'canny', 'depth'"),
        ({"task": "detect", "images": ["a.png", "b.png"]}, "detect takes one image, but 2 came"),
    ],
)
def test_bad_values_are_one_sentence(change: dict[str, Any], words: str) -> None:
    values = {"task": "edit", "prompt": "make it red", "images": ["a.png"]} | change
    with pytest.raises(RequestError, match=words) as caught:
        parse_request(values)
    assert "\n" not in str(caught.value)


def test_the_constructor_raises_ours_too() -> None:
    with pytest.raises(RequestError, match="unknown key steps"):
        TextToImageRequest(prompt="a star", steps=3)  # type: ignore[call-arg]


def test_requests_are_frozen() -> None:
    request: BaseRequest = TextToImageRequest(prompt="a star")
    with pytest.raises(ValidationError, match="frozen"):
        request.seed = 3  # type: ignore[misc]


def test_words_may_be_missing_where_the_structure_says_enough() -> None:
    image = {"images": ["a.png"]}
    for values in (
        {"task": "inpaint", "mask": "m.png", **image},
        {"task": "outpaint", "margins": [1, 0, 0, 0], **image},
        {"task": "drag", "drags": [[0.1, 0.1, 0.2, 0.2]], **image},
        {"task": "control", "control": "pose", **image},
        {"task": "subject", **image},
    ):
        assert parse_request(values).prompt == ""


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"task": "edit", "drags": [[32, 20, 5, 0]]}, "not pixels: divide x and dx by the width"),
        ({"task": "edit", "drags": [[0.5, 0.5, 0.6, 0]]}, "both ends must be within 0 to 1"),
        (
            {"task": "control", "control": "canny", "mask": "m.png"},
            "control takes no mask: edit, inpaint",
        ),
        ({"task": "outpaint", "margins": [1, 2], "prompt": ""}, "2 numbers, but there are four margins"),
        ({"task": "outpaint", "margins": [1, 2, 0, 0], "size": "64x64"}, "outpaint takes no size"),
        ({"task": "detect", "colour": "mauve"}, "colour 'mauve' is unknown: say one of red, orange"),
        ({"task": "segment", "prompt": "mark it in red", "colour": "blue"}, "leave one out"),
    ],
)
def test_bad_structure_is_one_sentence(values: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        parse_request({"prompt": "the cat", "images": ["a.png"]} | values)
    assert "\n" not in str(caught.value)


def test_colours_take_one_name() -> None:
    values = {"task": "segment", "prompt": "the cat", "images": ["a.png"], "colour": "Grey"}
    assert parse_request(values).model_dump()["colour"] == "gray"
