"""Every file that is no LoRA, or a damaged one, is refused with one sentence that says so."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_loras import random_lora, tiny_flux
from torch import Tensor

from dreamomni.errors import ModelError
from dreamomni.models.adapters import load_adapter, loaded, read_adapter
from dreamomni.models.adapters.reading import METADATA_KEY
from dreamomni.models.adapters.writing import to_tensors

Tensors = dict[str, Tensor]
Q = "transformer.transformer_blocks.0.attn.to_q"


@pytest.fixture(scope="module")
def good() -> Tensors:
    return to_tensors(random_lora(tiny_flux(), targets=["attn.to_q", "attn.to_k"]), "diffusers")[0]


def with_nan(tensors: Tensors) -> Tensors:
    spoiled = tensors[f"{Q}.lora_A.weight"].clone()
    spoiled[0, 0] = float("nan")
    return {**tensors, f"{Q}.lora_A.weight": spoiled}


def without(key: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name: value for name, value in tensors.items() if name != key}


def plus(**more: Tensor) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {**tensors, **more}


def sd(key: str) -> Tensors:
    return {f"{key}.lora_{half}.weight": torch.ones(4, 4) for half in ("down", "up")}


BAD: dict[str, tuple[Callable[[Tensors], Tensors], str]] = {
    "empty": (lambda tensors: {}, "holds no weights"),
    "nan": (with_nan, r"damaged: 1 of 16 weights hold NaN or infinity \(transformer.*to_q.lora_A.weight\)"),
    "inf": (plus(**{f"{Q}.lora_B.weight": torch.full((32, 4), float("inf"))}), "hold NaN or infinity"),
    "ranks": (
        plus(**{f"{Q}.lora_A.weight": torch.ones(3, 32)}),
        "A has rank 3 and B has rank 4, which must be one number above 0",
    ),
    "no rank": (
        plus(**{f"{Q}.lora_A.weight": torch.ones(0, 32), f"{Q}.lora_B.weight": torch.ones(32, 0)}),
        "A has rank 0 and B has rank 0",
    ),
    "half": (
        without(f"{Q}.lora_B.weight"),
        r"is not complete: 1 of 8 layers have one half only; .*to_q lacks up \(B\)",
    ),
    "odd": (plus(extra=torch.ones(1)), "is not only a LoRA: 1 of 17 keys are no part of one, first extra"),
    "a model": (
        lambda t: {"x_embedder.weight": torch.ones(2, 2)},
        r"no LoRA: 1 of 1 keys .* x_embedder\.weight",
    ),
    "dora": (
        plus(**{f"{Q}.lora_magnitude_vector": torch.ones(32)}),
        "holds DoRA .1 of 17 keys, first .* only plain LoRA",
    ),
    "loha": (lambda t: {"lora_unet_x.hada_w1_a": torch.ones(2, 2)}, "holds LoHa"),
    "lokr": (lambda t: {"lora_unet_x.lokr_w1": torch.ones(2, 2)}, "holds LoKr"),
    "bias": (plus(**{f"{Q}.lora_B.bias": torch.ones(32)}), "holds LoRA with biases"),
    "twice": (
        plus(**{f"{Q}.lora_A.other.weight": torch.ones(4, 32)}),
        "names transformer.*to_q twice: it holds more than one",
    ),
    "two spellings": (
        plus(**sd("lora_transformer_transformer_blocks_0_attn_to_q")),
        "names transformer_blocks.0.attn.to_q twice, in two spellings",
    ),
    "fused and split": (
        plus(
            **{
                "lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": torch.ones(2, 32),
                "lora_unet_double_blocks_0_img_attn_qkv.lora_up.weight": torch.ones(96, 2),
            }
        ),
        "names transformer_blocks.0.attn.to_k twice, in two spellings",
    ),
    "fused sizes": (
        lambda t: {
            "lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": torch.ones(2, 32),
            "lora_unet_double_blocks_0_img_attn_qkv.lora_up.weight": torch.ones(97, 2),
        },
        "double_blocks.0.img_attn.qkv has 97 outputs for 32 inputs, which do not divide",
    ),
    "alpha": (plus(**{f"{Q}.alpha": torch.tensor(float("nan"))}), "hold NaN"),
    "lost alpha": (plus(**{"lora_unet_x.alpha": torch.tensor(1.0)}), "1 alphas have no layer, first lora_un"),
    "conv": (
        plus(**{f"{Q}.lora_A.weight": torch.ones(4, 32, 3, 3)}),
        r"has a weight of shape \(4, 32, 3, 3\) and type float32",
    ),
    "integers": (plus(**{f"{Q}.lora_A.weight": torch.ones(4, 32, dtype=torch.int8)}), "type int8"),
    "text only": (lambda t: sd("lora_te1_text_model_x"), "holds 2 weights, all for a text encoder"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_bad_content_is_refused(name: str, good: Tensors, tmp_path: Path) -> None:
    change, sentence = BAD[name]
    path = tmp_path / "lora.safetensors"
    save_file(change(dict(good)), path)
    model = tiny_flux(num_layers=1)
    with pytest.raises(ModelError, match=sentence) as caught:
        load_adapter(model, path, "edit")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert loaded(model) == ()


@pytest.mark.parametrize(
    ("key", "known"),
    [
        ("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q", "Stable Diffusion"),
        ("transformer.transformer_blocks.0.img_mlp.net.2", "Qwen-Image"),
        ("diffusion_model.blocks.0.self_attn.q", "Wan"),
        ("base_model.model.model.layers.0.self_attn.q_proj", "a language model"),
        ("lora_unet_stages_0_0_attention_to_q", "DreamOmni"),
    ],
)
def test_loras_of_other_models_are_recognised(key: str, known: str, tmp_path: Path) -> None:
    save_file(sd(key), tmp_path / "lora.safetensors")
    with pytest.raises(ModelError) as caught:
        load_adapter(tiny_flux(), tmp_path, "edit")
    assert "1 of 1 layers do not exist in it, first " in str(caught.value)
    assert str(caught.value).endswith(f"by its names it is for {known}")


def test_paths_and_bytes(good: Tensors, tmp_path: Path) -> None:
    def refused(path: Path, sentence: str) -> None:
        with pytest.raises(ModelError, match=sentence) as caught:
            read_adapter(path)
        assert str(path) in str(caught.value)

    refused(tmp_path / "nowhere.safetensors", "there is no LoRA")
    refused(tmp_path, "holds no safetensors file")
    (tmp_path / "a.safetensors").write_bytes(b"")
    refused(tmp_path / "a.safetensors", "is empty: fetch it again")
    for name in ("zipped.safetensors", "old.bin"):
        torch.save(good, tmp_path / name, _use_new_zipfile_serialization=name != "old.bin")
        refused(tmp_path / name, "is a pickle, which can run code when it is opened")
    save_file(good, tmp_path / "good.safetensors")
    whole = (tmp_path / "good.safetensors").read_bytes()
    for cut in (5, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.safetensors").write_bytes(whole[:cut])
        refused(tmp_path / "cut.safetensors", "is no safetensors file, or is damaged")
    refused(tmp_path, "holds [3-9] safetensors files, so say which")
    folder = tmp_path / "bin"
    folder.mkdir()
    torch.save(good, folder / "pytorch_lora_weights.bin")
    refused(
        folder, r"holds no safetensors file \(only pytorch_lora_weights.bin, a pickle, which is not opened"
    )
    save_file(good, tmp_path / "head.safetensors", metadata={METADATA_KEY: "{"})
    refused(tmp_path / "head.safetensors", "has settings in its header that cannot be read")
    save_file(good, tmp_path / "head.safetensors", metadata={METADATA_KEY: '{"alpha_pattern": {"(": 1}}'})
    refused(tmp_path / "head.safetensors", "has settings in its header that cannot be read")
