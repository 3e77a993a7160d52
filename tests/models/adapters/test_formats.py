"""Files of three formats: what is written is read again, and nothing changes what a LoRA adds."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from diffusers import FluxTransformer2DModel
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny_loras import flux_output, random_lora, tiny_dreamomni, tiny_flux
from torch import Tensor

from dreamomni.models.adapters import FORMATS, activate, attach, read_adapter, write_adapter
from dreamomni.models.adapters.attach import linear_layers
from dreamomni.models.adapters.fusing import to_original, to_parts
from dreamomni.models.adapters.reading import METADATA_KEY, parse_adapter
from dreamomni.models.adapters.weights import AdapterWeights, LowRank
from dreamomni.models.adapters.writing import to_tensors

D = 8
"""Width of the made-up layers."""
FUSED = {
    "double_blocks.3.img_attn.qkv": [f"transformer_blocks.3.attn.{n}" for n in ("to_q", "to_k", "to_v")],
    "double_blocks.3.txt_attn.qkv": [f"transformer_blocks.3.attn.add_{n}_proj" for n in "qkv"],
    "single_blocks.0.linear1": [
        *(f"single_transformer_blocks.0.{n}" for n in ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"))
    ],
}


@pytest.fixture(scope="module")
def flux() -> FluxTransformer2DModel:
    return tiny_flux()


def deltas(layers: Mapping[str, LowRank]) -> dict[str, Tensor]:
    """What each layer adds, without those that add nothing."""
    found = {path: layer.delta for path, layer in layers.items()}
    return {path: delta for path, delta in found.items() if delta.any()}


def assert_same(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], *, exactly: bool = True) -> None:
    assert ours.keys() == theirs.keys()
    for path, delta in ours.items():
        torch.testing.assert_close(
            theirs[path], delta, atol=0 if exactly else 1e-6, rtol=0 if exactly else 1e-5
        )


def layer(seed: int, inputs: int, outputs: int, rank: int, alpha: float, *, sparse: bool = False) -> LowRank:
    g = torch.Generator().manual_seed(seed)
    down, up = torch.randn(rank, inputs, generator=g), torch.randn(outputs, rank, generator=g)
    return LowRank(down, up * (torch.rand(outputs, rank, generator=g) > 0.5) if sparse else up, alpha)


part = st.tuples(
    st.integers(0, 99), st.sampled_from([1, 2, 5]), st.sampled_from([0.5, 1.0, 2.0]), st.booleans()
)


@given(
    st.sampled_from(sorted(FUSED)),
    st.lists(st.none() | part, min_size=4, max_size=4),
    st.booleans(),
)
def test_merging_and_splitting_change_no_sum(
    original: str, parts: list[tuple[int, int, float, bool] | None], one_scale: bool
) -> None:
    layers = {}
    for path, own in zip(FUSED[original], parts, strict=False):
        if own is None:
            continue
        seed, rank, scale, sparse = own
        outputs = 4 * D if path.endswith("proj_mlp") else D
        layers[path] = layer(seed, D, outputs, rank, rank * (1.0 if one_scale else scale), sparse=sparse)
    if not layers:
        return
    merged = to_original(layers)
    assert merged.keys() == {original}
    sizes = [4 * D if path.endswith("proj_mlp") else D for path in FUSED[original]]
    rows = merged[original].delta.split(sizes)
    whole = {path: delta for path, delta in zip(FUSED[original], rows, strict=True) if delta.any()}
    # Scales are powers of two here, so that nothing is rounded.
    assert_same(deltas(layers), whole)
    again = to_parts(merged)
    assert_same(deltas(layers), deltas(again))
    for path, found in again.items():
        if not any(own is not None and own[3] for own in parts):  # with zeros, columns may leave
            assert found.rank in (layers[path].rank, merged[original].rank)


@given(
    st.integers(1, 6), st.integers(0, 99), st.sampled_from(sorted(FUSED)), st.sampled_from([0.25, 1.0, 3.0])
)
def test_a_fused_layer_comes_back_as_it_was(rank: int, seed: int, original: str, scale: float) -> None:
    outputs = 7 * D if "single" in original else 3 * D
    fused = {original: layer(seed, D, outputs, rank, scale * rank)}
    split = to_parts(fused)
    assert list(split) == FUSED[original]
    assert {own.rank for own in split.values()} == {rank}
    again = to_original(split)[original]
    assert torch.equal(again.down, fused[original].down)
    assert torch.equal(again.up, fused[original].up)
    assert again.alpha == fused[original].alpha


@given(
    st.sampled_from(["kohya", "comfyui", "diffusers"]),
    st.lists(st.sampled_from([1, 2, 4, 8]), min_size=1, max_size=3),
    st.sampled_from([None, 1.0, 4.0]),
    st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_there_and_back_is_bit_equal(
    to: str, ranks: list[int], alpha: float | None, dtype: torch.dtype
) -> None:
    """With one scale, as trained files have; ranks may differ."""
    lora = random_lora(_FLUX, ranks=ranks, dtype=dtype)
    if alpha is not None:
        lora = AdapterWeights({p: v._replace(alpha=alpha * v.rank) for p, v in lora.layers.items()})
    tensors, metadata = to_tensors(lora, to)
    again = parse_adapter(tensors, metadata)
    assert again.layers.keys() == lora.layers.keys()
    for path, own in lora.layers.items():
        found = again.layers[path]
        assert torch.equal(found.down, own.down)
        assert torch.equal(found.up, own.up)
        assert found.alpha == pytest.approx(own.alpha)
    assert again.hint == "FLUX.1"


_FLUX = tiny_flux()


@pytest.mark.parametrize("to", FORMATS)
def test_every_layer_of_both_networks_has_a_name(to: str, tmp_path: Path) -> None:
    for network in (_FLUX, tiny_dreamomni()):
        lora = random_lora(network, targets=list(linear_layers(network)), alpha=2.0)
        write_adapter(tmp_path / "lora.safetensors", lora, to=to)
        again = read_adapter(tmp_path / "lora.safetensors")
        assert again.layers.keys() == lora.layers.keys()
        assert_same(deltas(lora.layers), deltas(again.layers), exactly=False)


def test_the_original_names_are_those_of_kohya_and_comfyui(flux: FluxTransformer2DModel) -> None:
    lora = random_lora(flux, targets=list(linear_layers(flux)))
    kohya, comfy = (set(to_tensors(lora, to)[0]) for to in ("kohya", "comfyui"))
    assert {
        "lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight",
        "lora_unet_double_blocks_1_txt_mlp_2.lora_up.weight",
        "lora_unet_double_blocks_0_img_mod_lin.alpha",
        "lora_unet_single_blocks_1_linear1.lora_down.weight",
        "lora_unet_single_blocks_0_linear2.lora_up.weight",
        "lora_unet_final_layer_adaLN_modulation_1.lora_up.weight",
        "lora_unet_guidance_in_in_layer.lora_down.weight",
    } <= kohya
    assert {
        "diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight",
        "diffusion_model.single_blocks.1.modulation.lin.lora_B.weight",
        "diffusion_model.txt_in.alpha",
    } <= comfy
    # diffusers' transformer holds 30 + 9 layers in two blocks of each kind; the original code 10 + 3 of each.
    assert len(kohya) == len(comfy) == 3 * (2 * 10 + 2 * 3 + 10)


def test_diffusers_reads_our_files_and_computes_the_same(
    flux: FluxTransformer2DModel, tmp_path: Path
) -> None:
    cases = {
        "plain": random_lora(flux),
        "alpha": random_lora(flux, alpha=2.0),
        "ranks": random_lora(flux, ranks=(2, 6, 3), targets=["attn.to_q", "proj_out", "ff.net.2"]),
        "both": random_lora(flux, ranks=(2, 6), alpha=1.0, targets=["proj_out", "attn.to_v"]),
    }
    for name, lora in cases.items():
        write_adapter(tmp_path / name / "pytorch_lora_weights.safetensors", lora)
        theirs = tiny_flux()
        theirs.load_lora_adapter(str(tmp_path / name), use_safetensors=True, adapter_name="a")
        ours = tiny_flux()
        attach(ours, lora, "a")
        activate(ours, "a")
        assert torch.equal(flux_output(theirs), flux_output(ours)), name


def test_what_diffusers_writes_is_read_with_its_alpha(tmp_path: Path) -> None:
    from diffusers import FluxPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    model = tiny_flux()
    config = LoraConfig(
        r=4,
        lora_alpha=6,
        target_modules=["attn.to_q", "proj_out"],
        rank_pattern={"^proj_out": 2},
        alpha_pattern={"^proj_out": 3},
        init_lora_weights=False,
    )
    model.add_adapter(config, "a")
    expected = flux_output(model)
    FluxPipeline.save_lora_weights(
        str(tmp_path),
        get_peft_model_state_dict(model, adapter_name="a"),
        transformer_lora_adapter_metadata=config.to_dict() | {"target_modules": ["attn.to_q", "proj_out"]},
    )
    lora = read_adapter(tmp_path)
    assert (lora.layers["proj_out"].rank, lora.layers["proj_out"].alpha) == (2, 3)
    assert lora.layers["transformer_blocks.0.attn.to_q"].scale == 1.5
    ours = tiny_flux()
    attach(ours, lora, "a")
    activate(ours, "a")
    torch.testing.assert_close(flux_output(ours), expected, atol=1e-6, rtol=1e-5)


def test_other_spellings_mean_the_same(flux: FluxTransformer2DModel, tmp_path: Path) -> None:
    lora = random_lora(flux)
    tensors, _ = to_tensors(lora, "diffusers")
    peft = {f"base_model.model.{key.removeprefix('transformer.')}": value for key, value in tensors.items()}
    bare = {key.removeprefix("transformer."): value for key, value in tensors.items()}
    under = {}
    for key, value in tensors.items():
        path, half = key.removeprefix("transformer.").split(".lora_")
        role = {"A.weight": "lora_down.weight", "B.weight": "lora_up.weight"}[half]
        under[f"lora_transformer_{path.replace('.', '_')}.{role}"] = value
    for spelling in (peft, bare, under):
        again = parse_adapter(spelling, {})
        assert again.layers.keys() == lora.layers.keys()
        assert_same(deltas(lora.layers), deltas(again.layers))
    # PEFT's own folder has the alpha in a file beside.
    save_file(peft, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": 2, "use_rslora": True}))
    beside = read_adapter(tmp_path)
    assert {own.scale for own in beside.layers.values()} == {1.0}  # 2 / sqrt(4)
    save_file(tensors, tmp_path / "x.safetensors", metadata={METADATA_KEY: '{"transformer.lora_alpha": 2}'})
    assert {own.scale for own in read_adapter(tmp_path / "x.safetensors").layers.values()} == {0.5}


def test_weights_of_a_text_encoder_are_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    tensors, _ = to_tensors(random_lora(_FLUX), "kohya")
    te = {
        f"lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_{h}.weight": torch.ones(2, 2)
        for h in ("down", "up")
    }
    lora = parse_adapter({**tensors, **te}, {}, "both.safetensors")
    assert lora.left_out == 2
    assert "both.safetensors: 2 weights for a text encoder are left out" in caplog.text
    assert lora.layers.keys() == random_lora(_FLUX).layers.keys()


def test_shared_halves_are_written_apart(tmp_path: Path) -> None:
    fused = {"double_blocks.0.img_attn.qkv": layer(0, 32, 96, 4, 4.0)}
    write_adapter(tmp_path / "x.safetensors", AdapterWeights(to_parts(fused)))
    assert len(load_file(tmp_path / "x.safetensors")) == 6
