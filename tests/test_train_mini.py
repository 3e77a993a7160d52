"""`scripts/train_mini.py`: how the time is shared out, and what becomes of the parts."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import hypothesis.strategies as st
import pytest
from hypothesis import given

from dreamomni.config import load_recipe
from dreamomni.errors import ConfigError
from dreamomni.training.config import TrainRecipe


def load_script() -> ModuleType:
    path = Path(__file__).parents[1] / "scripts" / "train_mini.py"
    spec = importlib.util.spec_from_file_location("train_mini", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["train_mini"] = module
    spec.loader.exec_module(module)
    return module


script = load_script()
SPENT = st.fixed_dictionaries({name: st.floats(0, 5000) for name in ("vae", "vlm", "dit", "decoder")})


@given(spent=SPENT, seconds=st.floats(1, 20_000), size=st.sampled_from([64, 128]), gpu=st.booleans())
def test_all_the_time_is_shared_out_and_none_goes_to_what_must_not_move(
    spent: dict[str, float], seconds: float, size: int, gpu: bool
) -> None:
    plan = script.seconds_for(script.stages_of(size, gpu), spent, seconds)
    assert sum(plan.values()) == pytest.approx(seconds)
    assert min(plan.values()) >= 0
    if spent["dit"] > 0:
        assert plan["vae"] == plan["vlm"] == 0


def test_a_first_call_follows_the_shares_and_a_second_goes_on() -> None:
    stages = script.stages_of(64)
    first = script.seconds_for(stages, {}, 1000)
    assert first == pytest.approx({stage.name: 1000 * stage.share for stage in stages})
    second = script.seconds_for(stages, first, 1000)
    assert second["dit"] > 800
    assert second["vae"] == 0


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("gpu", [False, True])
def test_the_recipes_of_all_stages_are_sound(size: int, gpu: bool) -> None:
    for stage in script.stages_of(size, gpu):
        recipe = load_recipe(stage.recipe, TrainRecipe, script._changes(stage, Path("runs/x"), []))
        assert "{runs}" not in recipe.model_dump_json()
        if stage.name == "dit":
            assert recipe.task.autoencoder == "runs/x/vae/export"


def test_a_change_reaches_every_stage_or_one() -> None:
    vae, vlm = script.stages_of(64)[:2]
    asked = ["training.seed=9", "vae.training.seed=7"]
    assert script._changes(vae, Path("r"), asked)[-2:] == ["training.seed=9", "training.seed=7"]
    assert script._changes(vlm, Path("r"), asked)[-1] == "training.seed=9"


def test_the_last_decoder_joins_the_network(tmp_path: Path) -> None:
    for stage, text in (("dit", "old"), ("decoder", "new")):
        folder = tmp_path / stage / "export" / ("vae" if stage == "dit" else ".")
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(text)
    (tmp_path / "dit" / "export" / "card.json").write_text("{}")
    script.assemble(tmp_path, tmp_path / "model")
    assert (tmp_path / "model" / "vae" / "config.json").read_text() == "new"
    assert (tmp_path / "model" / "card.json").exists()


def test_a_damaged_ledger_gets_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "ledger.json").write_text(json.dumps(["no"]))
    with pytest.raises(ConfigError, match="damaged"):
        script._read_ledger(tmp_path)


def test_no_time_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        script.main(["--minutes", "0"])
    assert "leaves no time" in capsys.readouterr().err
