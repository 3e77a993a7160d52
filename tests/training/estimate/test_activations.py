"""Bytes counted on the meta device against tensors that a real pass on the CPU saves."""

import pytest
import torch
from torch import nn

from dreamomni.models.layers import DiTBlock, ResidualConvBlock
from dreamomni.models.presets import build_transformer
from dreamomni.training.estimate.activations import Saved, saved_bytes

SHAPES = {"batch": 3, "text": 37, "side": 8, "images": 2}


def run(
    device: str, autocast: bool = False, precision: str = "fp32", **shapes: int
) -> tuple[Saved, nn.Module]:
    sizes = {**SHAPES, **shapes}
    with torch.device(device):
        model = build_transformer("tiny").train()
        latents = torch.zeros(sizes["batch"], 16, sizes["side"], sizes["side"])
        features = torch.zeros(sizes["batch"], sizes["text"], model.config.text_width)
        sigma = torch.zeros(sizes["batch"])
    blocks = [part for part in model.modules() if isinstance(part, DiTBlock | ResidualConvBlock)]

    def forward() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            return model(latents, sigma, features, None, [latents] * sizes["images"]).sample

    return saved_bytes(forward, [model], blocks, precision), model


def test_in_fp32_meta_keeps_what_the_cpu_keeps() -> None:
    (real, _), (meta, _) = run("cpu"), run("meta")
    assert meta.activations == pytest.approx(real.activations, rel=1e-3)
    assert meta.checkpointed == pytest.approx(real.checkpointed, rel=1e-3)
    assert meta.checkpointed < meta.activations / 2


def test_under_autocast_meta_keeps_what_the_cpu_keeps() -> None:
    (real, _), (meta, model) = run("cpu", autocast=True), run("meta", precision="cpu-bf16")
    lowered = [p for name, p in model.named_parameters() if "norm" not in name]
    assert meta.weight_copies == 2 * sum(p.numel() for p in lowered)
    # A real pass does not tell copies of weights from other tensors. Biases are not saved, nor the weight of
    # the first layer of time, behind which nothing is trained. Norms on the CPU keep their means in bf16.
    saved_copies = 2 * sum(
        p.numel()
        for name, p in model.named_parameters()
        if p.ndim > 1 and name != "time_embedding.linear_1.weight"
    )
    assert meta.activations + saved_copies == pytest.approx(real.activations, rel=3e-3)


def test_cuda_keeps_norms_in_fp32() -> None:
    cuda, cpu, full = (run("meta", precision=name)[0] for name in ("cuda-bf16", "cpu-bf16", "fp32"))
    assert cpu.activations < cuda.activations
    assert cpu.activations < full.activations


def test_bytes_grow_with_the_batch() -> None:
    one, two = run("meta", batch=1)[0].activations, run("meta", batch=2)[0].activations
    four = run("meta", batch=4)[0].activations
    assert four - two == 2 * (two - one)
