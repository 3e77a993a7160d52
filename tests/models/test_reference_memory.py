"""Keys and values kept between steps: the same velocities as without, and only where that is exact."""

from typing import Any

import pytest
import torch
from torch import Tensor

from dreamomni.models.layers import rotary_tables
from dreamomni.models.modulation import PrecomputedModulation
from dreamomni.models.packing import Grid, build_ids
from dreamomni.models.positions import token_positions
from dreamomni.models.presets import build_transformer
from dreamomni.models.reference_memory import ReferenceMemory

SIGMAS = (1.0, 0.6, 0.2)


def network(**changes: Any) -> Any:
    torch.manual_seed(0)
    model = build_transformer("tiny", **{"reference_attention": "isolated", **changes}).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def conditions(images: int, *, masked: bool = True) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(images)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2]) if masked else None
    return {
        "encoder_hidden_states": torch.randn(2, 5, 64, generator=generator),
        "encoder_attention_mask": mask,
        "image_latents": [torch.randn(2, 16, 4 * n, 8, generator=generator) for n in range(1, images + 1)],
    }


@torch.no_grad()
def run(model: Any, told: dict[str, Any], memory: ReferenceMemory | None = None) -> list[Tensor]:
    generator = torch.Generator().manual_seed(9)
    noisy = [torch.randn(2, 16, 8, 12, generator=generator) for _ in SIGMAS]
    return [
        model(latents, torch.full((2,), sigma), **told, memory=memory).sample
        for latents, sigma in zip(noisy, SIGMAS, strict=True)
    ]


@pytest.mark.parametrize("variant", ["v1", "v2", "v3"])
@pytest.mark.parametrize("images", [0, 1, 2, 5])
def test_the_noise_alone_gives_the_same_velocity(variant, images):
    model, told = network(variant=variant), conditions(images)
    memory = ReferenceMemory()
    for with_memory, plain in zip(run(model, told, memory), run(model, told), strict=True):
        torch.testing.assert_close(with_memory, plain, rtol=1e-5, atol=2e-5)
    assert memory.filled
    keys = 5 + sum(2 * n * 4 for n in range(1, images + 1))
    if variant == "v3":
        assert (
            memory.num_bytes == 4 * 2 * 4 * 2 * keys * 48
        )  # blocks, key and value, bytes, batch, tokens, width


def test_it_agrees_with_double_precision():
    model, told = network().double(), conditions(2)
    told = {
        **told,
        "encoder_hidden_states": told["encoder_hidden_states"].double(),
        "image_latents": [latents.double() for latents in told["image_latents"]],
    }
    latents = torch.randn(2, 16, 8, 8, dtype=torch.float64)
    memory = ReferenceMemory()
    with torch.no_grad():
        for sigma in SIGMAS:
            time = torch.full((2,), sigma)
            with_memory = model(latents, time, **told, memory=memory).sample
            plain = model(latents, time, **told).sample
            torch.testing.assert_close(with_memory, plain, rtol=1e-12, atol=1e-12)


def test_references_are_run_once_only():
    model, told = network(), conditions(2)
    calls: list[int] = []
    model.patchify.register_forward_hook(lambda *_: calls.append(1))
    run(model, told, ReferenceMemory())
    assert len(calls) == len(SIGMAS) + 2
    calls.clear()
    run(model, told)
    assert len(calls) == 3 * len(SIGMAS)


def test_it_goes_together_with_prepared_modulation():
    model, told = network(), conditions(2)
    plain = run(model, told)
    PrecomputedModulation(model).prepare(SIGMAS, batch_size=2)
    for ours, theirs in zip(run(model, told, ReferenceMemory()), plain, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=2e-5)


def test_another_request_is_refused():
    model, memory = network(), ReferenceMemory()
    told = conditions(1)
    run(model, told, memory)
    with pytest.raises(ValueError, match="other conditions"):
        run(model, conditions(1), memory)
    with pytest.raises(ValueError, match="other conditions"):
        run(model, {**told, "image_latents": told["image_latents"] * 2}, memory)


def test_joint_references_are_refused_because_they_see_the_noise():
    with pytest.raises(ValueError, match="isolated"):
        run(network(reference_attention="joint"), conditions(1), ReferenceMemory())


def test_rotary_tables_are_made_once_and_may_be_used_in_training_after_inference():
    sizes = {"index_encoding": True, "position_shift": True, "axes_dims": (4, 6, 6), "theta": 77.0}
    grids, device = (Grid(3, 4), Grid(2, 2)), torch.device("cpu")
    with torch.inference_mode():
        first = token_positions(5, grids, device=device, **sizes)
    assert token_positions(5, grids, device=device, **sizes)[0] is first[0]
    assert not first[0].is_inference()
    whole = rotary_tables(build_ids(5, grids[0], grids[1:]), (4, 6, 6), 77.0)
    assert torch.equal(first[0], whole[0])
    noise = token_positions(5, grids, device=device, part="noise", **sizes)
    rest = token_positions(5, grids, device=device, part="rest", **sizes)
    assert torch.equal(noise[1], whole[1][5:17])
    assert torch.equal(rest[1], torch.cat([whole[1][:5], whole[1][17:]]))
    other = token_positions(5, grids, device=device, **{**sizes, "position_shift": False})
    assert other[0] is not first[0]
