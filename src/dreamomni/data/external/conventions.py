"""Which column holds what: the names that data sets use, as one table, and the search in it.

The first convention whose columns are all there is taken, so the special ones stand before the general ones.
In a folder or a tar, a picture `key.source.png` is the column `source`, and `key.txt` the column `txt`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from dreamomni.errors import DataError

Field = Literal["target", "source", "images", "mask", "instruction", "caption", "task", "licence"]
"""What a column may hold: the picture to make; image 1; further images, or all of them; where image 1
changes; what a user would say; what the target shows; the name of the task; the licence of the row."""
FIELDS: tuple[Field, ...] = get_args(Field)

Task = Literal["text_to_image", "edit", "inpaint", "outpaint", "control", "subject", "segment", "detect"]
TASKS: tuple[Task, ...] = get_args(Task)
"""What a row may be; drag needs points, which no known table has."""
ALIGNED: frozenset[Task] = frozenset(TASKS) - {"text_to_image", "subject"}
"""Tasks whose image 1 shows the place of the target, pixel by pixel."""

_LICENCE = ("license", "licence")
_WORDS: tuple[Field, ...] = ("instruction", "caption")
_NEVER_EMPTY: frozenset[Field] = frozenset({"target", "source", "instruction"})
"""Columns that no row may leave empty once the user has named them."""


@dataclass(frozen=True)
class Convention:
    """The column names of one data set or tool.

    Attributes:
        name: Who uses them.
        columns: Names by what they hold, the usual one first; `image#` stands for image1, image2, ...
        optional: What rows may do without.
        task: What its rows are; None lets the row tell.
    """

    name: str
    columns: Mapping[Field, tuple[str, ...]]
    optional: frozenset[Field] = frozenset()
    task: Task | None = None


CONVENTIONS: tuple[Convention, ...] = (
    Convention(
        "OmniGen2",
        {
            "target": ("output_image",),
            "images": ("input_images",),
            "instruction": ("instruction",),
            "task": ("task_type",),
        },
        optional=frozenset({"images", "task"}),
    ),
    Convention(
        "UltraEdit",
        {
            "target": ("edited_image",),
            "source": ("source_image",),
            "instruction": ("edit_prompt",),
            "caption": ("target_caption",),
            "mask": ("mask_image",),
        },
        optional=frozenset({"caption", "mask"}),
        task="edit",
    ),
    Convention(
        "InstructPix2Pix",
        {
            "target": ("edited_image",),
            "source": ("original_image", "input_image"),
            "instruction": ("edit_prompt", "edit"),
            "caption": ("edited_prompt",),
        },
        optional=frozenset({"caption"}),
        task="edit",
    ),
    Convention(
        "OmniEdit",
        {"target": ("edited_img",), "source": ("src_img",), "instruction": ("edited_prompt_list",)},
        task="edit",
    ),
    Convention(
        "MagicBrush",
        {
            "target": ("target_img",),
            "source": ("source_img",),
            "instruction": ("instruction",),
            "mask": ("mask_img",),
        },
        optional=frozenset({"mask"}),
        task="edit",
    ),
    Convention(
        "HQ-Edit",
        {
            "target": ("output_image",),
            "source": ("input_image",),
            "instruction": ("edit",),
            "caption": ("output",),
        },
        optional=frozenset({"caption"}),
        task="edit",
    ),
    Convention(
        "AnyEdit",
        {
            "target": ("edited_file",),
            "source": ("image_file",),
            "images": ("visual_input",),
            "instruction": ("edit_instruction", "edit"),
            "caption": ("output",),
        },
        optional=frozenset({"images", "caption"}),
        task="edit",
    ),
    Convention(
        "UNO",
        {"target": ("image_tgt_path",), "images": ("image_paths", "image_path"), "instruction": ("prompt",)},
        task="subject",
    ),
    Convention(
        "musubi-tuner",
        {
            "target": ("image_path",),
            "images": ("control_path", "control_path_#"),
            "instruction": ("caption",),
        },
        task="edit",
    ),
    Convention(
        "DiffSynth-Studio",
        {"target": ("image",), "images": ("edit_image",), "instruction": ("prompt",)},
        task="edit",
    ),
    Convention(
        "ControlNet (diffusers)",
        {"target": ("image",), "images": ("conditioning_image",), "instruction": ("text", "caption")},
        task="control",
    ),
    Convention(
        "our members",
        {
            "target": ("target",),
            "images": ("image#",),
            "mask": ("mask",),
            "instruction": ("instruction", "txt"),
            "caption": ("caption",),
            "task": ("task",),
        },
        optional=frozenset({"mask", "caption", "task"}),
    ),
    Convention(
        "source and target",
        {
            "target": ("target", "output", "edited", "target_image", "output_image", "edited_image"),
            "source": ("source", "input", "original", "control", "source_image", "input_image"),
            "images": ("ref", "reference", "references", "ref#", "reference#"),
            "mask": ("mask", "mask_image"),
            "instruction": ("instruction", "edit_prompt", "edit", "prompt", "txt", "text", "caption"),
            "task": ("task", "task_type"),
        },
        optional=frozenset({"images", "mask", "task"}),
    ),
    Convention(
        "text to image",
        {
            "target": ("image", "target", "jpg", "jpeg", "png", "webp", "img", "image_path", "file_name"),
            "instruction": ("caption", "text", "txt", "prompt", "instruction"),
        },
        task="text_to_image",
    ),
)
"""Every known convention also reads a column `license` or `licence`."""

TASK_WORDS: Mapping[str, Task] = {
    **{task: task for task in TASKS},
    "t2i": "text_to_image",
    "text2image": "text_to_image",
    "text_to_image_generation": "text_to_image",
    "image_edit": "edit",
    "image_editing": "edit",
    "editing": "edit",
    "inpainting": "inpaint",
    "outpainting": "outpaint",
    "controllable": "control",
    "controlnet": "control",
    "in_context": "subject",
    "in_context_generation": "subject",
    "subject_driven": "subject",
    "customization": "subject",
    "segmentation": "segment",
    "detection": "detect",
}
"""Tasks by the words for them; other words leave it to the images of the row."""


@dataclass(frozen=True)
class Match:
    """The columns of one table by what they hold.

    Attributes:
        convention: Name of the convention that fits.
        columns: Columns by what they hold. Several hold several pictures, or words of which the first that
            are not empty count.
        required: What no row may leave empty.
        task: What every row is, or None.
    """

    convention: str
    columns: Mapping[Field, tuple[str, ...]]
    required: frozenset[Field]
    task: Task | None

    def name(self, field: Field) -> str | None:
        """The column that holds `field`, or None."""
        return self.columns.get(field, (None,))[0]


Overrides = tuple[tuple[Field, tuple[str, ...]], ...]
"""A user's own names by what they hold, as something that can be hashed."""


@lru_cache(maxsize=4096)
def match_columns(columns: frozenset[str], overrides: Overrides = (), task: Task | None = None) -> Match:
    """Find out what the columns of a table hold.

    Args:
        columns: Names of all columns.
        overrides: Names given by the user; they go before any convention.
        task: What the user says that every row is.

    Raises:
        DataError: A given name is no column, or no convention fits; the message lists what there is.
    """
    given = dict(overrides)
    for field, names in given.items():
        for name in names:
            if name not in columns:
                raise DataError(
                    f"there is no column {name!r} for the {field}: the columns are {_list(columns)}"
                )
    free = columns - {name for names in given.values() for name in names}
    for convention in CONVENTIONS:
        if task == "text_to_image" and _takes_images(convention):
            continue
        found = {
            field: _find(names, free, every=field in _WORDS) for field, names in convention.columns.items()
        }
        found = {field: names for field, names in found.items() if names} | given
        required = frozenset(convention.columns) - convention.optional
        if required <= frozenset(found) and not required <= frozenset(given):
            licence = _find(_LICENCE, free)
            if licence and "licence" not in found:
                found["licence"] = licence
            required |= _NEVER_EMPTY & frozenset(given)
            has_images = {"source", "images"} & frozenset(found)
            usual = None if convention.task == "text_to_image" and has_images else convention.task
            return Match(convention.name, found, required, task or usual)
    if "target" in given and {"instruction", "caption"} & frozenset(given):
        return Match("columns of the recipe", given, _NEVER_EMPTY & frozenset(given), task)
    raise DataError(
        f"no known set of columns fits {_list(columns)}: name yours, as in `columns: {{target: ..., "
        f"source: ..., instruction: ...}}`, or rename them to one of {_known(task)}"
    )


def role_names() -> frozenset[str]:
    """Column names that may stand in the middle of a file's name, as `source` in `key.source.png`."""
    names = {
        name
        for convention in CONVENTIONS
        for field, names in convention.columns.items()
        if field in ("target", "source", "images", "mask", "instruction", "caption")
        for name in names
    }
    return frozenset(names)


def is_role(name: str) -> bool:
    """Whether a part of a file's name says what the file holds."""
    return any(_fits(pattern, name) for pattern in role_names())


def _takes_images(convention: Convention) -> bool:
    return bool({"source", "images"} & frozenset(convention.columns) - convention.optional)


def _find(patterns: tuple[str, ...], columns: frozenset[str], every: bool = False) -> tuple[str, ...]:
    """The columns that fit the first pattern that any fits (several for a numbered one), or every pattern."""
    found: tuple[str, ...] = ()
    for pattern in patterns:
        found += tuple(sorted((name for name in columns if _fits(pattern, name)), key=_number))
        if found and not every:
            break
    return found


def _fits(pattern: str, name: str) -> bool:
    if not pattern.endswith("#"):
        return name == pattern
    return re.fullmatch(re.escape(pattern[:-1]) + r"_?\d+", name) is not None


def _number(name: str) -> tuple[int, str]:
    digits = re.search(r"\d+$", name)
    return (int(digits[0]) if digits else 0, name)


def _list(columns: frozenset[str]) -> str:
    names = sorted(columns)
    shown = ", ".join(names[:24]) + (f" and {len(names) - 24} more" if len(names) > 24 else "")
    return shown or "none"


def _known(task: Task | None) -> str:
    shown = []
    for convention in CONVENTIONS:
        if task == "text_to_image" and _takes_images(convention):
            continue
        required = [
            "|".join(names) for field, names in convention.columns.items() if field not in convention.optional
        ]
        shown.append(f"{convention.name} ({', '.join(required)})")
    return "; ".join(shown)
