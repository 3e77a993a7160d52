import hashlib
import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dreamomni.seeding import derive_seed, generator


def test_seeds_are_recorded_truth() -> None:
    assert derive_seed(0) == 3999586761668934864
    assert derive_seed(0, "a") == 14309063139482151242
    assert generator(0, "sample", 3).integers(0, 1000, 4).tolist() == [461, 192, 178, 694]


@given(st.integers(), st.lists(st.text() | st.integers()))
def test_seeds_are_pure_and_fit_64_bits(root: int, path: list[str | int]) -> None:
    assert derive_seed(root, *path) == derive_seed(root, *path)
    assert 0 <= derive_seed(root, *path) < 2**64


@given(st.lists(st.text() | st.integers() | st.booleans() | st.sampled_from(['a"b', "a\\b", "a/b"])))
def test_names_of_streams_are_json(path: list[str | int]) -> None:
    digest = hashlib.sha256(json.dumps([7, *path]).encode()).digest()
    assert derive_seed(7, *path) == int.from_bytes(digest[:8], "little")


def test_streams_differ_by_root_name_and_type() -> None:
    seeds = [
        derive_seed(*p) for p in [(0,), (1,), (0, "a"), (0, "b"), (0, 1), (0, "1"), (0, "a", "b"), (0, "ab")]
    ]
    assert len(set(seeds)) == len(seeds)
    assert not np.array_equal(generator(0, "a").random(8), generator(0, "b").random(8))
