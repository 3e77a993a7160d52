import pytest

from dreamomni.data.external.conventions import (
    ALIGNED,
    CONVENTIONS,
    FIELDS,
    TASKS,
    is_role,
    match_columns,
)
from dreamomni.errors import DataError
from dreamomni.tasks.request import REQUESTS

# The columns as their owners publish them, and what each of them holds.
PUBLISHED = {
    "OmniGen2": (
        "task_type instruction input_images output_image",
        {
            "target": "output_image",
            "images": "input_images",
            "instruction": "instruction",
            "task": "task_type",
        },
    ),
    "InstructPix2Pix": (
        "original_prompt original_image edit_prompt edited_prompt edited_image",
        {
            "target": "edited_image",
            "source": "original_image",
            "instruction": "edit_prompt",
            "caption": "edited_prompt",
        },
    ),
    "UltraEdit": (
        "clip_sim_source source_image source_caption target_caption edit_prompt edited_image mask_image",
        {
            "target": "edited_image",
            "source": "source_image",
            "instruction": "edit_prompt",
            "caption": "target_caption",
            "mask": "mask_image",
        },
    ),
    "OmniEdit": (
        "omni_edit_id task src_img edited_img edited_prompt_list width height o_score",
        {"target": "edited_img", "source": "src_img", "instruction": "edited_prompt_list"},
    ),
    "MagicBrush": (
        "img_id turn_index source_img mask_img instruction target_img",
        {"target": "target_img", "source": "source_img", "instruction": "instruction", "mask": "mask_img"},
    ),
    "HQ-Edit": (
        "input input_image edit inverse_edit output output_image",
        {"target": "output_image", "source": "input_image", "instruction": "edit", "caption": "output"},
    ),
    "AnyEdit": (
        "image_id edit_instruction edit_type image_file edited_file visual_input input output",
        {
            "target": "edited_file",
            "source": "image_file",
            "images": "visual_input",
            "instruction": "edit_instruction",
            "caption": "output",
        },
    ),
    "UNO": (
        "prompt image_tgt_path image_paths",
        {"target": "image_tgt_path", "images": "image_paths", "instruction": "prompt"},
    ),
    "musubi-tuner": (
        "image_path control_path_1 control_path_0 caption",
        {"target": "image_path", "images": ("control_path_0", "control_path_1"), "instruction": "caption"},
    ),
    "DiffSynth-Studio": (
        "image edit_image prompt",
        {"target": "image", "images": "edit_image", "instruction": "prompt"},
    ),
    "ControlNet (diffusers)": (
        "image conditioning_image text",
        {"target": "image", "images": "conditioning_image", "instruction": "text"},
    ),
    "our members": (
        "target image2 image1 image10 mask ids txt instruction caption task kind",
        {
            "target": "target",
            "images": ("image1", "image2", "image10"),
            "mask": "mask",
            "instruction": ("instruction", "txt"),
            "caption": "caption",
            "task": "task",
        },
    ),
    "source and target": (
        "source target ref1 ref2 mask prompt",
        {
            "target": "target",
            "source": "source",
            "images": ("ref1", "ref2"),
            "mask": "mask",
            "instruction": "prompt",
        },
    ),
    "text to image": (
        "jpg txt url width height license",
        {"target": "jpg", "instruction": "txt", "licence": "license"},
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_columns_are_understood(name: str) -> None:
    columns, expected = PUBLISHED[name]
    match = match_columns(frozenset(columns.split()))
    assert match.convention == name
    found = {field: names if len(names) > 1 else names[0] for field, names in match.columns.items()}
    assert found == expected


def test_every_convention_has_published_columns() -> None:
    assert [convention.name for convention in CONVENTIONS if convention.name not in PUBLISHED] == []
    for convention in CONVENTIONS:
        assert set(convention.columns) <= set(FIELDS)
        assert convention.optional < set(convention.columns)


@pytest.mark.parametrize(
    "columns", ["image text", "image caption", "png prompt", "file_name text", "img txt"]
)
def test_text_to_image_columns(columns: str) -> None:
    match = match_columns(frozenset(columns.split()))
    assert (match.convention, match.task) == ("text to image", "text_to_image")


def test_names_of_the_user_go_first() -> None:
    columns = frozenset(("a", "b", "c", "image", "text", "source_image", "edited_image", "edit_prompt"))
    match = match_columns(columns, (("instruction", ("c",)), ("target", ("b",))))
    assert match.columns["target"] == ("b",)
    assert match.columns["instruction"] == ("c",)
    assert match.columns["source"] == ("source_image",)
    alone = match_columns(frozenset("xyz"), (("caption", ("z",)), ("target", ("y",))))
    assert (alone.convention, alone.task, alone.name("source")) == ("columns of the recipe", None, None)


def test_a_source_makes_an_edit_of_a_captioned_picture() -> None:
    match = match_columns(frozenset(("image", "text", "before")), (("source", ("before",)),))
    assert match.columns == {"target": ("image",), "instruction": ("text",), "source": ("before",)}
    assert match.task is None
    assert "source" in match.required


def test_a_given_task_looks_only_at_what_fits_it() -> None:
    columns = frozenset(("image", "edit_image", "prompt"))
    assert match_columns(columns).task == "edit"
    assert match_columns(columns, task="text_to_image").columns == {
        "target": ("image",),
        "instruction": ("prompt",),
    }
    assert match_columns(columns, task="subject").task == "subject"


def test_what_is_missing_is_said() -> None:
    with pytest.raises(DataError, match=r"no known set of columns fits picture, words: name yours, as in"):
        match_columns(frozenset(("picture", "words")))
    with pytest.raises(DataError, match=r"OmniEdit \(edited_img, src_img, edited_prompt_list\)"):
        match_columns(frozenset(("picture", "words")))
    with pytest.raises(
        DataError, match="there is no column 'pic' for the target: the columns are picture, words"
    ):
        match_columns(frozenset(("picture", "words")), (("target", ("pic",)),))


def test_roles_in_file_names() -> None:
    assert all(map(is_role, ("source", "target", "mask", "image1", "ref0", "control_path_3", "prompt")))
    assert not any(map(is_role, ("", "v2", "photo", "imagex", "final")))


def test_tasks_are_those_of_the_requests() -> None:
    assert set(TASKS) == set(REQUESTS) - {"drag"}
    assert set(TASKS) - ALIGNED == {"text_to_image", "subject"}
