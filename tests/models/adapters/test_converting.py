"""Files converted from the command line, with and without a model to fit."""

from pathlib import Path

import pytest
import torch
from tiny_loras import random_lora, tiny_dreamomni, tiny_flux

from dreamomni.cli.main import main
from dreamomni.models.adapters import WEIGHTS_NAME, read_adapter, write_adapter


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("convert")
    tiny_flux().save_pretrained(path / "flux" / "base" / "transformer")
    tiny_dreamomni().save_pretrained(path / "ours" / "transformer")
    write_adapter(path / "lora" / WEIGHTS_NAME, random_lora(tiny_flux(), ranks=(2, 4), alpha=3.0))
    return path


def test_around_the_formats(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = read_adapter(folder / "lora")
    places = {
        "kohya": tmp_path / "k.safetensors",
        "comfyui": tmp_path / "c.safetensors",
        "diffusers": tmp_path / "d",
    }
    source = folder / "lora"
    for to, place in places.items():
        model = ["--model", str(folder / "flux")] if to == "comfyui" else []
        assert main(["models", "convert-lora", str(source), str(place), "--to", to, *model]) == 0
        source = place
    told = capsys.readouterr().out.splitlines()
    assert told[0] == str(places["kohya"])
    assert told[1] == f"30 layers, ranks 2 to 4, {before.num_parameters:,} weights, FLUX.1"
    assert told[4] == str(places["diffusers"] / WEIGHTS_NAME)
    after = read_adapter(places["diffusers"])
    assert after.layers.keys() == before.layers.keys()
    for path, layer in before.layers.items():
        torch.testing.assert_close(after.layers[path].delta, layer.delta, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("ours", "does not fit DreamOmniTransformer2DModel: 30 of 30 layers do not exist in it"),
        ("nowhere", "nowhere is no model folder: there is no transformer/config.json in it"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_written(
    folder: Path, tmp_path: Path, model: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.safetensors"
    words = [
        "models",
        "convert-lora",
        str(folder / "lora"),
        str(out),
        "--to",
        "kohya",
        "--model",
        str(folder / model),
    ]
    assert main(words) == 2
    assert sentence in capsys.readouterr().err
    assert not out.exists()
