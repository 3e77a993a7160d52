"""What a row says before any pixel is read: its task, where its pictures are, its words."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dreamomni.data.external.cells import Picture, pictures_in, words_in
from dreamomni.data.external.conventions import (
    ALIGNED,
    TASK_WORDS,
    Field,
    Match,
    Overrides,
    Task,
    match_columns,
)
from dreamomni.data.external.rows import Row
from dreamomni.errors import DataError

_MENTIONED = 200
"""Longest other value of a row that is shown with the sample, in characters."""


@dataclass(frozen=True)
class Plan:
    """One row, understood.

    Attributes:
        task: What it is.
        target: The picture to make.
        images: Input pictures, image 1 first.
        mask: Where image 1 changes.
        instruction: What a user would say.
        caption: What the target shows, where the row says it.
        licence: Where the row says it.
        match: What its columns hold.
        extra: Its other values that are short, for whoever looks at it.
    """

    task: Task
    target: Picture
    images: tuple[Picture, ...]
    mask: Picture | None
    instruction: str
    caption: str
    licence: str | None
    match: Match
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def is_aligned(self) -> bool:
        """Whether image 1 shows the place of the target."""
        return bool(self.images) and self.task in ALIGNED


def plan_row(row: Row, folder: Path, key: str, overrides: Overrides = (), task: Task | None = None) -> Plan:
    """Understand a row.

    Args:
        row: Cells by column.
        folder: What relative paths start from.
        key: Stable name of the row; chooses among several prompts.
        overrides: The user's own column names.
        task: What the user says that every row is.

    Raises:
        DataError: A column is missing, a cell is empty or of the wrong type, or the row fits no task.
    """
    match = match_columns(frozenset(row), overrides, task)
    target = _pictures(row, match, "target", folder)
    if len(target) != 1:
        raise DataError(f"column {match.name('target')!r} holds {len(target)} pictures, but a row makes one")
    source = _pictures(row, match, "source", folder)
    if len(source) > 1:
        raise DataError(f"column {match.name('source')!r} holds {len(source)} pictures: name it as `images`")
    images = (*source, *_pictures(row, match, "images", folder))
    masks = _pictures(row, match, "mask", folder)
    said = _words(row, match, "task", key)
    chosen = _choose_task(match.task, said, len(images))
    if chosen != "text_to_image" and not images:
        raise DataError(f"has no input image, but its task is {chosen}")
    if chosen == "text_to_image" and images:
        raise DataError(f"has {len(images)} input images, but its task is text_to_image")
    instruction, caption = (_words(row, match, name, key) for name in ("instruction", "caption"))
    if chosen == "text_to_image":
        instruction = caption = instruction or caption
    if not instruction:
        names = match.columns.get("instruction") or match.columns.get("caption") or ("instruction",)
        raise DataError(f"has no words: column {' and '.join(map(repr, names))} is empty")
    used = {name for names in match.columns.values() for name in names}
    return Plan(
        task=chosen,
        target=target[0],
        images=images,
        mask=masks[0] if masks and chosen in ALIGNED else None,
        instruction=instruction,
        caption=caption,
        licence=_words(row, match, "licence", key) or None,
        match=match,
        extra={name: value for name, value in row.items() if name not in used and _is_short(value)},
    )


def _choose_task(fixed: Task | None, said: str, num_images: int) -> Task:
    if fixed is not None:
        return fixed
    word = said.lower().replace(" ", "_").replace("-", "_")
    if word == "drag":
        raise DataError("is a drag, and its points are in no column that is read: keep it in shards of ours")
    return TASK_WORDS.get(word) or ("edit" if num_images else "text_to_image")


def _pictures(row: Row, match: Match, name: Field, folder: Path) -> list[Picture]:
    found: list[Picture] = []
    for column in match.columns.get(name, ()):
        found += _named(column, pictures_in, row[column], folder)
    if not found and name in match.required:
        raise DataError(f"column {match.name(name)!r} is empty")
    return found


def _words(row: Row, match: Match, name: Field, key: str) -> str:
    for column in match.columns.get(name, ()):
        words: str = _named(column, words_in, row[column], key)
        if words:
            return words
    return ""


def _named(column: str, read: Callable[[Any, Any], Any], value: Any, argument: Any) -> Any:
    try:
        return read(value, argument)
    except DataError as error:
        raise DataError(f"column {column!r} {error}") from None


def _is_short(value: Any) -> bool:
    return isinstance(value, int | float | bool) or (isinstance(value, str) and 0 < len(value) <= _MENTIONED)
