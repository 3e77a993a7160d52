import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dreamomni.errors import ModelError
from dreamomni.inference import loading
from dreamomni.inference.loading import hash_model, packaged_models, resolve_model


@pytest.fixture
def model(tiny_model_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model_dir, tmp_path / "model"))


def test_a_complete_folder_is_found_by_its_path(model: Path) -> None:
    assert resolve_model(model) == model
    assert resolve_model(str(model)) == model


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "say a packaged model"),
        ("no-such-model", "there is no model 'no-such-model'"),
        ("2.5b", "there is no model"),
        ("owner/no-such-model", "hub cannot be reached"),
        ("/etc/hostname", "is a file"),
    ],
)
def test_a_name_that_leads_nowhere_gets_a_sentence(name: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        resolve_model(name)


def test_a_folder_that_is_no_model_lists_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model_index.json, transformer/config.json.*card.json") as caught:
        resolve_model(tmp_path)
    assert "\n" not in str(caught.value)


def _other_pipeline(folder: Path) -> None:
    _change_index(folder, _class_name="FluxPipeline")


def _foreign_class(folder: Path) -> None:
    _change_index(folder, transformer=["os", "system"])


def _change_index(folder: Path, **changes: object) -> None:
    path = folder / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_other_pipeline, "holds a FluxPipeline"),
        (_foreign_class, r"asks for \['os', 'system'\]"),
        (lambda folder: (folder / "model_index.json").write_text("{"), "is not JSON"),
        (lambda folder: (folder / "model_index.json").write_text("[]"), "it is a list"),
        (lambda folder: (folder / "card.json").unlink(), "lacks card.json"),
        (lambda folder: shutil.rmtree(folder / "vae"), r"lacks vae/config.json, vae/\*.safetensors"),
    ],
)
def test_an_incomplete_or_foreign_model_is_refused(
    model: Path, damage: Callable[[Path], object], words: str
) -> None:
    damage(model)
    with pytest.raises(ModelError, match=words):
        resolve_model(model)


def test_the_hash_tells_weights_apart_and_not_folders(model: Path, tiny_model_dir: Path) -> None:
    assert hash_model(model) == hash_model(tiny_model_dir)
    weights = next((model / "vae").glob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert hash_model(model) != hash_model(tiny_model_dir)


def test_hashes_of_large_files_are_remembered_and_forgotten_with_the_file(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fresh = hash_model(model)
    monkeypatch.setattr(loading, "_CACHED_HASH_BYTES", 0)
    assert hash_model(model) == fresh
    assert len(list((tmp_path / "cache").rglob("*.json"))) == len(loading.weight_files(model))
    assert hash_model(model) == fresh
    weights = next((model / "vae").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes() + b" ")
    assert hash_model(model) != fresh


def test_packaged_models_are_complete() -> None:
    for name, folder in packaged_models().items():
        assert resolve_model(name) == folder
