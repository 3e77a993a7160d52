"""The world evaluation from end to end: draw cases, ask for pictures, look, judge, write the record last.

What makes the pictures comes in as a function, so a pipeline, a remote service and a test
are all the same here.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from pydantic import Field
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dreamomni.config import StrictConfig, recipe_hash
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.errors import ConfigError, OutputError
from dreamomni.evaluation.cases import EVALUATION_SEED, EvalCase, WorldCase, make_cases
from dreamomni.evaluation.cheats import CHEATS, fits
from dreamomni.evaluation.checker import CHECKER_VERSION
from dreamomni.evaluation.judging import Eye, describe_case, judge_answer, save_picture
from dreamomni.evaluation.measures import pasted
from dreamomni.evaluation.perceptual import set_distance
from dreamomni.evaluation.record import (
    FILL_KINDS,
    RECORD_NAME,
    AnswerRecord,
    MetricRecord,
    Metrics,
    Record,
    summarise,
    write_record,
)
from dreamomni.runtime import versions

Pixels = npt.NDArray[np.uint8]
Generate = Callable[[Sequence[EvalCase]], Sequence[Pixels | None]]
"""Cases of one task and one shape in, as many pictures out in the same order; None where none was made."""


class FeatureNetwork(Protocol):
    """What perceptual distances need; `perceptual.EncoderFeatures` is one."""

    name: str

    @property
    def digest(self) -> str:
        """Hash of its weights."""
        ...

    def distances(
        self, pictures: Sequence[Pixels], truths: Sequence[Pixels], masks: Sequence[Pixels]
    ) -> list[float]:
        """Distance of each picture from its truth inside its mask."""
        ...

    def pooled(self, pictures: Sequence[Pixels]) -> npt.NDArray[np.float64]:
        """One vector for each picture, (N, D)."""
        ...


class WorldEvaluation(StrictConfig):
    """A recipe of the world evaluation (``recipes/eval``).

    Attributes:
        world: path or name of the data recipe.
        num_cases_per_kind: held-out cases of each kind.
        num_seen_cases_per_kind: cases of each kind from combinations that training may have seen.
        seed: root of the evaluation's own draws; nothing to do with training seeds.
        batch_size: most cases that are handed to the model at once.
        cheats: whether the rows of answers without a model are measured too.
        kinds: only these kinds of the world; null for all that can be judged.
        features: folder of an autoencoder whose encoder measures perceptual distances; null
            takes the model's own.
    """

    world: str = "mini-world"
    num_cases_per_kind: int = Field(default=50, ge=1, le=10_000)
    num_seen_cases_per_kind: int = Field(default=20, ge=0, le=10_000)
    seed: int = Field(default=EVALUATION_SEED, ge=0)
    batch_size: int = Field(default=16, ge=1)
    cheats: bool = True
    kinds: tuple[str, ...] | None = None
    features: str | None = None


def evaluate_world(
    generate: Generate,
    recipe: CollageRecipe,
    out_dir: str | Path | None = None,
    *,
    num_cases_per_kind: int = 50,
    num_seen_cases_per_kind: int = 20,
    seed: int = EVALUATION_SEED,
    batch_size: int = 16,
    cheats: bool = True,
    progress: bool = True,
    model: Mapping[str, Any] | None = None,
    command: str | None = None,
    kinds: Collection[str] | None = None,
    tasks: Collection[str] | None = None,
    features: FeatureNetwork | None = None,
) -> Record:
    """Evaluate a model on held-out requests of every task of a collage world.

    Args:
        generate: makes the pictures; see `Generate`.
        recipe: the world.
        out_dir: folder for ``images/`` and, last of all, ``record.json``; None keeps nothing.
        num_cases_per_kind: held-out cases of each kind.
        num_seen_cases_per_kind: the same for combinations that training may have seen; 0 leaves them out.
        seed: root of the evaluation's draws.
        batch_size: most cases in one call of ``generate``.
        cheats: measure the answers that need no model as well.
        progress: show progress bars on the terminal.
        model: facts about the model for the record (name, hash, steps, ...).
        command: how this run was started, for the record.
        kinds: ask only these kinds of the world; None for all that can be judged.
        tasks: what the model serves; kinds of other tasks are left out and named in the record. None for all.
        features: network for perceptual distances of filled holes; without one those are not measured.

    Returns:
        The record as written.

    Raises:
        OutputError: the folder cannot be written.
        ConfigError, DataError: the recipe cannot be drawn, or the model serves nothing of it.
        ValueError: ``generate`` breaks its promise (another number of pictures, or no uint8 RGB arrays).
    """
    started = time.monotonic()
    folder = None if out_dir is None else Path(out_dir)
    if folder is not None:
        _open_folder(folder)
    common: dict[str, Any] = {"seed": seed, "kinds": kinds}
    cases = make_cases(recipe, split="held_out", num_cases_per_kind=num_cases_per_kind, **common)
    seen_cases = (
        make_cases(recipe, split="train", num_cases_per_kind=num_seen_cases_per_kind, **common)
        if num_seen_cases_per_kind
        else []
    )
    served = [c for c in cases if tasks is None or c.case.task in tasks]
    seen_cases = [c for c in seen_cases if tasks is None or c.case.task in tasks]
    not_served = tuple(
        dict.fromkeys(c.case.kind for c in cases if tasks is not None and c.case.task not in tasks)
    )
    cases = served
    if not cases:
        raise ConfigError(
            f"the model serves {', '.join(sorted(tasks or ()))}, of which the world asks nothing: its kinds "
            f"are {', '.join(not_served)}"
        )
    eye = Eye(recipe)
    generate_seconds = 0.0
    answers: dict[str, tuple[AnswerRecord, ...]] = {}
    sets: dict[str, Metrics] = {}
    with _bar(progress) as bar:
        for group, members in (("model", cases), ("model_seen", seen_cases)):
            if not members:
                continue
            before = time.monotonic()
            pictures = _ask(generate, members, batch_size, bar, "generate" + group.removeprefix("model"))
            generate_seconds += time.monotonic() - before
            answers[group], sets[group] = _judge_all(members, pictures, eye, bar, group, folder, features)
        if cheats:
            for name, cheat in CHEATS.items():
                able = [case for case in cases if fits(name, case)]
                if able:
                    answers[name], sets[name] = _judge_all(able, cheat(able), eye, bar, name, None, features)
        case_records = tuple(
            describe_case(case, eye, folder) for case in _track(bar, [*cases, *seen_cases], "truth")
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
        sets=sets,
        features=None if features is None else {"name": features.name, "hash": features.digest},
        not_served=not_served,
        **summarise(case_records, answers, sets),
    )
    if folder is not None:
        write_record(record, folder)
    return record


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
        # An outpainting hands over only what is known of image 1, so requests decide.
        request = member.case.request
        given = [
            (image.width, image.height) for image in request.images if isinstance(image, PillowImage.Image)
        ]
        shapes.setdefault((request.task, member.case.size, *given), []).append(position)
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
    eye: Eye,
    bar: Progress,
    group: str,
    folder: Path | None,
    features: FeatureNetwork | None,
) -> tuple[tuple[AnswerRecord, ...], Metrics]:
    """Judge all answers of a group one by one, and as a set where that is possible."""
    distances, sets = _compare(cases, pictures, features) if features is not None else ({}, {})
    found = []
    for case, picture in _track(bar, list(zip(cases, pictures, strict=True)), f"judge {group}"):
        image = None
        if folder is not None and picture is not None:
            image = save_picture(picture, folder, f"images/{group}/{case.case.id}.png")
        perceptual = distances.get(case.case.id)
        found.append(judge_answer(case, picture, eye, perceptual=perceptual, image=image))
    return tuple(found), sets


def _compare(
    cases: Sequence[WorldCase], pictures: Sequence[Pixels | None], features: FeatureNetwork
) -> tuple[dict[str, float], Metrics]:
    """Perceptual distances of filled holes, by case and as sets. Known pixels are put back first."""
    distances: dict[str, float] = {}
    sets: Metrics = {}
    for kind in FILL_KINDS:
        filled = [
            (case, pasted(case, picture))
            for case, picture in zip(cases, pictures, strict=True)
            if case.case.kind == kind and picture is not None and picture.shape == case.truth.shape
        ]
        asked = sum(case.case.kind == kind for case in cases)
        if not filled:
            continue
        whole = [picture for _, picture in filled]
        truths = [case.truth for case, _ in filled]
        masks = [case.mask for case, _ in filled if case.mask is not None]
        measured = features.distances(whole, truths, masks)
        distances |= {case.case.id: value for (case, _), value in zip(filled, measured, strict=True)}
        estimate = set_distance(features.pooled(whole), features.pooled(truths))
        sets[f"{kind}_mmd"] = MetricRecord(**estimate._replace(num_unscored=asked - len(filled))._asdict())
    return distances, sets


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
