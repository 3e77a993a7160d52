"""LoRAs on live networks: what is on, what is off, and that the base is never touched."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import FluxTransformer2DModel
from peft.tuners.lora import LoraLayer
from tiny_loras import dreamomni_output, flux_output, random_lora, tiny_dreamomni, tiny_flux
from torch import Tensor, nn

from dreamomni.errors import ConfigError, ModelError
from dreamomni.models.adapters import (
    activate,
    active,
    add_adapter,
    attach,
    detached,
    load_adapter,
    loaded,
    unload,
    using,
    weights_of,
    write_adapter,
)
from dreamomni.models.adapters.attach import find_targets, linear_layers
from dreamomni.models.adapters.names import DREAMOMNI, FLUX, family_of, recognise

NETWORKS = {"flux": (tiny_flux, flux_output), "dreamomni": (tiny_dreamomni, dreamomni_output)}


@pytest.fixture(params=sorted(NETWORKS))
def network(request: pytest.FixtureRequest) -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    build, output = NETWORKS[request.param]
    return build(), output


def test_switched_off_the_output_is_that_of_the_base_bit_for_bit(network) -> None:
    model, output = network
    base = output(model)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    attach(model, random_lora(model), "edit")
    attach(model, random_lora(model, seed=2, ranks=(2, 5)), "generate")
    assert (loaded(model), active(model)) == (("edit", "generate"), None)
    assert torch.equal(output(model), base)
    activate(model, "edit")
    edit = output(model)
    activate(model, "generate")
    generate = output(model)
    for one, other in ((edit, base), (generate, base), (edit, generate)):
        assert (one - other).abs().max() > 1e-3
    for name, expected in (("edit", edit), (None, base), ("generate", generate), ("edit", edit)):
        activate(model, name)
        assert active(model) == name
        assert torch.equal(output(model), expected)
    unload(model)
    assert torch.equal(output(model), base)
    assert model.state_dict().keys() == weights.keys()
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert not any(isinstance(module, LoraLayer) for module in model.modules())


def test_an_active_lora_computes_what_its_sum_with_the_weights_does(network) -> None:
    model, output = network
    lora = random_lora(model, ranks=(3, 8), alpha=2.0)
    fused = copy.deepcopy(model)
    with torch.no_grad():
        for path, layer in lora.layers.items():
            fused.get_submodule(path).weight.add_(layer.delta)
    attach(model, lora, "edit")
    activate(model, "edit")
    torch.testing.assert_close(output(model), output(fused), atol=2e-5, rtol=1e-4)


def test_one_of_two_can_leave(network) -> None:
    model, output = network
    base = output(model)
    attach(model, random_lora(model, targets=[next(iter(linear_layers(model)))]), "edit")
    attach(model, random_lora(model, seed=2), "generate")
    activate(model, "generate")
    expected = output(model)
    unload(model, "edit")
    assert (loaded(model), active(model)) == (("generate",), "generate")
    assert torch.equal(output(model), expected)
    attach(model, random_lora(model, seed=3), "edit")  # its name is free again
    unload(model, "generate")
    assert (loaded(model), active(model)) == (("edit",), None)
    assert torch.equal(output(model), base)
    unload(model, "edit")
    assert loaded(model) == ()


def test_using_gives_back_what_was_on_also_after_an_error() -> None:
    model = tiny_flux()
    attach(model, random_lora(model), "edit")
    attach(model, random_lora(model), "generate")
    activate(model, "edit")
    with using(model, "generate"):
        assert active(model) == "generate"
        with using(model, None):
            assert active(model) is None
    with pytest.raises(KeyError), using(model, None):
        raise KeyError
    assert active(model) == "edit"


def test_what_is_trainable_stays_so(network) -> None:
    model, _ = network
    model.requires_grad_(False)
    attach(model, random_lora(model), "edit")
    assert not any(weight.requires_grad for weight in model.parameters())
    activate(model, "edit")
    activate(model, None)
    assert not any(weight.requires_grad for weight in model.parameters())
    unload(model)
    assert not any(weight.requires_grad for weight in model.parameters())

    model.requires_grad_(True)
    attach(model, random_lora(model), "edit")
    activate(model, "edit")
    assert {name for name, weight in model.named_parameters() if not weight.requires_grad} == {
        name for name, _ in model.named_parameters() if "lora_" in name
    }


def test_a_new_one_changes_nothing_until_it_learns(network) -> None:
    model, output = network
    base = output(model)
    model.to(torch.bfloat16)
    paths = add_adapter(model, "edit", rank=3, alpha=6)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert len(trained) == 2 * len(paths)
    assert {p.dtype for p in trained.values()} == {torch.float32}
    model.float()
    assert {layer.scale for layer in weights_of(model, "edit").layers.values()} == {2.0}
    activate(model, None)
    without = output(model)
    activate(model, "edit")
    assert torch.equal(output(model), without)
    assert (without - base).abs().max() < 0.1
    for p in trained.values():
        p.data.add_(0.1)
    assert (output(model) - without).abs().max() > 1e-3


def test_saved_without_what_is_on_it(network, tmp_path: Path) -> None:
    model, output = network
    names = set(model.state_dict())
    add_adapter(model, "edit", rank=2)
    attach(model, random_lora(model, ranks=(2, 3), alpha=1.5), "generate")
    activate(model, "generate")
    expected, trained = output(model), {n for n, p in model.named_parameters() if p.requires_grad}
    with detached(model):
        assert set(model.state_dict()) == names
        model.save_pretrained(tmp_path)
    assert (loaded(model), active(model)) == (("edit", "generate"), "generate")
    assert torch.equal(output(model), expected)
    assert {n for n, p in model.named_parameters() if p.requires_grad} == trained
    again, report = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    unload(model)
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


def test_a_file_in_16_bits_takes_on_the_type_of_the_network(network, tmp_path: Path) -> None:
    model, output = network
    lora = random_lora(model).to(torch.bfloat16)
    write_adapter(tmp_path / "lora.safetensors", lora)
    load_adapter(model, tmp_path / "lora.safetensors", "edit")
    activate(model, "edit")
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    unload(model)
    attach(model, lora.to(torch.float32), "same")
    activate(model, "same")
    expected = output(model)
    unload(model)
    load_adapter(model, tmp_path, "edit")
    activate(model, "edit")
    assert torch.equal(output(model), expected)


def test_patterns_of_one_layer_do_not_fit_another(tmp_path: Path) -> None:
    """`proj_out` ends the paths of all single blocks too, which have other sizes, ranks and alphas."""
    model = tiny_flux()
    lora = random_lora(model, ranks=(2, 3, 5), targets=["proj_out", "attn.to_q"])
    assert {"proj_out", "single_transformer_blocks.0.proj_out"} <= lora.layers.keys()
    attach(model, lora, "edit")
    again = weights_of(model, "edit")
    assert again.layers.keys() == lora.layers.keys()
    for path, layer in again.layers.items():
        assert torch.equal(layer.down, lora.layers[path].down)
        assert torch.equal(layer.up, lora.layers[path].up)
        assert (layer.rank, layer.alpha) == (lora.layers[path].rank, lora.layers[path].alpha)
    only = random_lora(model, targets=["norm_out.linear"])
    attach(model, only, "other")
    assert weights_of(model, "other").layers.keys() == {"norm_out.linear"}


def test_every_linear_layer_has_a_name_in_its_family() -> None:
    assert {recognise(path).family for path in linear_layers(tiny_flux())} == {"flux"}
    assert {recognise(path).family for path in linear_layers(tiny_dreamomni())} == {"dreamomni"}
    assert family_of(linear_layers(tiny_dreamomni())) == "dreamomni"
    paths = set(linear_layers(tiny_flux()))
    filled = {template.replace("{}", "0") for template in FLUX}
    assert filled <= paths
    from dreamomni.models.presets import build_transformer

    ours = set(linear_layers(tiny_dreamomni())) | set(linear_layers(build_transformer("tiny", variant="v2")))
    assert {template.replace("{}", "0") for template in DREAMOMNI} <= ours
    for path in (*paths, *ours):
        assert recognise(path.replace(".", "_")).path == path


def test_targets_fit_or_are_named() -> None:
    model = tiny_flux()
    assert find_targets(model, ["attn.to_q"]) == (
        *(f"transformer_blocks.{n}.attn.to_q" for n in range(2)),
        *(f"single_transformer_blocks.{n}.attn.to_q" for n in range(2)),
    )
    with pytest.raises(ConfigError) as caught:
        find_targets(model, ["attn.to_q", "attention.to_q"])
    assert "1 of 2 targets fit no linear layer of FluxTransformer2DModel: attention.to_q" in str(caught.value)
    assert all(f"{name}," in str(caught.value) for name in ("attn.to_out.0", "ff.net.0.proj", "x_embedder"))
    assert "blocks.0" not in str(caught.value)
    attach(model, random_lora(model), "edit")
    assert find_targets(model) == find_targets(tiny_flux())


def test_refused_with_a_sentence(tmp_path: Path) -> None:
    flux, ours = tiny_flux(), tiny_dreamomni()
    attach(flux, random_lora(flux), "edit")
    with pytest.raises(ModelError, match="there is a LoRA 'edit' on the network already"):
        attach(flux, random_lora(flux), "edit")
    with pytest.raises(ModelError, match="no name for a LoRA"):
        attach(flux, random_lora(flux), "a.b")
    with pytest.raises(ModelError, match="no LoRA 'gen' on the network: there are edit"):
        activate(flux, "gen")
    with pytest.raises(ModelError, match="no LoRA 'edit' on the network: none is loaded"):
        activate(ours, "edit")
    with pytest.raises(ModelError, match="no LoRA 'gen' to unload: there are edit"):
        unload(flux, "gen")
    write_adapter(tmp_path / "ours.safetensors", random_lora(ours))
    with pytest.raises(ModelError) as caught:
        load_adapter(flux, tmp_path / "ours.safetensors", "ours")
    assert "32 of 32 layers do not exist in it, first stages.0.0.attention.to_k" in str(caught.value)
    assert str(caught.value).endswith("by its names it is for DreamOmni")
    deeper = tiny_flux(num_layers=3)
    with pytest.raises(
        ModelError, match=r"12 of 42 layers do not exist in it, first transformer_blocks\.2\.attn"
    ):
        attach(flux, random_lora(deeper), "deeper")
    wider = tiny_flux(num_attention_heads=4)
    with pytest.raises(
        ModelError, match=r"another size: 30 of 30 layers differ, first .* 64 -> 64 .* 32 -> 32"
    ):
        attach(flux, random_lora(wider), "wider")
    assert loaded(flux) == ("edit",)
    activate(ours, None)  # nothing is on where nothing is
    assert isinstance(flux, FluxTransformer2DModel)
