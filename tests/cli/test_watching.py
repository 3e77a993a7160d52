"""In-loop evaluation and validation grids, around the parts of a real tiny model."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dreamomni.cli.watching import watching_hooks
from dreamomni.config import load_recipe
from dreamomni.errors import ConfigError, RequestError
from dreamomni.inference.pipeline import DreamOmniPipeline
from dreamomni.training.config import TrainRecipe
from dreamomni.training.hooks import Hook, MetricsFile, SampleFiles

WORLD = """
names: [star, house, fish, tree]
mixture: {single: 1, remove: 1}
held_out: {fraction: 0.2}
"""


class LiveTask:
    """As a task in training gives its parts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def pipeline_parts(self) -> dict[str, Any]:
        pipe = DreamOmniPipeline.from_pretrained(str(self.folder))
        return {**pipe.components, "card": pipe.card}


def recipe_with(*changes: str) -> TrainRecipe:
    return load_recipe("mini-v1-64", TrainRecipe, ["training.sample_every=5", "evaluate.every=10", *changes])


def test_a_live_model_is_measured_and_shown(tmp_path: Path, tiny_model_dir: Path) -> None:
    (tmp_path / "world.yaml").write_text(WORLD)
    picture = tmp_path / "source.png"
    Image.new("RGB", (48, 32), "red").save(picture)
    recipe = recipe_with(
        "evaluate.num_cases=1",
        f"evaluate.world={tmp_path / 'world.yaml'}",
        f"validation=[{{prompt: a red star}}, {{prompt: remove the star, images: ['{picture}']}}]",
    )
    told: list[Hook] = [MetricsFile(tmp_path / "metrics.jsonl", 1), SampleFiles(tmp_path / "samples")]
    hooks = watching_hooks(recipe, LiveTask(tiny_model_dir), tmp_path, told)
    assert len(hooks) == 2
    for step in (5, 10):
        for hook in hooks:
            hook.on_sample(step, None)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10]
    assert {"single_object", "seconds"} <= lines[0]["evaluate"].keys()
    names = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert names == ["validation-00000005.png", "validation-00000010.png"]
    with Image.open(tmp_path / "samples" / names[0]) as sheet:
        # The picture to edit stands beside its answer, both 48 pixels wide.
        assert sheet.width >= 2 * 48
        assert (255, 0, 0) in {colour for _, colour in sheet.getcolors(100_000) or []}
    assert (tmp_path / "evaluation" / "step-00000010" / "record.json").is_file()


def test_nothing_asked_for_is_no_hook(tmp_path: Path) -> None:
    assert watching_hooks(recipe_with("evaluate=null", "validation=[]"), None, tmp_path, []) == []


def test_mistakes_are_found_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no recipe at 'mini-v9'"):
        watching_hooks(recipe_with("evaluate.world=mini-v9"), None, tmp_path, [])
    with pytest.raises(RequestError, match="task 'edot' is unknown; did you mean edit"):
        watching_hooks(recipe_with("validation=[{task: edot, prompt: a}]"), None, tmp_path, [])
