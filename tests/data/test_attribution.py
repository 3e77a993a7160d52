"""Whom pictures belong to: of a library, of loose samples, of shards."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dreamomni.data.attribution import dataset_credits, format_credits, library_credits
from dreamomni.data.collage.assets import AssetLibrary
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.folder import write_samples
from dreamomni.data.shards.generate import generate
from dreamomni.data.shards.job import ShardJob
from dreamomni.errors import DataError

BUILD = Callable[..., AssetLibrary]


def recipe_of(library: AssetLibrary) -> CollageRecipe:
    fields = {
        "assets": str(library.path),
        "colours": "all",
        "size": "64x64",
        "background_styles": {"photo": 0.5, "plain": 0.5},
        "mixture": {"single": 1.0, "text": 1.0},
        "held_out": {"fraction": 0.0},
    }
    return CollageRecipe.model_validate(fields)


def test_a_library_credits_every_asset(build: BUILD, pictures: Path) -> None:
    library = build(pictures)
    credits = library_credits(library)
    assert [credit.id for credit in credits] == [f"mine:{info.id}" for info in library.assets()]
    assert format_credits(credits).splitlines()[0] == "CC0-1.0, A. Painter:"


def test_loose_samples_credit_what_they_show(build: BUILD, pictures: Path, tmp_path: Path) -> None:
    library = build(pictures)
    engine = CollageEngine(recipe_of(library))
    samples = [engine.sample(0, index) for index in range(12)]
    write_samples(samples, tmp_path / "loose")
    credits = {credit.id: credit for credit in dataset_credits(tmp_path / "loose", [library])}
    assert set(credits) == {asset for sample in samples for asset in sample.assets}
    for asset, credit in credits.items():
        assert credit.num_samples == sum(asset in sample.assets for sample in samples)
        assert credit.licence in {licence for s in samples if asset in s.assets for licence in s.licences}
    assert {credit.attribution for asset, credit in credits.items() if asset.startswith("mine:")} == {
        "A. Painter"
    }
    with pytest.raises(DataError, match="name the file of the library 'mine' with --library"):
        dataset_credits(tmp_path / "loose")
    (tmp_path / "loose" / "x.json").write_text("{}")
    with pytest.raises(DataError, match=r"x\.json is not the record of a sample"):
        dataset_credits(tmp_path / "loose", [library])
    with pytest.raises(DataError, match="neither an asset library nor a folder"):
        dataset_credits(tmp_path / "nowhere")


def test_shards_know_their_credits(build: BUILD, pictures: Path, tmp_path: Path) -> None:
    library = build(pictures)
    job = ShardJob(recipe_of(library), tmp_path / "shards", num_samples=10, shard_size=5)
    generate(job)
    engine = CollageEngine(recipe_of(library))
    shown = {asset for index in range(10) for asset in engine.sample(0, index).assets}
    credits = dataset_credits(tmp_path / "shards")
    assert {credit.id for credit in credits} == shown
    assert any(credit.attribution == "A. Painter" for credit in credits)
