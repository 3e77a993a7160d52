"""Worlds with a user's own pictures: which asset shows a name, in which split, in which colour."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dreamomni.data.collage.assets import AssetCatalogue, AssetLibrary, StickerPack
from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.palette import BACKGROUNDS, PALETTE
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.collage.scene import Thing
from dreamomni.data.collage.world import World
from dreamomni.errors import ConfigError, DataError

BUILD = Callable[..., AssetLibrary]
PAINT = Callable[..., Image.Image]
GREEN = PALETTE["green"]


def world_of(library: AssetLibrary, split: str = "train", **values: object) -> World:
    fields = {"names": "assets", "colours": "all", "held_out": {"fraction": 0.0}, **values}
    recipe = CollageRecipe.model_validate(fields)
    return World(recipe, AssetCatalogue(StickerPack.default(), [library]), split)  # type: ignore[arg-type]


def engine_of(library: AssetLibrary, split: str = "train", **values: object) -> CollageEngine:
    fields = {
        "assets": str(library.path),
        "names": "assets",
        "colours": "all",
        "size": "96x96",
        "background_styles": {"photo": 1.0},
        "say_background": 1.0,
        "max_overlap": 0.2,
        "mixture": {"single": 1.0, "two": 1.0, "scene": 1.0, "remove": 1.0, "replace": 1.0, "text": 1.0},
        "held_out": {"fraction": 0.0},
        **values,
    }
    return CollageEngine(CollageRecipe.model_validate(fields), split)  # type: ignore[arg-type]


def test_a_thing_takes_the_colour_that_it_has(build: BUILD, pictures: Path) -> None:
    world = world_of(build(pictures))
    assert world.names == ("ball", "paper box", "rug", "toadstool")
    found = {world.draw_thing("ball", "white", Draws(0, i)) for i in range(30)}
    assert found == {Thing("ball", "red"), Thing("ball", "blue")}
    red = world.thing_in("ball", "red", "white", Draws(0, "x"))
    assert red is not None
    assert red.asset == "mine:ball/01"
    assert world.rgb_of(red) == (222, 28, 36)
    assert world.thing_in("ball", "green", "white", Draws(0, "x")) is None
    assert world.colours_of("ball", "white") == ["red", "blue"]
    boxes = {world.draw_thing("paper box", "white", Draws(0, i)) for i in range(200)}
    assert {box.colour for box in boxes if box} == set(world.visible_on("white"))


def test_colours_that_no_word_fits_stay_unsaid(build: BUILD, pictures: Path) -> None:
    world = world_of(build(pictures))
    rug = world.draw_thing("rug", "white", Draws(0, "x"))
    assert rug == Thing("rug", None)
    assert world.draw_thing("rug", "white", Draws(0, "x"), named=True) is None
    assert world.draw_thing("rug", "white", Draws(0, "x"), unlike=["red"]) is None
    # Two colours are like each of them.
    assert world.draw_thing("toadstool", "mint", Draws(0, "x"), unlike=["white"]) is None
    few = world_of(build(pictures), colours=["red", "blue"])
    toadstool = few.draw_thing("toadstool", "mint", Draws(0, "x"))
    assert toadstool == Thing("toadstool", None)


def test_a_name_may_begin_with_its_colour(build: BUILD, tmp_path: Path, disc: PAINT) -> None:
    folder = tmp_path / "cats"
    folder.mkdir()
    disc((60, 60, 66)).save(folder / "black_cat.png")
    disc(PALETTE["green"]).save(folder / "red_herring.png")
    world = world_of(build(folder))
    assert world.draw_thing("cat", "white", Draws(0, "x")) == Thing("cat", "black")
    # Pixels that say another colour than the name leave the name whole, and the colour unsaid.
    assert world.draw_thing("red herring", "white", Draws(0, "x")) == Thing("red herring", None)


def test_things_can_be_told_from_what_is_behind(build: BUILD, tmp_path: Path, disc: PAINT) -> None:
    folder = tmp_path / "balls"
    folder.mkdir()
    disc(BACKGROUNDS["cream"]).save(folder / "snowball.png")
    disc(GREEN).save(folder / "lime.png")
    world = world_of(build(folder), backgrounds=["cream", "white"], max_count=2)
    assert world.names == ("lime",)
    with pytest.raises(ConfigError, match="'snowball' on 'cream' has no colour left"):
        world_of(build(folder), names=["snowball"], backgrounds=["cream", "white"])


def test_held_out_colours_of_assets_do_not_show_in_training(build: BUILD, pictures: Path) -> None:
    rule = {"fraction": 0.5, "salt": "s1"}
    world = world_of(build(pictures), held_out=rule)
    everything = {
        (name, thing.colour)
        for name in world.names
        for i in range(60)
        if (thing := world.draw_thing(name, "mint", Draws(1, i))) and thing.colour
    }
    kept = set(world.colour_pairs_out("sticker", "mint"))
    assert kept
    assert not kept & everything


def test_an_asset_is_in_one_split(build: BUILD, tmp_path: Path, disc: PAINT, noise: PAINT) -> None:
    for folder in ("stickers/ball", "stickers/cup", "backgrounds"):
        (tmp_path / "p" / folder).mkdir(parents=True)
    for number in range(24):
        disc((9 * number + 30, 40, 120), 30).save(tmp_path / f"p/stickers/ball/{number}.png")
        noise(number, 70, 70).save(tmp_path / f"p/backgrounds/b{number}.png")
    disc((200, 30, 30), 30).save(tmp_path / "p/stickers/cup/0.png")
    library = build(tmp_path / "p", held_out=0.5)
    split = {f"mine:{info.id}": info.split for info in library.assets()}
    assert set(split.values()) == {"train", "held_out"}
    mixture = {"single": 1.0, "remove": 1.0}
    train = engine_of(library, mixture=mixture, names="all", assets=str(library.path))
    shown = {asset for i in range(60) for asset in train.sample(0, i).assets if asset in split}
    assert {split[asset] for asset in shown} == {"train"}
    held = engine_of(library, "held_out", mixture={"single": 1.0})
    shown = {
        asset for i in range(40) for asset in held.sample(0, i).assets if "ball" in asset or "/b" in asset
    }
    assert {split[asset] for asset in shown} == {"held_out"}


def test_samples_name_what_they_show(build: BUILD, pictures: Path) -> None:
    engine = engine_of(build(pictures))
    about = {info.id: info for info in engine.asset_infos}
    seen: set[str] = set()
    for index in range(40):
        sample = engine.sample(3, index)
        backgrounds = [asset for asset in sample.assets if about[asset].kind == "background"]
        assert len(backgrounds) == 1
        assert set(sample.licences) == {about[asset].licence for asset in sample.assets} | {"Apache-2.0"}
        named = {about[asset].name for asset in sample.assets if about[asset].kind in ("sticker", "cutout")}
        assert {label.name for label in sample.objects if label.kind == "sticker"} <= named
        assert sample.details["background"]["style"] == "photo"
        seen.update(sample.assets)
    assert {"mine:rug", "mine:place_0", "mine:ball/01"} <= seen


def test_captions_say_the_background_where_one_is_known(build: BUILD, pictures: Path) -> None:
    engine = engine_of(build(pictures), mixture={"single": 1.0})
    said = {
        "sunny beach" in sample.caption: "mine:place_0" in sample.assets
        for sample in (engine.sample(0, index) for index in range(30))
    }
    assert said == {True: True, False: False}


def test_the_same_samples_in_every_process(build: BUILD, pictures: Path) -> None:
    first = engine_of(build(pictures))
    second = pickle.loads(pickle.dumps(first))
    assert second.asset_digest == first.asset_digest
    for index in (5, 2, 9):
        one, two = first.sample(4, index), second.sample(4, index)
        assert one.target.tobytes() == two.target.tobytes()
        assert (one.instruction, one.assets, one.objects) == (two.instruction, two.assets, two.objects)


def test_what_a_photo_shows_reaches_the_pixels(build: BUILD, pictures: Path) -> None:
    engine = engine_of(build(pictures), mixture={"remove": 1.0}, blending={"weights": {"none": 1.0}})
    for index in range(10):
        sample = engine.sample(6, index)
        assert sample.mask is not None
        outside = sample.mask == 0
        assert (sample.target[outside] == sample.images[0][outside]).all()
        assert len(np.unique(sample.target.reshape(-1, 3), axis=0)) > 200


def test_a_stickers_library_changes_nothing_without_being_named() -> None:
    fields = {"size": "64x64", "held_out": {"fraction": 0.05}}
    plain = CollageEngine(CollageRecipe.model_validate(fields))
    empty = CollageEngine(CollageRecipe.model_validate({**fields, "assets": []}))
    assert plain.sample(0, 3).target.tobytes() == empty.sample(0, 3).target.tobytes()
    assert plain.asset_digest == empty.asset_digest


@pytest.mark.parametrize(
    ("values", "error", "reason"),
    [
        ({"assets": "nowhere.assets"}, DataError, r"no asset library .*nowhere\.assets"),
        ({"names": ["rugg"]}, ConfigError, "did you mean 'rug'"),
        (
            {"names": "all", "assets": [], "background_styles": {"photo": 1.0}},
            ConfigError,
            "no library of `assets`",
        ),
    ],
)
def test_recipes_that_ask_for_what_is_not_there(
    build: BUILD, pictures: Path, values: dict[str, object], error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        engine_of(build(pictures), **values)


def test_two_libraries_of_one_name(build: BUILD, pictures: Path, tmp_path: Path) -> None:
    library = build(pictures)
    other = tmp_path / "copy.assets"
    other.write_bytes(library.path.read_bytes())
    with pytest.raises(ConfigError, match=r"both named 'mine'; build one of them again with another --name"):
        engine_of(library, assets=[str(library.path), str(other)])
    catalogue = AssetCatalogue(StickerPack.default(), [library])
    assert catalogue.info("sticker:apple").name == "apple"
    with pytest.raises(DataError, match="did you mean 'mine'"):
        catalogue.info("mime:rug")
