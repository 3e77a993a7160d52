from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from dreamomni import config
from dreamomni.config import (
    StrictConfig,
    dump_recipe,
    find_recipe,
    list_recipes,
    load_recipe,
    recipe_hash,
)
from dreamomni.errors import ConfigError
from dreamomni.tasks.geometry import Size


class Uniform(StrictConfig):
    type: Literal["uniform"] = "uniform"


class LogitNormal(StrictConfig):
    type: Literal["logit_normal"] = "logit_normal"
    mean: float = 0.0


class Training(StrictConfig):
    max_steps: int = Field(gt=0)
    learning_rate: float = 1e-3


class Recipe(StrictConfig):
    training: Training
    timesteps: Annotated[Uniform | LogitNormal, Field(discriminator="type")] = Uniform()
    mixture: dict[str, float] = {}
    sizes: tuple[Size, ...] = ()
    name: str | float = "plain"


TEXT = """
training: {max_steps: 10, learning_rate: 3e-4}
timesteps: {type: logit_normal, mean: 0.5}
mixture: {one: 3, two: 1}
sizes: [64x64, [32, 96]]
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "some.yaml"
    path.write_text(TEXT)
    return path


def test_a_recipe_loads_with_types(recipe: Path) -> None:
    loaded = load_recipe(recipe, Recipe)
    assert loaded.training.learning_rate == 3e-4
    assert loaded.sizes == (Size(64, 64), Size(32, 96))
    assert isinstance(loaded.timesteps, LogitNormal)


def test_overrides_change_single_values(recipe: Path) -> None:
    overrides = ["training.max_steps=7", "mixture.three=0.5", "sizes.1=16x16", "name=1e-3"]
    loaded = load_recipe(recipe, Recipe, overrides)
    assert loaded.training.max_steps == 7
    assert loaded.mixture == {"one": 3, "two": 1, "three": 0.5}
    assert loaded.sizes[1] == Size(16, 16)
    assert loaded.name == 1e-3  # plain YAML reads 1e-3 as text
    assert load_recipe(recipe, Recipe, ["timesteps={type: uniform}"]).timesteps == Uniform()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["training.max_step=7"], ["training.max_step", "did you mean max_steps?"]),
        (["timesteps.men=7"], ["timesteps.logit_normal.men", "did you mean mean?"]),
        (["training.max_steps=0"], ["training.max_steps", "greater than 0", "got 0"]),
        (["training.max_steps=ten"], ["training.max_steps", "valid integer", "'ten'"]),
        (["sizes=[64]"], ["sizes.0", "WIDTHxHEIGHT", "64"]),
        (["sizes.9=64x64"], ["sizes is a list of 2", "'9'"]),
        (["name.first=x"], ["name", "first"]),
        (["training.max_steps.low=1"], ["training.max_steps is the value 10"]),
        (["training"], ["key.path=value"]),
        (["=3"], ["key.path=value"]),
        (["name=[1"], ["not YAML"]),
    ],
)
def test_wrong_overrides_are_one_clear_sentence(recipe: Path, overrides: list[str], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(recipe, Recipe, overrides)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("training: {learning_rate: 1}", "training.max_steps is missing"),
        ("training: {max_steps: 1}\ntraining: {max_steps: 2}", "'training' is written twice"),
        ("- 1", "must be a mapping"),
        ("a: [", "is not a YAML recipe"),
        ("a: !!python/object/apply:os.getcwd []", "is not a YAML recipe"),
        ("", "training is missing"),
    ],
)
def test_broken_files_are_one_clear_sentence(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        load_recipe(path, Recipe)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_binary_and_folder_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ConfigError, match="not a YAML recipe"):
        load_recipe(path, Recipe)
    with pytest.raises(ConfigError, match="no recipe at"):
        load_recipe(tmp_path, Recipe)


def test_names_are_found_below_the_recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("train/mini-dit", "data/mini-world", "eval/mini-world"):
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(TEXT)
    monkeypatch.setattr(config, "recipe_root", lambda: tmp_path)
    assert list_recipes() == ["data/mini-world", "eval/mini-world", "train/mini-dit"]
    assert find_recipe("mini-dit") == tmp_path / "train/mini-dit.yaml"
    assert find_recipe("eval/mini-world.yaml") == tmp_path / "eval/mini-world.yaml"
    with pytest.raises(ConfigError, match=r"did you mean mini-dit\?"):
        find_recipe("mini-dt")
    with pytest.raises(ConfigError, match="ambiguous: say one of data/mini-world, eval/mini-world"):
        find_recipe("mini-world")


def test_the_source_tree_has_its_own_recipes() -> None:
    assert config.recipe_root().name == "recipes"


NAMES = st.text(min_size=1, max_size=8)


@settings(max_examples=20)
@given(
    st.integers(1, 10**9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.dictionaries(NAMES, st.floats(-1e6, 1e6), max_size=4),
    st.lists(st.builds(Size, st.integers(1, 9999), st.integers(1, 9999)), max_size=3),
)
def test_dump_and_load_are_inverse(
    tmp_path_factory: Any, steps: int, rate: float, mixture: dict[str, float], sizes: list[Size]
) -> None:
    recipe = Recipe(
        training=Training(max_steps=steps, learning_rate=rate), mixture=mixture, sizes=tuple(sizes)
    )
    path = tmp_path_factory.getbasetemp() / "round.yaml"
    path.write_text(dump_recipe(recipe), encoding="utf-8")
    loaded = load_recipe(path, Recipe)
    assert loaded == recipe
    assert recipe_hash(loaded) == recipe_hash(recipe)


def test_the_hash_sees_values_and_not_their_order(recipe: Path) -> None:
    one = load_recipe(recipe, Recipe)
    other = load_recipe(recipe, Recipe, ["mixture={two: 1, one: 3}"])
    assert recipe_hash(one) == recipe_hash(other)
    assert recipe_hash(one) != recipe_hash(load_recipe(recipe, Recipe, ["mixture.one=4"]))


def test_configs_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Training(max_steps=1).max_steps = 2  # type: ignore[misc]
