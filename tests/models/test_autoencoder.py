import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file

from dreamomni.errors import ModelError
from dreamomni.models.autoencoder import MINI_VAE_CONFIG, Autoencoder

TINY = {**MINI_VAE_CONFIG, "block_out_channels": (8, 8, 16, 16), "norm_num_groups": 4}


@pytest.fixture(scope="module")
def tiny() -> Autoencoder:
    torch.manual_seed(0)
    model = AutoencoderKL.from_config({**TINY, "scaling_factor": 0.3611, "shift_factor": 0.1159}).eval()
    return Autoencoder(model)


@pytest.fixture
def folder(tiny: Autoencoder, tmp_path: Path) -> Path:
    tiny.save_pretrained(tmp_path / "vae")
    return tmp_path


def test_mini_has_the_layout_of_flux() -> None:
    mini = Autoencoder.mini()
    assert (mini.spatial_factor, mini.channels) == (8, 16)
    assert 1.4e6 < sum(p.numel() for p in mini.model.parameters()) < 2.0e6
    assert mini.model.quant_conv is None
    assert mini.model.post_quant_conv is None
    assert mini.model.decoder.mid_block.attentions[0] is not None


@torch.no_grad()
def test_latents_are_raw_latents_shifted_then_scaled(tiny: Autoencoder) -> None:
    pixels = torch.rand(2, 3, 32, 48) * 2 - 1
    raw = tiny.model.encode(pixels).latent_dist
    assert torch.equal(tiny.encode(pixels), (raw.mode() - 0.1159) * 0.3611)
    assert tiny.encode(pixels).shape == (2, 16, 4, 6)
    sampled = tiny.encode(pixels, torch.Generator().manual_seed(3))
    expected = (raw.sample(torch.Generator().manual_seed(3)) - 0.1159) * 0.3611
    torch.testing.assert_close(sampled, expected)


@torch.no_grad()
def test_decode_undoes_the_normalisation(tiny: Autoencoder) -> None:
    raw = torch.randn(1, 16, 4, 4)
    expected = tiny.model.decode(raw).sample
    torch.testing.assert_close(tiny.decode((raw - 0.1159) * 0.3611), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_cached_moments_give_the_latents_of_encode(tiny: Autoencoder) -> None:
    pixels = torch.rand(1, 3, 16, 16)
    assert torch.equal(tiny.latents_from_moments(tiny.encode_moments(pixels)), tiny.encode(pixels))


def test_fitted_normalisation_gives_unit_latents_and_is_saved(tmp_path: Path) -> None:
    mini = Autoencoder(AutoencoderKL.from_config(TINY))
    generator = torch.Generator().manual_seed(0)
    moments = torch.cat([torch.randn(64, 16, 4, 4) * 3 + 2, torch.full((64, 16, 4, 4), -1.0)], dim=1)
    mini.fit_normalisation(moments)
    latents = mini.latents_from_moments(moments, generator)
    assert abs(latents.mean().item()) < 0.02
    assert abs(latents.std().item() - 1) < 0.02
    mini.save_pretrained(tmp_path)
    loaded = Autoencoder.from_pretrained(tmp_path)
    assert (loaded.shift, loaded.scale) == (mini.shift, mini.scale)


def test_latents_that_do_not_vary_cannot_be_normalised() -> None:
    mini = Autoencoder(AutoencoderKL.from_config(TINY))
    with pytest.raises(ModelError, match="variance nan"):
        mini.fit_normalisation(torch.full((2, 32, 1, 1), float("nan")))


@torch.no_grad()
def test_saved_and_loaded_is_bit_equal(tiny: Autoencoder, folder: Path) -> None:
    pixels = torch.rand(1, 3, 16, 16)
    for loaded in (Autoencoder.from_pretrained(folder, "vae"), Autoencoder.from_pretrained(folder / "vae")):
        assert not loaded.model.training
        assert torch.equal(loaded.encode(pixels), tiny.encode(pixels))
    half = Autoencoder.from_pretrained(folder, "vae", torch_dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16


@pytest.mark.parametrize("size", [(12, 16), (16, 4), (0, 16)])
def test_sizes_off_the_grid_are_refused(tiny: Autoencoder, size: tuple[int, int]) -> None:
    with pytest.raises(ModelError, match="multiples of 8"):
        tiny.encode(torch.zeros(1, 3, *size))


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a folder"):
        Autoencoder.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        Autoencoder.from_pretrained(tmp_path)


def test_unknown_hub_id() -> None:
    with pytest.raises(ModelError, match="cannot be loaded as AutoencoderKL"):
        Autoencoder.from_pretrained("nobody/no-such-model")


def test_folder_without_weights(folder: Path) -> None:
    (folder / "vae/diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be loaded"):
        Autoencoder.from_pretrained(folder, "vae")


def test_truncated_weights(folder: Path) -> None:
    path = folder / "vae/diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        Autoencoder.from_pretrained(folder, "vae")


def test_config_that_is_not_json(folder: Path) -> None:
    (folder / "vae/config.json").write_text("{")
    with pytest.raises(ModelError, match="is not JSON"):
        Autoencoder.from_pretrained(folder, "vae")


def test_config_of_another_class(folder: Path) -> None:
    for config in ('{"_class_name": "UNet2DModel"}', "[1]"):
        (folder / "vae/config.json").write_text(config)
        with pytest.raises(ModelError, match="'AutoencoderKL' is needed"):
            Autoencoder.from_pretrained(folder, "vae")


def test_config_of_another_width(folder: Path) -> None:
    path = folder / "vae/config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "latent_channels": 4}))
    with pytest.raises(ModelError):
        Autoencoder.from_pretrained(folder, "vae")


def test_missing_and_non_finite_weights(folder: Path) -> None:
    path = folder / "vae/diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    broken = {name: weight.clone() for name, weight in weights.items()}
    broken["decoder.conv_out.bias"][0] = float("nan")
    save_file(broken, path)
    with pytest.raises(ModelError, match=r"NaN or infinity \(decoder\.conv_out\.bias\)"):
        Autoencoder.from_pretrained(folder, "vae")
    del broken["decoder.conv_out.bias"]
    save_file(broken, path)
    with pytest.raises(ModelError, match=r"lacks 1 weights \(decoder\.conv_out\.bias\)"):
        Autoencoder.from_pretrained(folder, "vae")
