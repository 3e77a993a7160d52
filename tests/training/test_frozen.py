"""Frozen networks say the same of a sample in any company."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_dit import build_parts

from dreamomni.training.frozen import (
    FEATURES_DTYPE,
    MOMENTS_DTYPE,
    FrozenEncoders,
    Source,
    batch_inputs,
    hash_weights,
    load_autoencoder,
    load_text_encoder,
    num_image_tokens,
    pad_features,
    prompt_inputs,
)

CPU = torch.device("cpu")
WORDS = ["", "a heart", "add a red star", "replace the fish with a green tree " * 4]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_parts(tmp_path_factory.mktemp("parts"))


@pytest.fixture(scope="module")
def frozen(folder: Path) -> FrozenEncoders:
    return FrozenEncoders(
        load_autoencoder(str(folder / "vae"), torch.float32, CPU),
        load_text_encoder(str(folder / "vlm"), torch.float32, CPU),
    )


def pictures(count: int, height: int = 32, width: int = 48) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height + width)
    return torch.randint(256, (count, height, width, 3), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("size", [(32, 48), (64, 64), (128, 32)])
def test_moments_do_not_depend_on_the_company(frozen: FrozenEncoders, size: tuple[int, int]) -> None:
    some = pictures(70, *size)
    moments = frozen.moments(some)
    assert moments.dtype == MOMENTS_DTYPE
    order = torch.from_numpy(np.random.default_rng(0).permutation(70))
    assert torch.equal(frozen.moments(some[order][:9]), moments[order][:9])
    assert torch.equal(frozen.moments(some[33:34]), moments[33:34])
    exact = frozen.autoencoder.encode_moments(some[:2].permute(0, 3, 1, 2) / 127.5 - 1)
    torch.testing.assert_close(moments[:2].float(), exact, rtol=2e-3, atol=2e-3)


def test_features_do_not_depend_on_the_company(frozen: FrozenEncoders) -> None:
    some = pictures(40)
    inputs = [
        prompt_inputs(frozen.encoder, WORDS[number % 4], list(some[number : number + number % 3]))
        for number in range(36)
    ]
    features = frozen.features(inputs)
    order = np.random.default_rng(1).permutation(36)
    for number, row in zip(
        order[:11], frozen.features([inputs[number] for number in order[:11]]), strict=True
    ):
        assert torch.equal(row, features[number])
    assert {row.dtype for row in features} == {FEATURES_DTYPE}
    for one, row in zip(inputs, features, strict=True):
        exact = frozen.encoder.encode(one).hidden_states[0]
        assert row.shape == exact.shape
        torch.testing.assert_close(row.float(), exact, rtol=2e-2, atol=2e-2)


def test_features_of_images_do_not_depend_on_the_words(frozen: FrozenEncoders) -> None:
    images = list(pictures(2))
    with_words, without = (prompt_inputs(frozen.encoder, words, images) for words in (WORDS[3], ""))
    count = num_image_tokens(with_words)
    assert count == num_image_tokens(without) == without["input_ids"].shape[1]
    assert num_image_tokens(prompt_inputs(frozen.encoder, WORDS[1], [])) == 0
    rows = frozen.features([with_words, without])
    torch.testing.assert_close(rows[0][:count].float(), rows[1].float(), rtol=2e-2, atol=2e-2)


def test_images_of_several_sizes_are_read(frozen: FrozenEncoders) -> None:
    mixed = [pictures(1, 32, 48)[0], pictures(1, 64, 32)[0]]
    inputs = batch_inputs(frozen.encoder, ["a heart"] * 2, [mixed, mixed[:1]])
    assert inputs["image_grid_thw"].shape == (3, 3)
    one = batch_inputs(frozen.encoder, ["a heart"], [mixed])
    assert torch.equal(inputs["pixel_values"][: len(one["pixel_values"])], one["pixel_values"])
    fast = batch_inputs(frozen.encoder, ["a heart"], [mixed[:1]])
    torch.testing.assert_close(one["pixel_values"][: len(fast["pixel_values"])], fast["pixel_values"])
    assert not frozen.encoder.reads(40, 48)


def test_padding_is_zero_and_masked() -> None:
    hidden, mask = pad_features([torch.ones(2, 3), torch.ones(4, 3)])
    assert hidden.shape == (2, 4, 3)
    assert hidden.sum() == 18
    assert mask.tolist() == [[True, True, False, False], [True] * 4]


def test_sources_are_folders_or_hub_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "vae" / "export").mkdir(parents=True)
    assert Source.parse("runs/vae/export") == ("runs/vae/export", None)
    assert Source.parse("owner/name") == ("owner/name", None)
    assert Source.parse("owner/name/vae") == ("owner/name", "vae")
    assert Source.parse("/a/b/c") == ("/a/b/c", None)
    assert Source.parse("runs/mistyped/export") == ("./runs/mistyped/export", None)


def test_hashes_follow_the_weights(folder: Path, tmp_path: Path) -> None:
    assert hash_weights("owner/name") == "owner/name"
    assert hash_weights(str(folder / "vae")) == hash_weights(str(folder / "vae"))
    assert hash_weights(str(folder / "vae")) != hash_weights(str(folder / "vlm"))
