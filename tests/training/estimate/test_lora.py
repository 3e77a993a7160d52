"""What a LoRA costs: operations against torch's own count, and dry runs of both tasks."""

from pathlib import Path

import pytest
import torch
from diffusers import FluxTransformer2DModel
from tiny_loras import tiny_dreamomni, tiny_flux
from torch.utils.flop_counter import FlopCounterMode

from dreamomni.models.adapters import add_adapter
from dreamomni.models.adapters.attach import linear_layers
from dreamomni.training.estimate.flops import transformer_flop
from dreamomni.training.estimate.kontext import PUBLISHED_KONTEXT, read_base
from dreamomni.training.estimate.lora import FluxCost, dreamomni_flop, with_lora
from dreamomni.training.lora_config import LoraConfig

TEXT, NOISE, IMAGES = 3, 4, 2
ATTENTION = 4 * 32 * 4 * (TEXT + NOISE + IMAGES) ** 2
"""Of the four blocks of the tiny FLUX.1, forward; torch counts no fused attention on the CPU."""


def counted(network: FluxTransformer2DModel) -> tuple[int, int]:
    """Forward and backward operations of a step, without attention."""
    with FlopCounterMode(display=False) as counter:
        velocity = network(
            hidden_states=torch.randn(1, NOISE + IMAGES, 64),
            encoder_hidden_states=torch.randn(1, TEXT, 24),
            pooled_projections=torch.randn(1, 20),
            timestep=torch.tensor([0.3]),
            guidance=torch.tensor([3.5]),
            img_ids=torch.zeros(NOISE + IMAGES, 3),
            txt_ids=torch.zeros(TEXT, 3),
        ).sample
        forward = counter.get_total_flops()
        velocity[:, :NOISE].square().mean().backward()
        return forward, counter.get_total_flops() - forward


def test_flux_costs_what_torch_counts() -> None:
    network = tiny_flux().train()
    forward, backward = counted(network)
    assert FluxCost(network)(TEXT, NOISE, IMAGES).forward == forward + ATTENTION
    assert FluxCost(network)(TEXT, NOISE, IMAGES).backward > backward

    add_adapter(network, "edit", rank=4)
    forward, backward = counted(network)
    found = FluxCost(network)(TEXT, NOISE, IMAGES)
    assert found.forward == forward + ATTENTION
    # Nothing learns before the first block, so its query, key and value need no gradients of their inputs.
    first = [
        (rows, *linear_layers(network)[f"transformer_blocks.0.attn.{name}"])
        for rows, names in ((NOISE + IMAGES, ("to_q", "to_k", "to_v")), (TEXT, ("add_q_proj",) * 3))
        for name in names
    ]
    spared = sum(2 * rows * (inputs * outputs + 4 * inputs) for rows, inputs, outputs in first)
    assert found.backward == backward + spared + 2 * ATTENTION


def test_a_lora_of_ours_costs_less_than_the_network() -> None:
    network = tiny_dreamomni()
    whole = dreamomni_flop(network, 20, (8, 8), [(8, 8)])
    assert whole == transformer_flop(network.config, 20, (8, 8), [(8, 8)])
    add_adapter(network, "edit", rank=4)
    found = dreamomni_flop(network, 20, (8, 8), [(8, 8)])
    tokens = 20 + 16 + 16
    sizes = linear_layers(network)
    thin = 0
    for path, (inputs, outputs) in sizes.items():
        if ".attention." in path or ".ffn_" in path:
            rows = tokens if "attention" in path else 20 if "ffn_text" in path else 32
            thin += 2 * rows * 4 * (inputs + outputs)
    assert found.forward == whole.forward + thin
    assert whole.forward * 0.5 < found.backward < whole.backward


def test_the_published_sizes() -> None:
    """The network of FLUX.1 has 11.9 billion weights, the published LoRAs 717 million (1.34 GiB in bf16)."""
    base = read_base("black-forest-labs/FLUX.1-Kontext-dev")
    assert sum(weight.numel() for weight in base.transformer.parameters()) == 11_901_408_320
    assert round(sum(weight.numel() for weight in base.t5.parameters()) / 1e9, 1) == 4.8
    assert base.assumptions == []
    assert base.transformer.config.num_layers == PUBLISHED_KONTEXT["transformer"]["num_layers"]
    lora = LoraConfig(name="edit", rank=256)
    network, learned = with_lora(base.transformer, lora, torch.bfloat16)
    assert learned == 717_225_984
    assert learned * 2 / 2**30 == pytest.approx(1.3359, abs=1e-4)
    assert {p.dtype for n, p in network.named_parameters() if "lora_" not in n} == {torch.bfloat16}


def test_a_base_that_is_not_there_is_assumed(tmp_path: Path) -> None:
    base = read_base(str(tmp_path / "nowhere"))
    assert "is not there: taken to be like black-forest-labs/FLUX.1-Kontext-dev" in base.assumptions[0]
