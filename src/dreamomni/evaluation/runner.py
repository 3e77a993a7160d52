"""The world evaluation from end to end: draw cases, ask for pictures, look, judge, write the record last.

What makes the pictures comes in as a function, so a pipeline, a remote service and a test
are all the same here.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from pydantic import Field
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dreamomni.config import StrictConfig, recipe_hash
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.errors import OutputError
from dreamomni.evaluation.cases import EVALUATION_SEED, EvalCase, WorldCase, make_cases
from dreamomni.evaluation.cheats import CHEATS, EDIT_ONLY
from dreamomni.evaluation.checker import CHECKER_VERSION, Vocabulary, detect
from dreamomni.evaluation.expectation import Seen
from dreamomni.evaluation.record import (
    RECORD_NAME,
    AnswerRecord,
    CaseRecord,
    Record,
    Status,
    summarise,
    verdict_on,
    write_record,
)
from dreamomni.evaluation.scorers import psnr_outside
from dreamomni.runtime import versions

Pixels = npt.NDArray[np.uint8]
Generate = Callable[[Sequence[EvalCase]], Sequence[Pixels | None]]
"""Cases of one task and one shape in, as many pictures out in the same order; None where none was made."""


class WorldEvaluation(StrictConfig):
    """A recipe of the world evaluation (``recipes/eval``).

    Attributes:
        world: path or name of the data recipe.
        num_cases_per_kind: held-out cases of each of the nine kinds.
        num_seen_cases_per_kind: cases of each kind from combinations that training may have seen.
        seed: root of the evaluation's own draws; nothing to do with training seeds.
        batch_size: most cases that are handed to the model at once.
        cheats: whether the rows of answers without a model are measured too.
    """

    world: str = "mini-world"
    num_cases_per_kind: int = Field(default=50, ge=1, le=10_000)
    num_seen_cases_per_kind: int = Field(default=20, ge=0, le=10_000)
    seed: int = Field(default=EVALUATION_SEED, ge=0)
    batch_size: int = Field(default=16, ge=1)
    cheats: bool = True


def evaluate_world(
    generate: Generate,
    recipe: CollageRecipe,
    out_dir: str | Path,
    *,
    num_cases_per_kind: int = 50,
    num_seen_cases_per_kind: int = 20,
    seed: int = EVALUATION_SEED,
    batch_size: int = 16,
    cheats: bool = True,
    progress: bool = True,
    model: Mapping[str, Any] | None = None,
    command: str | None = None,
) -> Record:
    """Evaluate a model on held-out prompts and edits of a collage world.

    Args:
        generate: makes the pictures; see `Generate`.
        recipe: the world.
        out_dir: folder for ``images/`` and, last of all, ``record.json``.
        num_cases_per_kind: held-out cases of each kind.
        num_seen_cases_per_kind: the same for combinations that training may have seen; 0 leaves them out.
        seed: root of the evaluation's draws.
        batch_size: most cases in one call of ``generate``.
        cheats: measure the answers that need no model as well.
        progress: show progress bars on the terminal.
        model: facts about the model for the record (name, hash, steps, ...).
        command: how this run was started, for the record.

    Returns:
        The record as written.

    Raises:
        OutputError: the folder cannot be written.
        ConfigError, DataError: the recipe cannot be drawn.
        ValueError: ``generate`` breaks its promise (another number of pictures, or no uint8 RGB arrays).
    """
    started = time.monotonic()
    folder = Path(out_dir)
    _open_folder(folder)
    common: dict[str, Any] = {"seed": seed}
    cases = make_cases(recipe, split="held_out", num_cases_per_kind=num_cases_per_kind, **common)
    seen_cases = (
        make_cases(recipe, split="train", num_cases_per_kind=num_seen_cases_per_kind, **common)
        if num_seen_cases_per_kind
        else []
    )
    eye = _Eye(vocabulary_of(recipe))
    generate_seconds = 0.0
    answers: dict[str, tuple[AnswerRecord, ...]] = {}
    with _bar(progress) as bar:
        for group, members in (("model", cases), ("model_seen", seen_cases)):
            if not members:
                continue
            before = time.monotonic()
            pictures = _ask(generate, members, batch_size, bar, "generate" + group.removeprefix("model"))
            generate_seconds += time.monotonic() - before
            answers[group] = _judge_all(members, pictures, eye, bar, group, folder)
        if cheats:
            for name, cheat in CHEATS.items():
                fit = [case for case in cases if case.case.task == "edit" or name not in EDIT_ONLY]
                if fit:
                    answers[name] = _judge_all(fit, cheat(fit), eye, bar, name, None)
        case_records = tuple(
            _case_record(case, eye, folder) for case in _track(bar, [*cases, *seen_cases], "truth")
        )
    record = Record(
        checker_version=CHECKER_VERSION,
        model=dict(model or {}),
        recipe=recipe.model_dump(mode="json"),
        recipe_hash=recipe_hash(recipe),
        settings={
            "num_cases_per_kind": num_cases_per_kind,
            "num_seen_cases_per_kind": num_seen_cases_per_kind,
            "seed": seed,
            "batch_size": batch_size,
        },
        command=command,
        versions=versions(),
        wall_seconds={
            "generate": round(generate_seconds, 2),
            "total": round(time.monotonic() - started, 2),
        },
        cases=case_records,
        answers=answers,
        **summarise(case_records, answers),
    )
    write_record(record, folder)
    return record


def vocabulary_of(recipe: CollageRecipe) -> Vocabulary:
    """What a checker must know to look at pictures of a world."""
    engine = CollageEngine(recipe)
    limit = recipe.max_angle
    # A template still explains a thing that is turned by a few degrees.
    angles = np.linspace(-limit, limit, 2 * int(np.ceil(limit / 12)) + 1) if limit else np.zeros(1)
    return Vocabulary(engine.names, engine.colours, angles=[float(angle) for angle in angles])


class _Eye:
    """The checker with a memory, because truths and sources are looked at more than once."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._memory: dict[bytes, tuple[Seen, ...]] = {}

    def look(self, image: Pixels) -> tuple[Seen, ...]:
        key = image.tobytes() + bytes(str(image.shape), "ascii")
        if key not in self._memory:
            self._memory[key] = tuple(Seen.of(d) for d in detect(image, self._vocabulary))
        return self._memory[key]


def _open_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # An old record beside new pictures would look like a finished run.
        (folder / RECORD_NAME).unlink(missing_ok=True)
        for name in ("cases", "model", "model_seen"):
            (folder / "images" / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot write into {folder}: {(error.strerror or str(error)).lower()}; give another folder"
        ) from error


def _ask(
    generate: Generate, cases: Sequence[WorldCase], batch_size: int, bar: Progress, title: str
) -> list[Pixels | None]:
    """Pictures for all cases, in their order, asked for in batches of one task and one shape."""
    shapes: dict[tuple[Any, ...], list[int]] = {}
    for position, member in enumerate(cases):
        case = member.case
        shapes.setdefault((case.task, case.size, *(image.shape for image in case.images)), []).append(
            position
        )
    pictures: list[Pixels | None] = [None] * len(cases)
    task = bar.add_task(title, total=len(cases))
    for positions in shapes.values():
        for start in range(0, len(positions), batch_size):
            batch = positions[start : start + batch_size]
            results = generate([cases[position].case for position in batch])
            if len(results) != len(batch):
                raise ValueError(f"asked for {len(batch)} pictures, got {len(results)}")
            for position, picture in zip(batch, results, strict=True):
                pictures[position] = _checked(picture)
            bar.advance(task, len(batch))
    return pictures


def _checked(picture: Pixels | None) -> Pixels | None:
    if picture is not None and (picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3):
        raise ValueError(f"a picture must be uint8 (H, W, 3), not {picture.dtype} {picture.shape}")
    return picture


def _judge_all(
    cases: Sequence[WorldCase],
    pictures: Sequence[Pixels | None],
    eye: _Eye,
    bar: Progress,
    group: str,
    folder: Path | None,
) -> tuple[AnswerRecord, ...]:
    pairs = list(zip(cases, pictures, strict=True))
    return tuple(
        _judge_one(case, picture, eye, group, folder)
        for case, picture in _track(bar, pairs, f"judge {group}")
    )


def _judge_one(
    member: WorldCase, picture: Pixels | None, eye: _Eye, group: str, folder: Path | None
) -> AnswerRecord:
    case, expectation = member.case, member.expectation
    status: Status = "judged"
    if picture is None:
        status = "missing_output"
    elif picture.shape != member.truth.shape:
        status = "wrong_size"
    seen = eye.look(picture) if picture is not None and status == "judged" else ()
    psnr = None
    if member.mask is not None:
        psnr = 0.0
        if picture is not None and status == "judged":
            psnr = psnr_outside(picture, case.images[0], member.mask)
    image = None
    if folder is not None and picture is not None:
        image = _save(picture, folder, f"images/{group}/{case.id}.png")
    verdict = verdict_on(expectation, status, seen)
    return AnswerRecord(
        case=case.id,
        status=status,
        seen=seen,
        psnr_outside_mask=None if psnr is None else round(psnr, 4),
        correct=verdict.correct,
        exact=verdict.exact,
        reason=verdict.reason,
        image=image,
    )


def _case_record(member: WorldCase, eye: _Eye, folder: Path) -> CaseRecord:
    case = member.case
    source = None
    if case.images:
        source = _save(case.images[0], folder, f"images/cases/{case.id}.source.png")
    return CaseRecord(
        id=case.id,
        split=member.split,
        task=case.task,
        prompt=case.prompt,
        noise_seed=case.seed,
        expectation=member.expectation,
        truth=_save(member.truth, folder, f"images/cases/{case.id}.truth.png"),
        source=source,
        truth_seen=eye.look(member.truth),
    )


def _save(picture: Pixels, folder: Path, name: str) -> str:
    # No fsync for each of these: only the record, written last, says that they are complete.
    try:
        PillowImage.fromarray(picture).save(folder / name)
    except OSError as error:
        raise OutputError(
            f"cannot write {folder / name}: {(error.strerror or str(error)).lower()}"
        ) from error
    return name


def _bar(shown: bool) -> Progress:
    return Progress(
        TextColumn("{task.description:<18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        disable=not shown,
    )


def _track(bar: Progress, items: Sequence[Any], title: str) -> Iterator[Any]:
    task = bar.add_task(title, total=len(items))
    for item in items:
        yield item
        bar.advance(task)
