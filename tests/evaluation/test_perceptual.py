"""Distances in features: zero for equal pictures, growing with damage, and honest about few pictures."""

import numpy as np
import pytest
import torch

from dreamomni.evaluation.perceptual import EncoderFeatures, set_distance
from dreamomni.models.autoencoder import Autoencoder
from dreamomni.seeding import generator


@pytest.fixture(scope="module")
def features() -> EncoderFeatures:
    torch.manual_seed(0)
    return EncoderFeatures(Autoencoder.mini(), "random")


def pictures(num: int, *, size: tuple[int, int] = (32, 32), name: str = "a") -> list[np.ndarray]:
    found = []
    for index in range(num):
        low = generator(1, name, index).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        found.append(np.kron(low, np.ones((size[0] // 4, size[1] // 4, 1), np.uint8)))
    return found


def test_equal_pictures_are_zero_apart_and_damage_counts(features: EncoderFeatures) -> None:
    (truth,) = pictures(1)
    mask = np.full((32, 32), 255, np.uint8)
    soft = np.clip(truth.astype(int) + 20, 0, 255).astype(np.uint8)
    (other,) = pictures(1, name="b")
    none, little, much = features.distances([truth, soft, other], [truth] * 3, [mask] * 3)
    assert none == 0.0
    assert 0 < little < much <= 4


def test_only_the_hole_counts(features: EncoderFeatures) -> None:
    (truth,) = pictures(1)
    changed = truth.copy()
    changed[:, 24:] = 255 - changed[:, 24:]
    near, far = np.zeros((2, 32, 32), np.uint8)
    near[:, 24:], far[:, :4] = 255, 255
    inside, outside = features.distances([changed] * 2, [truth] * 2, [near, far])
    assert inside > 3 * outside


def test_sides_need_not_fit_the_network(features: EncoderFeatures) -> None:
    (truth,) = pictures(1, size=(36, 44))
    assert features.distances([truth], [truth], [np.full((36, 44), 255, np.uint8)]) == [0.0]
    assert features.pooled([truth, truth[:32]]).shape[0] == 2


def test_the_hash_is_that_of_the_weights(features: EncoderFeatures) -> None:
    torch.manual_seed(1)
    assert features.digest == EncoderFeatures(features._autoencoder).digest
    assert features.digest != EncoderFeatures(Autoencoder.mini()).digest


def test_equal_sets_are_zero_apart() -> None:
    one = generator(1, "sets").normal(size=(12, 20))
    estimate = set_distance(one, one)
    assert estimate.mean == pytest.approx(0.0, abs=1e-12)
    assert estimate.num_scored == 12


def test_sets_of_one_kind_are_near_and_others_far() -> None:
    draws = generator(2, "sets")
    true, same = draws.normal(size=(2, 30, 20))
    near, far = set_distance(same, true), set_distance(same + 2, true)
    assert near.mean is not None
    assert near.stderr is not None
    assert far.mean is not None
    assert abs(near.mean) < 3 * near.stderr + 0.02
    assert far.mean > 0.3


def test_the_number_of_pictures_hardly_biases_it() -> None:
    for num in (24, 60):
        values = [
            set_distance(*generator(3, "bias", num, draw).normal(size=(2, num, 10))).mean
            for draw in range(60)
        ]
        assert abs(float(np.mean([value for value in values if value is not None]))) < 0.01, num


def test_two_pictures_are_no_set() -> None:
    assert set_distance(np.zeros((2, 3)), np.ones((2, 3))) == (None, None, 2, 0)
