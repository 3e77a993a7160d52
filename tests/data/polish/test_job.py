from pathlib import Path
from typing import Any

import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.polish.job import PolishJob, polish_sample
from dreamomni.data.polish.polisher import names_in
from dreamomni.data.shards.generate import generate
from dreamomni.data.shards.job import ShardJob
from dreamomni.data.shards.reader import ShardFolder
from dreamomni.errors import ConfigError, DataError

pytest.importorskip("openai")
Endpoint = Any  # the fixture of conftest.py
MINI = load_recipe("mini-v0-slots", CollageRecipe)


def job(folder: Path, endpoint: Endpoint, cache: Path, samples: int = 24) -> ShardJob:
    polish = PolishJob("m", cache, endpoint.url)
    return ShardJob(MINI, folder, num_samples=samples, shard_size=8, polish=polish)


def test_shards_hold_the_better_words_and_the_labels_stay(endpoint: Endpoint, tmp_path: Path) -> None:

    def better(text: str) -> tuple[int, bytes]:
        # Half of the answers are good, half of them change a colour or a number.
        worse = text.replace("red", "blue").replace("two", "three") + " blue"
        good = len(text) % 2 == 1
        return endpoint.completion(f"Kindly: {text}" if good else worse)

    endpoint.reply = better
    made = job(tmp_path / "a", endpoint, tmp_path / "answers.db")
    generate(made)
    plain, engine = 0, CollageEngine(MINI)
    for sample in ShardFolder(tmp_path / "a"):
        original = engine.sample(0, sample.index)
        assert sample.objects == original.objects
        assert (sample.target == original.target).all()
        if "template" in sample.details:
            assert sample.details["template"]["instruction"] == original.instruction
            assert sample.instruction in (original.instruction, f"Kindly: {original.instruction}")
        else:
            plain += 1
            assert sample.instruction == original.instruction
    assert 0 < plain < 24
    asked = len(endpoint.asked)
    generate(job(tmp_path / "b", endpoint, tmp_path / "answers.db"))
    assert len(endpoint.asked) == asked
    tars = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.tar"))
    assert tars
    for path in tars:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()


def test_words_of_another_model_do_not_go_into_the_same_folder(endpoint: Endpoint, tmp_path: Path) -> None:
    generate(ShardJob(MINI, tmp_path / "a", num_samples=8, shard_size=8))
    with pytest.raises(DataError, match="words of another language model"):
        generate(job(tmp_path / "a", endpoint, tmp_path / "answers.db", samples=8))


def test_a_sample_that_nothing_improves_stays_as_it_is(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.reply = endpoint.completion
    sample = CollageEngine(MINI).sample(0, 3)
    with PolishJob("m", tmp_path / "answers.db", endpoint.url).open() as polisher:
        assert polish_sample(sample, polisher) is sample
    assert set(names_in(sample)) >= {label.name for label in sample.objects if label.kind != "text"}


def test_a_model_without_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name of a language model"):
        PolishJob("", tmp_path / "answers.db")
