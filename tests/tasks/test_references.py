"""Names of images in words: what counts as one, what does not, and what a request refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamomni.errors import RequestError
from dreamomni.tasks.references import check_references, image_names, with_tags


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Make the dog in image 1 look like the one in image 2.", [1, 2]),
        ("Put image_2's hat on image_1", [2, 1]),
        ("The person (Image 3) stands on the left", [3]),
        ("make the first image like the second picture", [2]),
        ("the style of the first image and the third photo", [1, 3]),
        ("Figure 1 with the light of Figure 2", [1, 2]),
        ("use the cat from picture two, please", [2]),
        ("the dog in the image 2", [2]),
        ("the pose of image #2, the hat of image-3", [2, 3]),
        ("like the 2nd image", [2]),
    ],
)
def test_names_of_images_are_found(text: str, numbers: list[int]) -> None:
    assert [name.number for name in image_names(text)] == numbers


@pytest.mark.parametrize(
    "text",
    [
        "add 3 images of cats to the wall",
        "make the image 2 times brighter",
        "rotate the image 90 degrees",
        "shift the image 10 to the left",
        "scale image 2x",
        "crop the image to 4:3",
        "make the image 50% darker",
        "add to the image 5 stars",
        "a skater doing a figure 8",
        "remove the third picture on the wall",
        "hang a third image above the sofa",
        'write "see image 7" on the sign',
        "an image 1920x1080 pixels large",
        "like image_3.png",
        "this image one more time",
        "the second thing in the image",
    ],
)
def test_what_only_looks_like_a_name_is_none(text: str) -> None:
    assert image_names(text) == []
    check_references(text, 1)


def test_names_become_tags() -> None:
    said = "Make the first dog from the first image like Image 2 and the dog (image 3)."
    assert with_tags(said) == "Make the first dog from image_1 like image_2 and the dog (image_3)."


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_tags_are_written_once(text: str) -> None:
    assert with_tags(with_tags(text)) == with_tags(text)


@given(
    st.lists(
        st.sampled_from(
            [
                "the",
                "in",
                "first",
                "second",
                "image",
                "picture_1",
                "image_2",
                "2",
                ",",
                ".",
                "three",
                "of",
                "(image",
                "3)",
            ]
        )
    )
)
def test_tags_are_written_once_also_where_names_meet(words: list[str]) -> None:
    text = " ".join(words)
    once = with_tags(text)
    assert with_tags(once) == once
    assert [name.number for name in image_names(once)] == [name.number for name in image_names(text)]


@pytest.mark.parametrize(
    ("prompt", "num_images", "said"),
    [
        ("put the cat of image 3 there", 2, "'image 3', but the request has 2 images: give image 3 as well"),
        ("make image_1 like image_2", 1, "'image_2'"),
        ("like the third image", 2, "'third image'"),
        ("the hat of image 0 on image 1", 2, "counted from 1"),
        ("a dog (image_1)", 0, "no images"),
    ],
)
def test_a_prompt_that_names_an_image_too_many_is_refused(prompt: str, num_images: int, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        check_references(prompt, num_images)


def test_every_image_that_is_there_may_be_named() -> None:
    check_references("image 1 in the style of the second image, with the hat of image_3", 3)
    check_references("a scientific poster with figure 2 and figure 3", 0)
