"""Modulation before the loop: the same numbers as the plain network, adapters included, and refusals."""

from typing import Any

import pytest
import torch
from diffusers import FluxTransformer2DModel
from peft import LoraConfig
from torch import Tensor, nn

from dreamomni.errors import ModelError
from dreamomni.models.modulation import Conditions, ModulationTable, PrecomputedModulation
from dreamomni.models.presets import build_transformer

SIGMAS = (1.0, 0.81, 0.5, 0.07)
FLUX = {
    "in_channels": 16,
    "num_layers": 2,
    "num_single_layers": 2,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": 24,
    "pooled_projection_dim": 20,
    "axes_dims_rope": (4, 6, 6),
}


def flux(*, guidance: bool = True) -> FluxTransformer2DModel:
    torch.manual_seed(0)
    return FluxTransformer2DModel(**FLUX, guidance_embeds=guidance).eval()


def own(**changes: Any) -> nn.Module:
    torch.manual_seed(0)
    model = build_transformer("tiny", **changes).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def flux_conditions(batch: int, guidance: bool = True) -> Conditions:
    torch.manual_seed(3)
    scale = torch.linspace(2.5, 4.0, batch) if guidance else None
    return Conditions(torch.randn(batch, 20), scale)


@torch.no_grad()
def run_flux(model: Any, conditions: Conditions) -> list[Tensor]:
    """Every step's velocity on the same tokens."""
    assert conditions.pooled is not None
    batch = len(conditions.pooled)
    generator = torch.Generator().manual_seed(5)
    tokens = torch.randn(batch, 12, 16, generator=generator).to(model.dtype)
    text = torch.randn(batch, 7, 24, generator=generator).to(model.dtype)
    ids = torch.cat([torch.zeros(12, 1), torch.randint(0, 4, (12, 2), generator=generator)], dim=1)
    return [
        model(
            hidden_states=tokens,
            encoder_hidden_states=text,
            pooled_projections=conditions.pooled,
            timestep=torch.full((batch,), sigma, dtype=model.dtype),
            guidance=conditions.guidance,
            img_ids=ids,
            txt_ids=torch.zeros(7, 3),
        ).sample
        for sigma in SIGMAS
    ]


@torch.no_grad()
def run_own(model: Any, batch: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    latents, image = (torch.randn(batch, 16, side, 8, generator=generator) for side in (8, 4))
    text = torch.randn(batch, 5, 64, generator=generator)
    return [
        model(latents, torch.full((batch,), sigma), text, image_latents=[image]).sample for sigma in SIGMAS
    ]


def equal(left: list[Tensor], right: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("guidance", [True, False])
@pytest.mark.parametrize("batch", [1, 3])
def test_flux_gives_the_same_bits_with_tables(guidance, batch):
    model, conditions = flux(guidance=guidance), flux_conditions(batch, guidance)
    plain = run_flux(model, conditions)
    modulation = PrecomputedModulation(model)
    modulation.prepare(SIGMAS, conditions)
    assert not equal(plain[:1], plain[1:2])
    assert equal(run_flux(model, conditions), plain)


@pytest.mark.parametrize("changes", [{}, {"reference_attention": "isolated"}, {"variant": "v2"}])
@pytest.mark.parametrize("batch", [1, 2])
def test_our_network_gives_the_same_numbers_with_tables(changes, batch):
    model = own(**changes)
    plain = run_own(model, batch)
    modulation = PrecomputedModulation(model)
    modulation.prepare(SIGMAS, batch_size=batch)
    for ours, theirs in zip(run_own(model, batch), plain, strict=True):
        # Isolated references stack both times into one product, whose last bit depends on its rows.
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    if not changes:
        assert equal(run_own(model, batch), plain)


def test_bfloat16_counts_rows_beyond_what_bfloat16_can_count():
    model = flux().to(torch.bfloat16)
    conditions = Conditions(torch.randn(2, 20).bfloat16(), torch.tensor([3.5, 3.5]))
    plain = run_flux(model, conditions)
    many = torch.tensor([*torch.linspace(0.99, 0.08, 300), *SIGMAS]).bfloat16()
    PrecomputedModulation(model).prepare(many, conditions)
    assert equal(run_flux(model, conditions), plain)


def test_the_layers_leave_the_network_and_come_back():
    model, conditions = flux(), flux_conditions(1)
    plain, names = run_flux(model, conditions), set(model.state_dict())
    total = sum(weight.numel() for weight in model.parameters())
    modulation = PrecomputedModulation(model)
    modulation.prepare(SIGMAS, conditions)
    left = sum(weight.numel() for weight in model.parameters())
    # 6 D for each stream of a double block, 3 D for a single one, 2 D at the end; each D weights and a bias.
    outputs, width = (2 * 2 * 6 + 2 * 3 + 2) * 32, 32
    assert modulation.layer_bytes == 4 * outputs * (width + 1)
    assert modulation.table_bytes == 4 * len(SIGMAS) * outputs
    assert total - left >= outputs * (width + 1)
    modulation.restore()
    assert set(model.state_dict()) == names
    assert not any(isinstance(module, ModulationTable) for module in model.modules())
    assert equal(run_flux(model, conditions), plain)


def test_the_next_request_gets_its_own_tables():
    model, modulation = flux(), None
    first, second = flux_conditions(1), Conditions(torch.full((1, 20), 0.3), torch.tensor([7.0]))
    expected = [run_flux(model, conditions) for conditions in (first, second)]
    modulation = PrecomputedModulation(model)
    for conditions, plain in zip((first, second, first), (*expected, expected[0]), strict=True):
        modulation.prepare(SIGMAS, conditions)
        assert equal(run_flux(model, conditions), plain)


def test_what_was_not_prepared_is_refused():
    model, conditions = flux(), flux_conditions(1)
    modulation = PrecomputedModulation(model)
    modulation.prepare(SIGMAS[:3], conditions)
    with pytest.raises(ModelError, match=r"timestep 70 was not prepared"):
        run_flux(model, conditions)
    modulation.prepare(SIGMAS, conditions)
    with pytest.raises(ModelError, match="another text or guidance"):
        run_flux(model, Conditions(conditions.pooled, torch.tensor([9.0])))
    with pytest.raises(ModelError, match="pooled text"):
        modulation.prepare(SIGMAS)
    ours = own()
    PrecomputedModulation(ours).prepare([0.5])
    with pytest.raises(ModelError, match="sigma 1 was not prepared"):
        run_own(ours, 1)
    with pytest.raises(ModelError, match="Linear"):
        PrecomputedModulation(nn.Linear(2, 2))


@pytest.mark.parametrize("targets", [["to_q", "to_k"], ["to_q", "norm1.linear", "norm.linear"]])
def test_adapters_stay_what_they_are_on_modulation_layers_too(targets):
    model, conditions = flux(), flux_conditions(2)
    bare = run_flux(model, conditions)
    config = LoraConfig(r=2, lora_alpha=4, target_modules=targets, init_lora_weights=False)
    model.add_adapter(config, adapter_name="edit")
    adapted = run_flux(model, conditions)
    assert not equal(bare, adapted)
    modulation = PrecomputedModulation(model)
    modulation.prepare(SIGMAS, conditions)
    assert equal(run_flux(model, conditions), adapted)
    modulation.restore()
    model.disable_adapters()
    modulation.prepare(SIGMAS, conditions)
    assert equal(run_flux(model, conditions), bare)


def test_an_adapter_that_comes_after_the_first_use_is_seen():
    model, conditions = flux(), flux_conditions(1)
    modulation = PrecomputedModulation(model)
    modulation.prepare(SIGMAS, conditions)
    modulation.restore()
    model.add_adapter(LoraConfig(r=2, target_modules=["norm1.linear"], init_lora_weights=False), "late")
    plain = run_flux(model, conditions)
    modulation.prepare(SIGMAS, conditions)
    assert equal(run_flux(model, conditions), plain)


def test_adapters_may_be_switched_while_the_layers_are_out():
    model, conditions = flux(), flux_conditions(1)
    for name in ("edit", "generate"):
        targets = ["to_q", "norm1.linear"]
        model.add_adapter(LoraConfig(r=2, target_modules=targets, init_lora_weights=False), name)
    plain = {}
    for name in ("edit", "generate"):
        model.set_adapter(name)
        plain[name] = run_flux(model, conditions)
    model.disable_adapters()
    plain[""] = run_flux(model, conditions)
    modulation = PrecomputedModulation(model)
    modulation.prepare(SIGMAS, conditions)
    for name in ("edit", "", "generate", "edit"):
        if name:
            model.enable_adapters()
            model.set_adapter(name)
        else:
            model.disable_adapters()
        modulation.prepare(SIGMAS, conditions)
        assert equal(run_flux(model, conditions), plain[name])
