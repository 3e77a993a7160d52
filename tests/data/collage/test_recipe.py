import pytest
import yaml
from collage_worlds import CROWDED, MINI

from dreamomni.config import dump_recipe, list_recipes, load_recipe, validate
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.errors import ConfigError
from dreamomni.tasks.geometry import Size, aspect_buckets


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["names=[apple, huose]"], "'huose', which does not exist; did you mean 'house'"),
        (["colours=[red, grean]"], "did you mean 'green'"),
        (["backgrounds=[marble]"], "'marble', which does not exist"),
        (["names=[]"], "names is empty"),
        (["names=[apple, apple]"], "names something twice"),
        (["held_out.fraction=1"], "no colour left for training"),
        (["size=8x8"], "outside 32x32"),
        (["size=640x64"], "longer than 4:1"),
        (["mixture={single: 0}"], "at least one weight above 0"),
        (["object_sizes={2: [0.1, 0.2]}"], "needs a row for 1"),
        (["object_sizes={1: [0.4, 0.2]}"], "smallest <= largest"),
        (["hold_out={}"], "unknown key"),
        (["version=2"], r"mini-world.yaml: the recipe: it has version 2, but this release draws version 1"),
        (["version=0", "nonsense=1"], "it has version 0, but this release"),
        (["object_sizes={1: [0.9, 1.0]}"], "no two things of that size fit on a canvas of 64x64"),
        (["names=[apple]"], "two, which shows 2 different things, but the recipe has 1"),
        (["buckets=512"], "size and buckets are both given"),
        (["size=null", "buckets=20"], "buckets.*base"),
        (["size=null", "buckets={base: 64, multiple: 48}"], "base size 64 is too small"),
        (["edit.num_edits={2: 0}"], "at least one weight above 0"),
        (
            ["mixture.multi_edit=1", "max_edit_objects=1", "edit.operations={remove: 1}"],
            "at least 2 edits of different things",
        ),
        (["text_to_image.description_things=3"], "asks for 6 different things"),
        (["text_to_image.small=[0.1, 0.4]"], "what is large must be at least 1.5 times"),
    ],
)
def test_impossible_recipes_are_explained(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CollageEngine(load_recipe("mini-world", CollageRecipe, overrides))


def test_buckets_stand_for_their_sizes() -> None:
    recipe = load_recipe("mini-world", CollageRecipe, ["size=null", "buckets=256"])
    assert recipe.size == aspect_buckets(256)
    assert len(recipe.size) == 31
    coarse = load_recipe("mini-world", CollageRecipe, ["size=null", "buckets={base: 256, multiple: 64}"])
    assert coarse.size == aspect_buckets(256, 64)
    again = validate(yaml.safe_load(dump_recipe(recipe)), CollageRecipe, origin="copy")
    assert again == recipe
    engine = CollageEngine(recipe)
    shapes = {engine.sample(0, index, "two").target.shape[1::-1] for index in range(60)}
    assert shapes <= set(aspect_buckets(256))
    assert len(shapes) > 20


def test_every_shipped_data_recipe_draws() -> None:
    names = [name for name in list_recipes() if name.startswith("data/")]
    assert {"data/dreamomni", "data/text-to-image", "data/edit", "data/collage-all"} <= set(names)
    for name in names:
        recipe = load_recipe(name, CollageRecipe)
        engine = CollageEngine(recipe)
        for kind, weight in recipe.mixture.items():
            if weight > 0:
                assert engine.sample(0, 0, kind).kind == kind


def test_a_recipe_survives_being_written() -> None:
    for recipe in (MINI, CROWDED):
        assert validate(yaml.safe_load(dump_recipe(recipe)), CollageRecipe, origin="copy") == recipe
    assert CollageRecipe(size="64x48").size == (Size(64, 48),)
    assert CollageRecipe(size=[64, 48]).size == (Size(64, 48),)
