"""The formulas against the operations that torch counts while the real networks run."""

import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from dreamomni.models.layers import DiTBlock, ResidualConvBlock
from dreamomni.models.presets import build_transformer
from dreamomni.models.vlm import build_mini_vlm
from dreamomni.training.estimate.flops import num_tokens, text_encoder_flop, transformer_flop


def counted(
    model: torch.nn.Module, text: int, target: tuple[int, int], images: list[tuple[int, int]]
) -> tuple:
    """Forward, and forward with backward, of one sample, counted by torch; attention as plain products."""
    latents = torch.zeros(1, 16, *target)
    features = torch.zeros(1, text, model.config.text_width)
    pictures = [torch.zeros(1, 16, *size) for size in images]
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        sample = model(latents, torch.zeros(1), features, None, pictures).sample
        forward = counter.get_total_flops()
        sample.square().mean().backward()
    return forward, counter.get_total_flops()


@pytest.mark.parametrize("variant", ["v1", "v2", "v3"])
@pytest.mark.parametrize("attention", ["joint", "isolated"])
@pytest.mark.parametrize("images", [[], [(4, 16), (8, 4)]])
def test_the_network(variant: str, attention: str, images: list[tuple[int, int]]) -> None:
    model = build_transformer("tiny", variant=variant, reference_attention=attention)
    flop = transformer_flop(model.config, 7, (8, 12), images)
    assert (flop.forward, flop.training) == counted(model, 7, (8, 12), images)


def test_the_network_of_mini() -> None:
    model = build_transformer("mini")
    flop = transformer_flop(model.config, 30, (8, 8), [(8, 8)])
    assert (flop.forward, flop.training) == counted(model, 30, (8, 8), [(8, 8)])


@settings(max_examples=5, deadline=None)
@given(
    text=st.integers(1, 20),
    target=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    images=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), max_size=3),
)
def test_any_shape(text: int, target: tuple[int, int], images: list[tuple[int, int]]) -> None:
    target, images = (2 * target[0], 2 * target[1]), [(2 * h, 2 * w) for h, w in images]
    model = build_transformer("tiny")
    flop = transformer_flop(model.config, text, target, images)
    assert (flop.forward, flop.training) == counted(model, text, target, images)


def test_checkpointed_blocks_are_computed_twice() -> None:
    model = build_transformer("tiny")
    for module in model.modules():
        if isinstance(module, DiTBlock | ResidualConvBlock):
            module.forward = functools.partial(checkpoint, module.forward, use_reentrant=False)
    flop = transformer_flop(model.config, 7, (8, 8), [(8, 8)])
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        sample = model(
            torch.zeros(1, 16, 8, 8), torch.zeros(1), torch.zeros(1, 7, 64), None, [torch.zeros(1, 16, 8, 8)]
        ).sample
        sample.square().mean().backward()
    assert counter.get_total_flops() == flop.executed(checkpointing=True) > flop.training


@pytest.mark.parametrize("num_images", [0, 2])
def test_the_text_encoder(num_images: int) -> None:
    vlm = build_mini_vlm(["a red house above two blue stars"], merge_size=2)
    pixels = torch.zeros(num_images, 32, 48, 3, dtype=torch.uint8)
    if num_images:
        inputs = vlm.tokenize_pixels(["a red house"], pixels, [num_images])
        patches = [int(grid.prod()) for grid in inputs["image_grid_thw"]]
    else:
        inputs, patches = vlm.token_ids(["a red house"]), []
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        vlm.encode(inputs)
    length = inputs["input_ids"].shape[1]
    flop = text_encoder_flop(vlm.model.config, length, patches)
    # The tables of rotary angles are small products that the formulas leave out.
    assert flop.forward == pytest.approx(counter.get_total_flops(), rel=2e-3)


def test_the_length_of_a_sequence() -> None:
    assert num_tokens(5, (8, 12), [(4, 4), (2, 2)]) == 5 + 24 + 4 + 1
