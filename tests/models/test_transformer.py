"""The network: parts against plain references, shapes of every variant, what isolation promises, saving."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dreamomni.errors import ModelError
from dreamomni.models.layers import DiTBlock, rotary_tables
from dreamomni.models.packing import Grid, build_ids
from dreamomni.models.presets import build_transformer, count_parameters, load_transformer
from dreamomni.models.transformer import DreamOmniTransformer2DModel


def randomise(module: torch.nn.Module, seed: int = 0) -> None:
    """Fill every weight: at the start many are zero, and zeros hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))


def inputs(batch: int = 2, text: int = 5, images: tuple[tuple[int, int], ...] = ()) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return {
        "hidden_states": randn(batch, 16, 8, 12),
        "timestep": torch.rand(batch, generator=generator),
        "encoder_hidden_states": randn(batch, text, 64),
        "encoder_attention_mask": torch.ones(batch, text, dtype=torch.bool),
        "image_latents": [randn(batch, 16, height, width) for height, width in images],
    }


def reference_block(
    block: DiTBlock, x: Tensor, time: Tensor, ids: Tensor, axes: tuple[int, ...], text: int
) -> Tensor:
    """The block written again with loops over heads and explicit complex rotations, in float64."""
    weights = {name: value.double() for name, value in block.state_dict().items()}

    def linear(name: str, value: Tensor) -> Tensor:
        return value @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def normalise(value: Tensor) -> Tensor:
        centred = value - value.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()

    def gelu(value: Tensor) -> Tensor:
        return 0.5 * value * (1 + torch.tanh(math.sqrt(2 / math.pi) * (value + 0.044715 * value**3)))

    width, heads = x.shape[-1], block.attention.num_heads
    size = width // heads
    angles = torch.cat(
        [
            ids[:, [axis]].double() * 100.0 ** (-torch.arange(0, dim, 2).double() / dim)
            for axis, dim in enumerate(axes)
        ],
        dim=1,
    )
    turn = torch.polar(torch.ones_like(angles), angles)

    def rotate(value: Tensor) -> Tensor:
        pairs = torch.complex(value[:, : size // 2], value[:, size // 2 :]) * turn
        return torch.cat([pairs.real, pairs.imag], dim=1)

    def rms(value: Tensor, name: str) -> Tensor:
        return (
            value
            / (value.square().mean(-1, keepdim=True) + 1e-6).sqrt()
            * weights[f"attention.{name}.weight"]
        )

    out = []
    for tokens, moment in zip(x.double(), time.double(), strict=True):
        scale_a, shift_a, scale_f, shift_f = linear("modulation", moment * torch.sigmoid(moment)).chunk(4)
        hidden = normalise(tokens) * (1 + scale_a) + shift_a
        query, key, value = (linear(f"attention.to_{name}", hidden) for name in "qkv")
        mixed = []
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            scores = (
                rotate(rms(query[:, part], "norm_q"))
                @ rotate(rms(key[:, part], "norm_k")).T
                / math.sqrt(size)
            )
            mixed.append(torch.softmax(scores, dim=-1) @ value[:, part])
        tokens = tokens + linear("attention.to_out", torch.cat(mixed, dim=1))
        hidden = normalise(tokens) * (1 + scale_f) + shift_f
        fed = [
            linear(f"{name}.linear_out", gelu(linear(f"{name}.linear_in", stream)))
            for name, stream in (("ffn_text", hidden[:text]), ("ffn_image", hidden[text:]))
        ]
        out.append(tokens + torch.cat(fed))
    return torch.stack(out)


def test_a_block_equals_a_plain_float64_reference() -> None:
    axes, text = (4, 6, 6), 3
    block = DiTBlock(width=48, num_heads=3, ffn_width=96, qk_norm=True)
    randomise(block)
    ids = build_ids(text, Grid(2, 3), [Grid(1, 2)])
    x, time = torch.randn(2, len(ids), 48), torch.randn(2, 48)
    rotary = rotary_tables(ids, axes, 100.0)
    ours = block(x, time[:, None], None, rotary, None, text, 6)
    reference = reference_block(block, x, time, ids, axes, text)
    assert (ours.double() - reference).abs().max() < 1e-4 * reference.abs().max()


@pytest.mark.parametrize("variant", ["v1", "v2", "v3"])
@pytest.mark.parametrize("attention", ["joint", "isolated"])
def test_every_variant_takes_images_of_other_sizes(variant: str, attention: str) -> None:
    model = build_transformer("tiny", variant=variant, reference_attention=attention)
    randomise(model)
    batch = inputs(images=((8, 8), (4, 16)))
    assert model(**batch).sample.shape == batch["hidden_states"].shape


def test_long_skips_make_the_difference_between_v1_and_v2() -> None:
    without = {name.split(".")[0] for name, _ in build_transformer("tiny", variant="v1").named_parameters()}
    with_skips = {
        name.split(".")[0] for name, _ in build_transformer("tiny", variant="v2").named_parameters()
    }
    assert with_skips - without == {"fusions"}


def test_padding_behind_the_text_changes_nothing() -> None:
    model = build_transformer("tiny")
    randomise(model)
    batch = inputs(images=((4, 4),))
    padded = dict(batch)
    padded["encoder_hidden_states"] = torch.cat(
        [batch["encoder_hidden_states"], torch.full((2, 3, 64), 7.0)], dim=1
    )
    padded["encoder_attention_mask"] = torch.tensor([[True] * 5 + [False] * 3] * 2)
    torch.testing.assert_close(model(**padded).sample, model(**batch).sample, rtol=1e-4, atol=1e-4)


def test_a_sample_does_not_depend_on_its_batch_mates() -> None:
    model = build_transformer("tiny")
    randomise(model)
    batch = inputs(images=((4, 4),))
    alone = {
        name: [part[:1] for part in value] if isinstance(value, list) else value[:1]
        for name, value in batch.items()
    }
    torch.testing.assert_close(model(**alone).sample, model(**batch).sample[:1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("attention", "differs"), [("joint", True), ("isolated", False)])
def test_isolated_references_do_not_see_noise_or_time(attention: str, differs: bool) -> None:
    model = build_transformer("tiny", reference_attention=attention)
    randomise(model)
    seen: list[Tensor] = []
    last = model.stages[-1][-1]
    last.register_forward_hook(lambda module, args, out: seen.append(out))
    batch = inputs(images=((4, 4),))
    model(**batch)
    model(**{**batch, "hidden_states": batch["hidden_states"] + 1, "timestep": batch["timestep"] * 0.5})
    rest = [torch.cat([out[:, :5], out[:, 5 + 24 :]], dim=1) for out in seen]
    assert torch.equal(rest[0], rest[1]) is not differs
    assert not torch.equal(seen[0][:, 5:29], seen[1][:, 5:29])


def test_the_order_and_the_content_of_images_matter() -> None:
    model = build_transformer("tiny")
    randomise(model)
    batch = inputs(images=((4, 4), (4, 4)))
    swapped = {**batch, "image_latents": batch["image_latents"][::-1]}
    assert not torch.allclose(model(**batch).sample, model(**swapped).sample)


def test_a_new_network_predicts_zero_and_learns_a_fixed_batch() -> None:
    torch.manual_seed(0)
    model = build_transformer("tiny")
    batch = inputs(images=((4, 4),))
    assert model(**batch).sample.abs().max() == 0
    target = torch.randn(2, 16, 8, 12)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        loss = (model(**batch).sample - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    model = build_transformer("tiny")
    randomise(model)
    batch = inputs()
    gradients = []
    for switch in (model.disable_gradient_checkpointing, model.enable_gradient_checkpointing):
        switch()
        model.zero_grad()
        model(**batch).sample.square().mean().backward()
        gradients.append(
            [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
        )
    assert all(torch.equal(first, second) for first, second in zip(*gradients, strict=True))


def test_saving_and_loading_keep_every_bit(tmp_path: Path) -> None:
    model = build_transformer("tiny", variant="v2")
    randomise(model)
    model.save_pretrained(str(tmp_path))
    loaded = load_transformer(tmp_path)
    assert isinstance(loaded, DreamOmniTransformer2DModel)
    batch = inputs()
    assert torch.equal(loaded(**batch).sample, model(**batch).sample)


def test_a_folder_of_something_else_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json"):
        load_transformer(tmp_path)


@pytest.mark.parametrize(("preset", "billions"), [("0.85b", 0.85), ("2.5b", 2.5)])
def test_parameter_counts_are_within_three_percent_of_the_name(preset: str, billions: float) -> None:
    parts = count_parameters(preset)
    assert parts["total"] == sum(count for name, count in parts.items() if name != "total")
    assert abs(parts["total"] / (billions * 1e9) - 1) < 0.03


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_stages": 3}, "even number"),
        ({"axes_dims_rope": (4, 6, 8)}, "head size 16"),
        ({"variant": "v4"}, "v1, v2 or v3"),
        ({"reference_attention": "causal"}, "joint or isolated"),
        ({"variant": "v1", "num_stages": 6}, "divisible by 4"),
    ],
)
def test_impossible_settings_are_refused_with_numbers(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_transformer("tiny", **changes)


def test_latents_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="7x12 cells do not divide by 2"):
        build_transformer("tiny")(**{**inputs(), "hidden_states": torch.zeros(2, 16, 7, 12)})
    with pytest.raises(ModelError, match="presets are tiny"):
        build_transformer("huge")
