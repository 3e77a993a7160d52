"""Every task from end to end, with functions in the place of a model: truths, cheats, half-right answers."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from dreamomni.config import load_recipe
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.errors import ConfigError
from dreamomni.evaluation.cases import EvalCase, WorldCase, make_cases
from dreamomni.evaluation.expectation import TASK_METRICS
from dreamomni.evaluation.perceptual import EncoderFeatures
from dreamomni.evaluation.record import Record, read_record, rescore
from dreamomni.evaluation.report import print_table, write_page
from dreamomni.evaluation.runner import evaluate_world
from dreamomni.models.autoencoder import Autoencoder

NUM = 3
KINDS = tuple(TASK_METRICS)


@pytest.fixture(scope="module")
def recipe() -> CollageRecipe:
    return load_recipe("mini-v1", CollageRecipe)


@pytest.fixture(scope="module")
def cases(recipe: CollageRecipe) -> dict[str, WorldCase]:
    made = make_cases(recipe, split="held_out", num_cases_per_kind=NUM, kinds=KINDS)
    return {member.case.id: member for member in made}


@pytest.fixture(scope="module")
def run(
    recipe: CollageRecipe, cases: dict[str, WorldCase], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Record, Path]:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tasks") / "out"
    record = evaluate_world(
        lambda asked: [cases[case.id].truth for case in asked],
        recipe,
        folder,
        num_cases_per_kind=NUM,
        num_seen_cases_per_kind=0,
        progress=False,
        kinds=KINDS,
        features=EncoderFeatures(Autoencoder.mini(), "random"),
    )
    return record, folder


SHARES = (
    "text",
    "edit_multi",
    "drag_move",
    "drag_scale",
    "drag_rotate",
    "drag_overall",
    "canny_f1",
    "depth_order",
    "segmentation_iou",
    "control_things",
    "subject",
    "subject_thing",
    "subject_colour",
    "subject_source",
    "segment_iou",
    "detect_iou",
)


def test_truth_scores_everything(run: tuple[Record, Path]) -> None:
    record, _ = run
    for name in SHARES:
        found = record.metrics[name]
        assert found.mean is not None
        assert found.mean > 0.9, name
        assert found.num_unscored == 0, name
    for kind in ("inpaint", "outpaint"):
        assert record.metrics[f"{kind}_psnr"].mean == 60.0
        assert record.metrics[f"{kind}_perceptual"].mean == 0.0
        assert record.metrics[f"{kind}_mmd"].mean == pytest.approx(0.0, abs=1e-9)
        assert record.metrics[f"{kind}_mmd"].num_scored == NUM
    assert record.metrics["segment_iou"].mean == 1.0
    assert record.metrics["canny_f1"].mean == 1.0
    assert record.metrics["inpaint_psnr_outside"].mean == 60.0


def test_blank_scores_nothing(run: tuple[Record, Path]) -> None:
    record, _ = run
    assert all(record.cheats["blank"][name].mean == 0 for name in SHARES)


def test_noise_and_other_truths_score_little(run: tuple[Record, Path]) -> None:
    record, _ = run
    # Edges are everywhere in noise: with one pixel of tolerance, chance alone is near 0.4.
    limits = {"canny_f1": 0.55}
    for name in SHARES:
        for cheat in ("noise", "other_truth"):
            mean = record.cheats[cheat][name].mean
            assert mean is not None
            assert mean <= limits.get(name, 0.4), (cheat, name)


def test_the_source_is_no_answer(run: tuple[Record, Path]) -> None:
    record, _ = run
    copied = record.cheats["copy_source"]
    for name in (
        "edit_multi",
        "segment_iou",
        "detect_iou",
        "subject_source",
        "control_things",
        "depth_order",
    ):
        assert copied[name].mean == 0, name
    assert copied["drag_overall"].mean < 0.7
    assert copied["drag_psnr_outside"].mean == 60.0


def test_holes_stand_beside_the_classic_methods(run: tuple[Record, Path]) -> None:
    record, _ = run
    for method in ("telea", "navier_stokes"):
        found = record.cheats[method]
        assert set(found) == {
            f"{kind}_{what}" for kind in ("inpaint", "outpaint") for what in ("psnr", "perceptual", "mmd")
        } | {"inpaint_psnr_outside"}
        assert 5 < found["inpaint_psnr"].mean < 30
        assert found["inpaint_psnr_outside"].mean == 60.0
        assert found["inpaint_perceptual"].mean > 0


def test_the_record_rescores_to_itself(run: tuple[Record, Path]) -> None:
    record, folder = run
    assert read_record(folder) == record == rescore(record)
    assert record.features is not None
    assert record.features["name"] == "random"
    subjects = [case for case in record.cases if case.task == "subject"]
    assert any(case.references for case in record.cases)
    assert all((folder / path).is_file() for case in subjects for path in (case.source, *case.references))


def test_a_truth_that_cannot_be_measured_is_unscored(run: tuple[Record, Path]) -> None:
    record, _ = run
    index = next(i for i, case in enumerate(record.cases) if case.expectation.kind == "segment")
    blind = record.cases[index].model_copy(update={"truth_values": {}})
    again = rescore(
        record.model_copy(update={"cases": (*record.cases[:index], blind, *record.cases[index + 1 :])})
    )
    assert (again.metrics["segment_iou"].num_scored, again.metrics["segment_iou"].num_unscored) == (
        NUM - 1,
        1,
    )
    assert again.cheats["truth"]["segment_iou"].num_scored == NUM


def test_table_and_page(run: tuple[Record, Path]) -> None:
    record, folder = run
    console = Console(width=80, record=True, file=io.StringIO())
    print_table(record, console)
    text = console.export_text()
    assert all(name in text for name in SHARES)
    assert "navier stokes" in text
    assert max(len(line) for line in text.splitlines()) <= 80
    page = write_page(record, folder).read_text()
    assert page.count("<article") == NUM * len(KINDS)
    for case in record.cases:
        assert all(path in page for path in (case.truth, *case.references))


def test_half_an_edit_is_no_edit(recipe: CollageRecipe, cases: dict[str, WorldCase]) -> None:
    """What a picture shows decides, step by step: here, each step but one is undone."""
    edited = [member for member in cases.values() if member.case.kind == "multi_edit"]

    def answer(asked: Sequence[EvalCase]) -> list[np.ndarray]:
        pictures = []
        for case in asked:
            member = cases[case.id]
            half = member.truth.copy()
            step = member.expectation.steps[0]
            width = half.shape[1]
            # Undo what happened on the side of the picture where the first step did not.
            undone = slice(0, width // 2)
            if step.removed is not None and step.removed.box[0] < width // 2:
                undone = slice(width // 2, width)
            half[:, undone] = case.images[0][:, undone]
            pictures.append(half)
        return pictures

    record = evaluate_world(
        answer,
        recipe,
        num_cases_per_kind=NUM,
        num_seen_cases_per_kind=0,
        cheats=False,
        progress=False,
        kinds=("multi_edit",),
    )
    assert len(edited) == NUM
    assert record.metrics["edit_multi"].mean < 0.7


def test_tasks_that_are_not_served_are_left_out_and_named(
    recipe: CollageRecipe, cases: dict[str, WorldCase]
) -> None:
    asked: list[str] = []

    def answer(batch: Sequence[EvalCase]) -> list[None]:
        asked.extend(case.task for case in batch)
        return [None] * len(batch)

    record = evaluate_world(
        answer,
        recipe,
        num_cases_per_kind=1,
        num_seen_cases_per_kind=0,
        cheats=False,
        progress=False,
        kinds=("segment", "detect", "subject", "drag_move"),
        tasks=("segment", "drag"),
    )
    assert set(asked) == {"segment", "drag"}
    assert record.not_served == ("subject", "detect")
    assert record.metrics["segment_iou"].mean == 0.0
    assert not {"subject", "detect_iou"} & record.metrics.keys()
    with pytest.raises(ConfigError, match="of which the world asks nothing"):
        evaluate_world(
            answer, recipe, num_cases_per_kind=1, kinds=("detect",), tasks=("edit",), progress=False
        )
