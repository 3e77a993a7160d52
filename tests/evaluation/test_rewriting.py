"""What counts as right of a rewriter's answers, and the command that counts it."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from dreamomni.cli.main import main
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.errors import DataError, ModelError
from dreamomni.evaluation.rewriting import RewriterReport, ask_rewriter, asked_kinds, judge
from dreamomni.inference.rewriting.rewriter import Rewriter, find_rewriter
from dreamomni.models.chat import Answer, ChatVLM
from dreamomni.models.vlm import build_mini_vlm
from dreamomni.tasks.sample import TrainingSample
from dreamomni.tasks.standard import request_text, standard_edit, standard_generation, wrap

SIZES = {"hidden_size": 32, "num_layers": 1, "num_heads": 2, "num_key_value_heads": 1, "vision_depth": 1}
RECIPE = CollageRecipe.model_validate(
    {
        "size": "32x32",
        "names": ["star", "heart", "fish", "house"],
        "colours": ["red", "blue", "green"],
        "object_sizes": {1: [0.5, 0.6], 2: [0.4, 0.45], 3: [0.35, 0.4]},
        "mixture": {"reference_colour": 1.0, "subject_scene": 1.0},
        "max_edit_objects": 2,
        "multi_reference": {"reference_objects": {1: 1.0}, "num_references": {1: 1.0}},
        "held_out": {"fraction": 0.2},
    }
)


class Knowing(ChatVLM):
    """A tiny model that is told what to answer to which words."""

    def __init__(self, answers: dict[str, str]) -> None:
        encoder = build_mini_vlm(["a"], **SIZES)
        super().__init__(encoder.model, encoder.processor)
        self.answers = answers

    def reply(
        self,
        prompts: Sequence[str],
        images: Sequence[Sequence[Image.Image]] | None = None,
        *,
        max_new_tokens: int = 512,
    ) -> list[Answer]:
        return [Answer(self.answers[prompt], True) for prompt in prompts]


def truth(sample: TrainingSample) -> str:
    standard = sample.details["standard"]
    if sample.task == "edit":
        return standard_edit(standard["instruction"], standard["caption"])
    return standard_generation(standard["caption"])


def judged(sample: TrainingSample, answer: str) -> dict[str, bool]:
    task = "edit" if sample.task == "edit" else "generate"
    rewriter = Rewriter(Knowing({request_text(sample.instruction, task): answer}))
    return dict(judge(rewriter, sample).right)


@pytest.fixture(scope="module")
def engine() -> CollageEngine:
    return CollageEngine(RECIPE, split="held_out")


@pytest.mark.parametrize("kind", ["reference_colour", "subject_scene"])
def test_the_truth_is_right_in_every_measure_and_nonsense_in_none(engine: CollageEngine, kind: str) -> None:
    sample = engine.sample(0, 0, kind)
    assert judged(sample, wrap(truth(sample))) == dict.fromkeys(
        ("usable", "images", "instruction", "exact"), True
    )
    nothing = dict.fromkeys(("usable", "images", "instruction", "exact"), False)
    assert judged(sample, "I see a picture.") == nothing
    assert judged(sample, wrap(truth(sample).replace("image_2", "image_7"))) == nothing


def test_measures_tell_mistakes_apart(engine: CollageEngine) -> None:
    sample = engine.sample(0, 0, "reference_colour")
    standard = sample.details["standard"]
    other_caption = standard_edit(standard["instruction"], "Nothing.")
    assert judged(sample, wrap(other_caption)) == {
        "usable": True,
        "images": True,
        "instruction": True,
        "exact": False,
    }
    other_thing = standard_edit(
        "Change the color of it in image_1 to that of it (image_2)", standard["caption"]
    )
    assert judged(sample, wrap(other_thing)) == {
        "usable": True,
        "images": True,
        "instruction": False,
        "exact": False,
    }
    swapped = (
        truth(sample)
        .replace("image_1", "image_0")
        .replace("image_2", "image_1")
        .replace("image_0", "image_2")
    )
    assert judged(sample, wrap(swapped))["images"] is False
    bent = truth(sample).replace("image_2", "Image 2")
    assert all(judged(sample, f"<GEN>{bent}").values())


def test_a_report_counts_by_kind_and_over_all(engine: CollageEngine) -> None:
    samples = [engine.sample(3, 2**31 + index, kind) for kind in asked_kinds(RECIPE) for index in range(3)]
    answers = {
        request_text(sample.instruction, "edit" if sample.task == "edit" else "generate"): wrap(truth(sample))
        for sample in samples
    }
    answers[request_text(samples[0].instruction, "edit")] = "no"
    report = RewriterReport(tuple(ask_rewriter(Rewriter(Knowing(answers)), RECIPE, num_cases=3, seed=3)))
    assert [case.kind for case in report.cases] == ["reference_colour"] * 3 + ["subject_scene"] * 3
    assert report.by_kind()["reference_colour"]["exact"].mean == pytest.approx(2 / 3)
    assert report.by_kind()["subject_scene"]["exact"].mean == 1
    overall = report.overall()["exact"]
    assert overall.mean == pytest.approx(5 / 6)
    assert overall.stderr is not None
    assert overall.num_scored == 6
    assert json.loads(json.dumps(report.to_json()))["cases"][0]["got"] is None


def test_data_without_references_is_refused() -> None:
    with pytest.raises(DataError, match="nothing with several references"):
        asked_kinds(RECIPE.model_copy(update={"mixture": {"single": 1.0}}))


def test_rewriters_are_found_where_models_have_them(tmp_path: Path) -> None:
    build_mini_vlm(["a"], **SIZES).save_pretrained(tmp_path / "ours" / "rewriter")
    (tmp_path / "ours" / "model_index.json").write_text("{}")
    assert find_rewriter(tmp_path / "ours") == tmp_path / "ours" / "rewriter"
    assert find_rewriter(tmp_path / "ours" / "rewriter") == tmp_path / "ours" / "rewriter"
    shutil.copytree(tmp_path / "ours" / "rewriter", tmp_path / "published" / "vlm-model")
    assert find_rewriter(tmp_path / "published") == tmp_path / "published" / "vlm-model"
    shutil.rmtree(tmp_path / "ours" / "rewriter")
    for name in (tmp_path / "ours", tmp_path / "nothing"):
        with pytest.raises(ModelError, match="has no rewriter"):
            find_rewriter(name)


def test_the_command_prints_and_writes_every_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build_mini_vlm(["a red star"], **SIZES).save_pretrained(tmp_path / "vlm")
    (tmp_path / "world.yaml").write_text(json.dumps(RECIPE.model_dump(mode="json")))
    out = tmp_path / "rewriter.json"
    arguments = ["--model", str(tmp_path / "vlm"), "--data", str(tmp_path / "world.yaml"), "--num-cases", "1"]
    assert main(["evaluate", "rewriter", *arguments, "--out", str(out), "--quiet", "--threads", "1"]) == 0
    written = json.loads(out.read_text())
    assert written["overall"]["exact"]["num_scored"] == 2
    assert written["split"] == "held_out"
    assert len(written["cases"]) == 2
    printed = capsys.readouterr().out
    assert "subject_scene" in printed
    assert "+-" in printed


def test_a_model_without_rewriter_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "rewriter", "--model", str(tmp_path / "no")]) == 2
    assert "has no rewriter" in capsys.readouterr().err
