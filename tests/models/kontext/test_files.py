import json
import shutil
from pathlib import Path

import pytest
import torch

from dreamomni.errors import ModelError
from dreamomni.models.kontext.files import find_kontext, is_kontext, missing_files
from dreamomni.models.kontext.loading import PARTS, load_part, load_parts


@pytest.fixture
def copy(tiny_kontext_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_kontext_dir, tmp_path / "kontext"))


def test_a_published_folder_is_found_with_its_base_beside(tiny_kontext_dir: Path) -> None:
    assert is_kontext(str(tiny_kontext_dir))
    files = find_kontext(str(tiny_kontext_dir))
    assert files.base == tiny_kontext_dir / "base"
    assert set(files.adapters) == {"edit", "generate"}
    assert files.vlm == tiny_kontext_dir / "vlm-model"
    assert len(files.weights("transformer")) > 1
    assert [path.parent.name for path in files.weights("generate")] == ["gen_lora"]
    assert find_kontext(str(tiny_kontext_dir), vlm=False).vlm is None


def test_a_base_alone_is_a_model_without_adapters(tiny_kontext_dir: Path) -> None:
    files = find_kontext(str(tiny_kontext_dir / "base"))
    assert (files.adapters, files.vlm) == ({}, None)
    assert missing_files(files.base) == []


def test_the_base_may_be_named_apart(copy: Path, tiny_kontext_dir: Path) -> None:
    shutil.rmtree(copy / "base")
    assert find_kontext(str(copy), str(tiny_kontext_dir / "base")).base == tiny_kontext_dir / "base"
    with pytest.raises(ModelError, match=r"black-forest-labs.*hub cannot be reached.*--base-model"):
        find_kontext(str(copy))
    with pytest.raises(ModelError, match=r"no base model './nowhere'"):
        find_kontext(str(copy), "./nowhere")


def test_names_of_the_hub_need_the_hub() -> None:
    for name in ("kontext", "xiabs/DreamOmni2", "black-forest-labs/FLUX.1-Kontext-dev"):
        assert is_kontext(name)
        with pytest.raises(ModelError, match="hub cannot be reached"):
            find_kontext(name)


def test_a_folder_of_ours_is_no_kontext(tiny_model_dir: Path, tmp_path: Path) -> None:
    assert not is_kontext(str(tiny_model_dir))
    assert not is_kontext(str(tmp_path))
    assert not is_kontext("")
    ours = Path(shutil.copytree(tiny_model_dir, tmp_path / "ours"))
    (ours / "edit_lora").mkdir()
    assert not is_kontext(str(ours))


def test_what_is_missing_is_listed(copy: Path) -> None:
    (copy / "base/tokenizer_2/tokenizer.json").unlink()
    shutil.rmtree(copy / "base/vae")
    words = r"lacks vae/config.json, vae/\*.safetensors, tokenizer_2/tokenizer.json or spiece.model"
    with pytest.raises(ModelError, match=words):
        find_kontext(str(copy))


def test_another_pipeline_is_named(copy: Path) -> None:
    index = copy / "base/model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"_class_name": "FluxFillPipeline"}))
    with pytest.raises(ModelError, match="holds a FluxFillPipeline"):
        find_kontext(str(copy))


def test_an_adapter_folder_without_its_file_is_refused(copy: Path) -> None:
    (copy / "gen_lora/pytorch_lora_weights.safetensors").unlink()
    with pytest.raises(ModelError, match=r"gen_lora lacks pytorch_lora_weights.safetensors"):
        find_kontext(str(copy))


def test_all_parts_load_in_the_dtype_asked_for(tiny_kontext_dir: Path) -> None:
    parts = load_parts(find_kontext(str(tiny_kontext_dir)), torch.bfloat16)
    assert set(parts) == set(PARTS)
    for part in ("transformer", "vae", "text_encoder", "text_encoder_2"):
        assert parts[part].dtype == torch.bfloat16
        assert not parts[part].training


def test_parts_of_different_models_are_refused(copy: Path) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel

    known = json.loads((copy / "base/text_encoder/config.json").read_text())
    wider = CLIPTextConfig(**{**known, "hidden_size": 32, "intermediate_size": 32})
    CLIPTextModel(wider).save_pretrained(str(copy / "base/text_encoder"))
    with pytest.raises(ModelError, match="24 channels of the pooled text and the other parts give 32"):
        load_parts(find_kontext(str(copy)))


def test_a_damaged_helper_is_one_sentence(copy: Path) -> None:
    (copy / "base/tokenizer_2/tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match=r"tokenizer_2 cannot be loaded"):
        load_part(find_kontext(str(copy)), "tokenizer_2")
