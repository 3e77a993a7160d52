"""The whole evaluation with functions in the place of a model: cheats, failures, records, pages."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from dreamomni.config import load_recipe
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.errors import ConfigError, DataError, OutputError
from dreamomni.evaluation.cases import EvalCase, make_cases
from dreamomni.evaluation.cheats import CHEATS, CLASSIC, OF_REFERENCES
from dreamomni.evaluation.record import Record, read_record, rescore
from dreamomni.evaluation.report import print_table, write_page
from dreamomni.evaluation.runner import WorldEvaluation, evaluate_world
from dreamomni.storage import write_json

NUM = 2
T2I = ("single_object", "two_objects", "counting", "colors", "position", "color_attribution", "overall")
EDIT = ("edit_add", "edit_remove", "edit_replace", "edit_overall")


@pytest.fixture(scope="module")
def recipe() -> CollageRecipe:
    return load_recipe("mini-world", CollageRecipe)


class Oracle:
    """Knows all truths; answers wrongly where told to, and remembers the batches."""

    def __init__(self, recipe: CollageRecipe) -> None:
        self.truths = {
            member.case.id: member.truth
            for split in ("held_out", "train")
            for member in make_cases(recipe, split=split, num_cases_per_kind=NUM)
        }
        self.batches: list[list[EvalCase]] = []

    def __call__(self, cases: Sequence[EvalCase]) -> list[np.ndarray | None]:
        self.batches.append(list(cases))
        return [self.answer(case) for case in cases]

    def answer(self, case: EvalCase) -> np.ndarray | None:
        return self.truths[case.id]


class Flawed(Oracle):
    def answer(self, case: EvalCase) -> np.ndarray | None:
        if case.kind == "single":
            return None
        if case.kind == "add":
            return None
        if case.kind == "colors":
            return np.zeros((32, 32, 3), np.uint8)
        if case.kind == "remove":
            return case.images[0]
        return self.truths[case.id]


@pytest.fixture(scope="module")
def oracle(recipe: CollageRecipe) -> Oracle:
    return Oracle(recipe)


@pytest.fixture(scope="module")
def run(
    recipe: CollageRecipe, oracle: Oracle, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Record, Path]:
    folder = tmp_path_factory.mktemp("evaluation") / "out"
    record = evaluate_world(
        oracle,
        recipe,
        folder,
        num_cases_per_kind=NUM,
        num_seen_cases_per_kind=1,
        batch_size=3,
        progress=False,
        model={"name": "oracle <&>", "hash": "0" * 8},
        command="a test",
    )
    return record, folder


def test_truth_scores_everything(run: tuple[Record, Path]) -> None:
    record, _ = run
    for name in (*T2I, *EDIT, "exact_scene", "edit_exact_scene"):
        assert record.metrics[name].mean == 1.0, name
        assert record.metrics_seen[name].mean == 1.0, name
    assert record.metrics["psnr_outside_mask"].mean == 60.0
    assert record.metrics["single_object"].num_scored == NUM


def test_cheats_score_what_they_deserve(run: tuple[Record, Path]) -> None:
    record, _ = run
    assert record.cheats.keys() == CHEATS.keys() - {*CLASSIC, *OF_REFERENCES}
    for name in ("blank", "noise"):
        assert all(record.cheats[name][metric].mean == 0 for metric in (*T2I, *EDIT))
    copy = record.cheats["copy_source"]
    assert all(copy[metric].mean == 0 for metric in EDIT)
    assert copy["psnr_outside_mask"].mean == 60.0
    assert "overall" not in copy
    assert record.cheats["other_truth"]["overall"].mean < 0.5
    assert record.cheats["other_truth"]["edit_overall"].mean < 0.5
    assert all(record.cheats["truth"][metric].mean == 1.0 for metric in (*T2I, *EDIT))


def test_the_record_is_complete_and_rescores_to_itself(run: tuple[Record, Path]) -> None:
    record, folder = run
    assert read_record(folder) == record == rescore(record)
    tree = json.loads((folder / "record.json").read_text())
    assert set(tree["metrics"]["counting"]) == {"mean", "stderr", "num_scored", "num_unscored"}
    assert len(record.cases) == 9 * (NUM + 1)
    for case in record.cases:
        assert (folder / case.truth).is_file()
        assert case.source is None or (folder / case.source).is_file()
    assert all((folder / answer.image).is_file() for answer in record.answers["model"])
    assert record.recipe_hash
    assert record.versions["python"]


def test_rescore_recomputes_rather_than_copies(run: tuple[Record, Path]) -> None:
    record, _ = run
    blinded = tuple(a.model_copy(update={"seen": ()}) for a in record.answers["model"])
    again = rescore(record.model_copy(update={"answers": {**record.answers, "model": blinded}}))
    assert again.metrics["overall"].mean == 0.0
    assert again.metrics_seen == record.metrics_seen


def test_a_misjudged_truth_is_unscored_for_the_model_but_not_for_the_ceiling(
    run: tuple[Record, Path],
) -> None:
    record, _ = run
    first, *rest = record.cases
    blind = first.model_copy(update={"truth_seen": ()})
    again = rescore(record.model_copy(update={"cases": (blind, *rest)}))
    assert first.expectation.kind == "single"
    assert (again.metrics["single_object"].num_scored, again.metrics["single_object"].num_unscored) == (
        NUM - 1,
        1,
    )
    assert again.cheats["truth"]["single_object"].num_scored == NUM


def test_batches_have_one_shape_and_at_most_the_asked_size(run: tuple[Record, Path], oracle: Oracle) -> None:
    assert sum(len(batch) for batch in oracle.batches) == 9 * (NUM + 1)
    for batch in oracle.batches:
        assert 1 <= len(batch) <= 3
        assert len({(case.task, case.size, len(case.images)) for case in batch}) == 1


def test_missing_and_misshapen_pictures_are_failures(recipe: CollageRecipe, tmp_path: Path) -> None:
    record = evaluate_world(
        Flawed(recipe),
        recipe,
        tmp_path,
        num_cases_per_kind=2,
        num_seen_cases_per_kind=0,
        cheats=False,
        progress=False,
    )
    metrics = record.metrics
    for name in ("single_object", "colors", "edit_add", "edit_remove"):
        assert (metrics[name].mean, metrics[name].num_scored) == (0.0, 2), name
    assert metrics["two_objects"].mean == 1.0
    assert metrics["psnr_outside_mask"].mean == pytest.approx((0 + 60 + 60) / 3)
    assert {answer.status for answer in record.answers["model"]} == {
        "judged",
        "missing_output",
        "wrong_size",
    }
    assert record.metrics_seen == {}
    assert record.cheats == {}


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (lambda cases: [], "got 0"),
        (lambda cases: [np.zeros((64, 64, 3), np.float32)] * len(cases), "uint8"),
    ],
)
def test_a_broken_promise_is_an_error(
    recipe: CollageRecipe, tmp_path: Path, answers: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_world(answers, recipe, tmp_path, num_cases_per_kind=1, progress=False)
    assert not (tmp_path / "record.json").exists()


def test_an_old_record_does_not_survive_a_failed_run(recipe: CollageRecipe, tmp_path: Path) -> None:
    write_json(tmp_path / "record.json", {})

    def fail(cases: Sequence[EvalCase]) -> list[None]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate_world(fail, recipe, tmp_path, num_cases_per_kind=1, progress=False)
    assert not (tmp_path / "record.json").exists()


def test_a_folder_that_cannot_be_written_is_one_sentence(recipe: CollageRecipe, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write into"):
        evaluate_world(lambda cases: [], recipe, tmp_path / "file", num_cases_per_kind=1, progress=False)


@pytest.mark.parametrize(("content", "error"), [(None, DataError), ("{", DataError), ("{}", ConfigError)])
def test_reading_what_is_no_record(tmp_path: Path, content: str | None, error: type[Exception]) -> None:
    if content is not None:
        (tmp_path / "record.json").write_text(content)
    with pytest.raises(error, match=r"record"):
        read_record(tmp_path)


def test_table_and_page(run: tuple[Record, Path]) -> None:
    record, folder = run
    console = Console(width=80, record=True, file=io.StringIO())
    print_table(record, console)
    text = console.export_text()
    assert all(name in text for name in (*T2I, *EDIT, "psnr_outside_mask"))
    assert max(len(line) for line in text.splitlines()) <= 80
    page = write_page(record, folder).read_text()
    assert "oracle &lt;&amp;&gt;" in page
    assert page.count("<article") == 9 * (NUM + 1)
    for case in record.cases:
        assert case.truth in page


def test_the_shipped_recipe_loads() -> None:
    evaluation = load_recipe("world", WorldEvaluation)
    assert evaluation.num_cases_per_kind == 50
    with pytest.raises(ConfigError, match="unknown key"):
        load_recipe("world", WorldEvaluation, ["num_case=3"])
