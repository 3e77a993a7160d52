"""`models check`: every way in which a folder can be wrong is named, with what to do."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dreamomni.errors import ModelError
from dreamomni.inference.checking import Finding, check_model

LORA = "edit_lora/pytorch_lora_weights.safetensors"


def states(findings: list[Finding]) -> dict[str, str]:
    return {finding.part: finding.state for finding in findings}


def change(path: Path, edit: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    save_file(edit(load_file(path)), path)


def first_shard(folder: Path) -> Path:
    return sorted(folder.glob("*.safetensors"))[0]


def spoil(path: Path) -> None:
    def with_nan(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        next(iter(tensors.values())).view(-1)[0] = float("nan")
        return tensors

    change(path, with_nan)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def pickled(folder: Path) -> None:
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"no")


def another_class(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"_class_name": "SD3Transformer2DModel"}))


def narrower(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_single_layers": 1, "num_layers": 3}))


def other_rank(path: Path) -> None:
    change(path, lambda tensors: {k: v[:2] if "lora_A" in k else v for k, v in tensors.items()})


def other_model(path: Path) -> None:
    change(
        path,
        lambda tensors: {
            k.replace("transformer_blocks.1", "transformer_blocks.9"): v for k, v in tensors.items()
        },
    )


DAMAGE: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no vae": (lambda f: shutil.rmtree(f / "base/vae"), "vae", "it lacks vae/config.json"),
    "cut short": (
        lambda f: cut(first_shard(f / "base/text_encoder")),
        "text_encoder",
        "damaged or cut short",
    ),
    "a shard is gone": (
        lambda f: first_shard(f / "base/transformer").unlink(),
        "transformer",
        "1 weight files are missing: diffusion_pytorch_model-00001",
    ),
    "NaN": (lambda f: spoil(first_shard(f / "base/vae")), "vae", "1 weights hold NaN"),
    "pickles": (
        lambda f: pickled(f / "base/text_encoder_2"),
        "text_encoder_2",
        "lacks text_encoder_2/*.safe",
    ),
    "another class": (
        lambda f: another_class(f / "base/transformer"),
        "transformer",
        "SD3Transformer2DModel",
    ),
    "other layers": (lambda f: narrower(f / "base/transformer"), "transformer", "weights are missing"),
    "tokenizer": (
        lambda f: (f / "base/tokenizer_2/tokenizer.json").write_text("{"),
        "tokenizer_2",
        "cannot be loaded",
    ),
    "lora without file": (lambda f: (f / LORA).unlink(), "edit_lora", "edit_lora"),
    "lora with NaN": (lambda f: spoil(f / LORA), "edit_lora", "NaN"),
    "lora of unequal rank": (lambda f: other_rank(f / LORA), "edit_lora", "rank"),
    "lora of another model": (lambda f: other_model(f / LORA), "edit_lora", "do not exist in it"),
    "vlm without processor": (
        lambda f: (f / "vlm-model/preprocessor_config.json").unlink(),
        "vlm-model",
        "not its processor",
    ),
    "vlm cut short": (lambda f: cut(first_shard(f / "vlm-model")), "vlm-model", "damaged or cut short"),
}


def test_a_good_folder_is_good_in_every_part(tiny_kontext_dir: Path) -> None:
    findings = check_model(str(tiny_kontext_dir))
    assert set(states(findings).values()) == {"ok"}
    parts = {finding.part: finding.found for finding in findings}
    assert parts["edit_lora"] == "LoRA 'edit' of rank 4 on 30 layers"
    assert parts["vlm-model"].startswith("qwen2_5_vl, ")
    assert len(findings) == 12


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_found_where_it_is_and_nowhere_else(
    case: str, tiny_kontext_dir: Path, tmp_path: Path
) -> None:
    damage, part, words = DAMAGE[case]
    folder = Path(shutil.copytree(tiny_kontext_dir, tmp_path / "model"))
    damage(folder)
    findings = check_model(str(folder))
    wrong = [finding for finding in findings if finding.state == "wrong"]
    assert [finding.part for finding in wrong] == [part]
    assert words in wrong[0].found
    assert wrong[0].remedy


def test_headers_alone_do_not_notice_nan(tiny_kontext_dir: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_kontext_dir, tmp_path / "model"))
    spoil(first_shard(folder / "base/vae"))
    assert states(check_model(str(folder), finite=False))["vae"] == "ok"
    assert states(check_model(str(folder)))["vae"] == "wrong"


def test_what_a_model_may_lack_is_absent_and_the_base_is_not_among_it(
    tiny_kontext_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "vlm-model").mkdir()
    found = {finding.part: finding for finding in check_model(str(tmp_path), str(tiny_kontext_dir / "base"))}
    assert (found["edit_lora"].state, found["vlm-model"].state) == ("absent", "wrong")
    assert "hf download xiabs/DreamOmni2" in found["edit_lora"].remedy
    alone = {finding.part: finding for finding in check_model(str(tmp_path))}
    assert alone["base"].state == "wrong"
    assert "--base-model" in alone["base"].remedy


def test_parts_of_two_models_do_not_go_together(tiny_kontext_dir: Path, tmp_path: Path) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel

    folder = Path(shutil.copytree(tiny_kontext_dir / "base", tmp_path / "model"))
    known = json.loads((folder / "text_encoder/config.json").read_text())
    wider = CLIPTextConfig(**{**known, "hidden_size": 32, "intermediate_size": 32})
    CLIPTextModel(wider).save_pretrained(str(folder / "text_encoder"))
    found = {finding.part: finding for finding in check_model(str(folder))}
    assert found["text_encoder"].state == "ok"
    assert "24 channels of the pooled text" in found["parts together"].found


def test_our_own_folders_are_checked_too(tiny_model_dir: Path, tmp_path: Path) -> None:
    assert set(states(check_model(str(tiny_model_dir))).values()) == {"ok", "absent"}
    folder = Path(shutil.copytree(tiny_model_dir, tmp_path / "ours"))
    spoil(first_shard(folder / "transformer"))
    (folder / "card.json").unlink()
    wrong = [part for part, state in states(check_model(str(folder))).items() if state == "wrong"]
    assert wrong == ["model_index.json", "card.json", "transformer"]


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds nothing of a model"):
        check_model(str(tmp_path))
    with pytest.raises(ModelError, match="there is no folder 'nowhere'"):
        check_model("nowhere")
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    with pytest.raises(ModelError, match="holds a StableDiffusionPipeline"):
        check_model(str(tmp_path))
