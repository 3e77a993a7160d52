import json
from pathlib import Path

import numpy as np
import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.folder import read_samples, write_samples
from dreamomni.errors import DataError
from dreamomni.tasks.sample import TrainingSample


@pytest.fixture(scope="module")
def samples() -> list[TrainingSample]:
    engine = CollageEngine(load_recipe("mini-world", CollageRecipe))
    return [
        engine.sample(0, index, kind=kind) for index, kind in enumerate(("position", "replace", "remove"))
    ]


def test_what_is_written_is_read(samples: list[TrainingSample], tmp_path: Path) -> None:
    write_samples(samples, tmp_path)
    found = read_samples(tmp_path)
    assert [sample.key for sample in found] == [sample.key for sample in samples]
    for one, other in zip(found, samples, strict=True):
        for name in ("instruction", "caption", "objects", "source_objects", "relations", "licences", "task"):
            assert getattr(one, name) == getattr(other, name)
        assert json.loads(json.dumps(other.details)) == one.details
        assert np.array_equal(one.target, other.target)
        assert all(np.array_equal(a, b) for a, b in zip(one.images, other.images, strict=True))
        assert (one.mask is None) == (other.mask is None)
        assert one.mask is None or np.array_equal(one.mask, other.mask)


def test_folders_that_hold_no_samples_are_refused(samples: list[TrainingSample], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        read_samples(tmp_path / "missing")
    with pytest.raises(DataError, match="holds no samples"):
        read_samples(tmp_path)
    write_samples(samples[:1], tmp_path)
    target = tmp_path / f"{samples[0].key}.target.png"
    target.write_bytes(target.read_bytes()[:100])
    with pytest.raises(DataError, match=r"target.png is damaged"):
        read_samples(tmp_path)
    target.unlink()
    with pytest.raises(DataError, match=r"target.png"):
        read_samples(tmp_path)
    (tmp_path / f"{samples[0].key}.json").write_text("[]")
    with pytest.raises(DataError, match="is not the record of a sample"):
        read_samples(tmp_path)
