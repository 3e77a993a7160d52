"""The standard format: what is written can be read back, what is bent is mended, and nothing is raised."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamomni.tasks.standard import (
    EDIT_SUFFIX,
    GENERATE_SUFFIX,
    MAX_CONTENT_CHARACTERS,
    parse_answer,
    request_text,
    standard_edit,
    standard_generation,
    wrap,
)

INSTRUCTION = "Place the dog (image_2) beside the sofa in image_1"
CAPTION = "A brown dog sits beside a blue sofa."
CONTENT = f"[instruction]: {INSTRUCTION}, [caption]: {CAPTION}"

words = st.lists(
    st.sampled_from(
        [
            "make",
            "the",
            "dog",
            "(image_1)",
            "like",
            "image_2",
            ",",
            "red:",
            "and",
            "it's",
            "3",
            "\u00e9t\u00e9",
            "-",
            "stop.",
            "[x]",
            "<b>",
        ]
    ),
    min_size=1,
    max_size=12,
).map(" ".join)
sentences = words.filter(lambda text: text.strip(" .,;-:"))
anything = st.text(max_size=200) | st.lists(
    st.sampled_from(
        [
            "<gen>",
            "</gen>",
            "<GEN>",
            "<",
            "/",
            "gen",
            ">",
            "<gen",
            "</ge",
            "[instruction]:",
            "[Caption]",
            "instruction:",
            "caption:",
            "**[instruction]**",
            "```",
            "```text",
            "image_1",
            "image_9",
            "the",
            "first",
            "image",
            ".",
            ",",
            "\n",
            '"',
            "*",
            "`",
            "\x00",
            "\ufffd",
            "dog",
            "sofa",
        ]
    ),
    max_size=20,
).map(" ".join)


@given(sentences, sentences)
def test_an_edit_is_read_back_as_it_was_written(instruction: str, caption: str) -> None:
    content = standard_edit(instruction, caption)
    parsed = parse_answer(wrap(content), 2, "edit")
    assert (parsed.content, parsed.problems, parsed.repairs) == (content, (), ())
    assert standard_edit(parsed.instruction or "", parsed.caption) == content
    assert parse_answer(wrap(content), 2) == parsed


@given(sentences)
def test_a_generation_is_read_back_as_it_was_written(caption: str) -> None:
    content = standard_generation(caption)
    parsed = parse_answer(wrap(content), 2, "generate")
    assert (parsed.content, parsed.caption, parsed.instruction) == (content, content, None)
    assert (parsed.problems, parsed.repairs) == ((), ())


@given(anything, st.integers(0, 3), st.sampled_from(["edit", "generate", None]))
def test_any_text_is_taken_and_what_is_read_can_be_read_again(text: str, num_images: int, task: str) -> None:
    parsed = parse_answer(text, num_images, task)  # type: ignore[arg-type]
    assert parsed.content or parsed.problems
    if not parsed.problems:
        again = parse_answer(wrap(parsed.content), num_images, task)  # type: ignore[arg-type]
        assert (again.content, again.instruction, again.caption) == (
            parsed.content,
            parsed.instruction,
            parsed.caption,
        )
        assert again.problems == ()


@pytest.mark.parametrize(
    "text",
    [
        f"<GEN> {CONTENT} </Gen>",
        f"<gen>{CONTENT}</gen>",
        f"<gen>\n{CONTENT}\n</gen>\n",
        f"<gen> <gen> {CONTENT} </gen> </gen>",
        f"<gen> {CONTENT} </gen> <gen> {CONTENT} </gen>",
        f"<gen> {CONTENT} <gen>",
        f"<gen> {CONTENT}",
        f"<gen> {CONTENT} </ge",
        f"<gen> {CONTENT} Then the d",
        f"{CONTENT} </gen>",
        CONTENT,
        f"```\n<gen> {CONTENT} </gen>\n```",
        f"```text\n{CONTENT}\n```",
        f"Sure! Here it is: <gen> {CONTENT} </gen> Anything else?",
        f"<gen> **[Instruction]:** {INSTRUCTION}.\n**[Caption]:** {CAPTION} </gen>",
        f"<gen> [instruction] {INSTRUCTION} [caption] {CAPTION} </gen>",
        f"<gen> instruction: {INSTRUCTION}\ncaption: {CAPTION} </gen>",
        f"<gen> [caption]: {CAPTION} [instruction]: {INSTRUCTION} </gen>",
        f'<gen> [instruction]: "{INSTRUCTION}", [caption]: "{CAPTION}" </gen>',
        f"<gen> {CONTENT.replace('image_', 'Image ')} </gen>",
        f"<gen> {CONTENT.replace('image_1', 'the first image')} </gen>",
        f"<gen> {CONTENT.replace('image_', 'Image_')} </gen>",
    ],
)
def test_what_is_bent_is_mended_and_said(text: str) -> None:
    parsed = parse_answer(text, 2, "edit")
    assert parsed.content == CONTENT
    assert parsed.instruction == INSTRUCTION
    assert parsed.caption == CAPTION
    assert parsed.problems == ()
    assert parsed.repairs


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("<gen>  </gen>", "empty"),
        ("I'm sorry, I cannot see the images.", "neither"),
        (f"<gen> [caption]: {CAPTION} </gen>", "no instruction"),
        ("<gen> [instruction]: Place the dog (image_2) on the", "first sentence"),
        (f"<gen> {CONTENT.replace('image_2', 'image_3')} </gen>", "names image_3, but there are 2 images"),
        (f"<gen> {CONTENT.replace('image_2', 'image 0')} </gen>", "names image_0"),
        (f"<gen> [instruction]: {'very ' * MAX_CONTENT_CHARACTERS} large </gen>", "characters, more than"),
        ("<gen> [instruction]: Make \ufffd red </gen>", "no text"),
    ],
)
def test_what_cannot_be_mended_is_a_problem(text: str, problem: str) -> None:
    assert any(problem in found for found in parse_answer(text, 2, "edit").problems)


def test_a_missing_caption_leaves_the_instruction() -> None:
    parsed = parse_answer(f"<gen> [instruction]: {INSTRUCTION} </gen>", 2, "edit")
    assert parsed.content == f"[instruction]: {INSTRUCTION}"
    assert (parsed.caption, parsed.problems) == (None, ())
    assert "no caption" in " ".join(parsed.repairs)


def test_an_unmarked_answer_to_an_edit_is_its_instruction() -> None:
    parsed = parse_answer(f"<gen> {INSTRUCTION} </gen>", 2, "edit")
    assert (parsed.instruction, parsed.problems) == (INSTRUCTION, ())
    assert parse_answer(f"<gen> {INSTRUCTION} </gen>", 2).caption == INSTRUCTION


def test_an_edit_in_answer_to_a_generation_becomes_a_description() -> None:
    parsed = parse_answer(wrap(CONTENT), 2, "generate")
    assert parsed.content == f"{INSTRUCTION}. {CAPTION}"
    assert parsed.problems == ()


def test_the_words_asked_with_end_in_the_published_sentence() -> None:
    assert (
        request_text("Make it red.", "edit")
        == f"Make it red.{EDIT_SUFFIX}"
        == "Make it red. It is editing task."
    )
    assert request_text("A dog.", "generate") == f"A dog.{GENERATE_SUFFIX}" == "A dog. It is generation task."


@pytest.mark.parametrize("bad", ["", "  ", "<gen> x", "a [caption]: b", "x </GEN>"])
def test_parts_that_cannot_be_read_back_are_not_written(bad: str) -> None:
    with pytest.raises(ValueError, match=r"empty|spells"):
        standard_edit(bad, CAPTION)
    with pytest.raises(ValueError, match=r"empty|spells"):
        standard_generation(bad)


def test_the_format_needs_no_torch() -> None:
    code = "import sys, dreamomni.tasks.standard; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
