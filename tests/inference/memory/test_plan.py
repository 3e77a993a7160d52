"""The arithmetic of memory plans: against the real networks, against published sizes, and what it refuses."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from dreamomni.errors import ModelError
from dreamomni.inference.memory.facts import Geometry, ModelFacts, Part, dreamomni_facts, read_part
from dreamomni.inference.memory.measure import live_tensors
from dreamomni.inference.memory.plan import (
    LIVE_TENSORS,
    MODES,
    Workload,
    choose_plan,
    gigabytes,
    parse_bytes,
    plan_memory,
)
from dreamomni.models.presets import build_transformer
from dreamomni.tasks.geometry import Size

BF16 = torch.bfloat16


def write_header(path: Path, module: torch.nn.Module) -> Path:
    """A safetensors file with all headers of a network and none of its weights."""
    header, end = {}, 0
    for name, weight in module.state_dict().items():
        size = 2 * weight.numel()
        entry = {"dtype": "BF16", "shape": list(weight.shape), "data_offsets": [end, end + size]}
        header[name], end = entry, end + size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    return path


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> ModelFacts:
    """FLUX.1-Kontext with DreamOmni2's rewriter and LoRAs, at their real sizes."""
    with torch.device("meta"):
        network = FluxTransformer2DModel(guidance_embeds=True)
    transformer = read_part(
        "transformer", [write_header(tmp_path_factory.mktemp("f") / "a.safetensors", network)]
    )

    def part(name: str, numbers: float) -> Part:
        return Part(name, int(numbers), 0, 0, int(0.9 * numbers), int(0.03 * numbers), 0, int(2 * numbers))

    others = {"rewriter": 8.29e9, "text_encoder": 0.123e9, "text_encoder_2": 4.76e9, "vae": 0.084e9}
    loras = {"edit adapter": 0.717e9, "generate adapter": 0.717e9}
    parts = [part(name, numbers) for name, numbers in (others | loras).items()]
    return ModelFacts("kontext", (transformer, *parts), Geometry("kontext", 3072, 16, 512, 128, 57))


def plan(facts: ModelFacts, mode: Any, images: int = 2, **options: Any) -> Any:
    work = Workload(Size(1024, 1024), images)
    return plan_memory(facts, mode, dtype=BF16, device="cuda", workload=work, **options)


def test_a_quarter_of_flux_is_modulation(flux: ModelFacts) -> None:
    part = flux.part("transformer")
    assert part is not None
    assert part.numbers == pytest.approx(11.9e9, rel=0.01)
    assert part.modulation == pytest.approx(3.23e9, rel=0.01)
    assert part.largest_modulation == 6 * 3072 * 3072  # a double block's; its bias is another tensor
    assert part.largest_block == max(part.largest_block, int(0.3e9))
    assert part.quantisable + part.modulation <= part.numbers


def test_the_published_model_does_not_fit_24_gb_at_once_and_does_one_part_after_the_other(
    flux: ModelFacts,
) -> None:
    full, sequential = plan(flux, "full"), plan(flux, "sequential")
    assert full.peak == pytest.approx(55e9, rel=0.05)  # users report 53 GB
    weights = {stage.name: stage.weights for stage in sequential.stages}
    # 23.8 GB without 6.5 of modulation, with two LoRAs of 1.4 GB and one such layer at a time.
    assert weights["transformer"] == pytest.approx(17.3e9 + 2 * 1.434e9 + 0.11e9, rel=0.01)
    assert sequential.peak < 24e9
    chosen = choose_plan(flux, "auto", dtype=BF16, device="cuda", device_bytes=24 * 10**9)
    assert chosen.mode == "sequential"
    text = "\n".join(chosen.lines())
    assert "6.4" in text or "6.5" in text
    assert "fits" in text


def test_auto_takes_the_first_exact_mode_that_fits_and_never_a_quantised_one(flux: ModelFacts) -> None:
    taken = []
    for device_gb in (80, 24, 18):
        found = choose_plan(flux, "auto", dtype=BF16, device="cuda", device_bytes=device_gb * 10**9)
        taken.append(found.mode)
    assert taken == ["full", "sequential", "offload"]


def test_too_little_memory_is_one_sentence_with_the_mode_that_fits(flux: ModelFacts) -> None:
    options = {"dtype": BF16, "device": "cuda:0", "device_bytes": 24 * 10**9}
    with pytest.raises(ModelError, match=r"full .* needs 5\d\.\d+ GB.*24\.00 GB.*--memory sequential needs"):
        choose_plan(flux, "full", **options)
    with pytest.raises(ModelError, match=r"no other mode fits either .* smaller size"):
        choose_plan(flux, "auto", **{**options, "device_bytes": 10**9})
    with pytest.raises(ModelError, match="'some' is unknown: say auto, full"):
        choose_plan(flux, "some", **options)


@given(images=st.integers(0, 6), side=st.sampled_from([256, 512, 1024]), batch=st.integers(1, 3))
def test_more_work_never_needs_less(images: int, side: int, batch: int) -> None:
    part = Part("transformer", 1000, 270, 50, 400, 100, 300, 2000)
    vae = Part("vae", 100, 0, 0, 0, 0, 100, 200)
    facts = ModelFacts("m", (part, vae), Geometry("dreamomni", 8, 16, 32, 8, 4, isolated=True))
    for mode in MODES:
        small = plan_memory(facts, mode, dtype=BF16, workload=Workload(Size(side, side), images, 4, batch))
        more = Workload(Size(side * 2, side), images + 1, 5, batch + 1)
        assert plan_memory(facts, mode, dtype=BF16, workload=more).peak > small.peak


def test_the_live_tensors_of_the_plan_are_those_of_the_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    def attention(query: torch.Tensor, key: Any = None, value: Any = None, **_: Any) -> torch.Tensor:
        return torch.empty_like(query)  # as fused kernels do: no matrix of all pairs

    monkeypatch.setattr(functional, "scaled_dot_product_attention", attention)
    assert counted_flux() == pytest.approx(LIVE_TENSORS["kontext"], rel=0.06)
    assert counted_own("joint") == pytest.approx(LIVE_TENSORS["joint"], rel=0.12)
    assert counted_own("isolated") == pytest.approx(LIVE_TENSORS["isolated"], rel=0.12)
    for way in ("encode", "decode"):
        assert counted_vae(way) == pytest.approx(LIVE_TENSORS[f"vae {way}r"], rel=0.05)


def counted_flux() -> float:
    tokens, text, width = 4096, 512, 512
    sizes = {"num_layers": 1, "num_single_layers": 1, "num_attention_heads": 4, "joint_attention_dim": width}
    with torch.device("meta"):
        network = FluxTransformer2DModel(**sizes, pooled_projection_dim=64).to(BF16)
        told = {
            "hidden_states": torch.empty(1, tokens, 64, dtype=BF16),
            "encoder_hidden_states": torch.empty(1, text, width, dtype=BF16),
            "pooled_projections": torch.empty(1, 64, dtype=BF16),
            "timestep": torch.empty(1, dtype=BF16),
            "img_ids": torch.empty(tokens, 3),
            "txt_ids": torch.empty(text, 3),
        }
    with torch.no_grad(), live_tensors(network) as count:
        network(**told)
    return count.peak / (2 * (tokens + text) * width)


def counted_own(attention: str) -> float:
    with torch.device("meta"):
        shape = {"num_stages": 4, "blocks_per_stage": 1, "reference_attention": attention}
        network = build_transformer("0.85b", **shape).to(BF16)
        latents = torch.empty(1, 16, 128, 128, dtype=BF16)
        text = torch.empty(1, 512, 3584, dtype=BF16)
        time = torch.empty(1)
    with torch.no_grad(), live_tensors(network) as count:
        network(latents, time, text, image_latents=[latents])
    return count.peak / (2 * (2 * 4096 + 512) * 1280)


def counted_vae(way: str) -> float:
    widths, side = (32, 64, 128, 128), 256
    with torch.device("meta"):
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=widths,
            layers_per_block=2,
            latent_channels=16,
        ).to(BF16)
        sizes = (1, 3, side, side) if way == "encode" else (1, 16, side // 8, side // 8)
        given_ = torch.empty(sizes, dtype=BF16)
    with torch.no_grad(), live_tensors(vae) as count:
        getattr(vae, way)(given_)
    return count.peak / (2 * side * side * widths[0])


def test_facts_are_read_without_weights(tiny_model_dir: Path) -> None:
    facts = dreamomni_facts(tiny_model_dir)
    assert [part.name for part in facts.parts] == ["text_encoder", "transformer", "vae"]
    network = build_transformer("tiny", text_width=192)
    assert facts.parts[1].numbers == sum(weight.numel() for weight in network.parameters())
    assert facts.geometry.pixels_per_token == 16


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for content in (b"", b"12345678", struct.pack("<Q", 2**60) + b"{}", struct.pack("<Q", 4) + b"nope"):
        path.write_bytes(content)
        with pytest.raises(ModelError, match="is not a safetensors file"):
            read_part("transformer", [path])
    (tmp_path / "transformer").mkdir()
    with pytest.raises(ModelError, match="cannot be read"):
        dreamomni_facts(tmp_path)


@pytest.mark.parametrize(
    ("text", "number"),
    [("24GB", 24 * 10**9), ("24 GiB", 24 * 2**30), ("800mb", 800 * 10**6), ("1.5kb", 1500), ("77", 77)],
)
def test_amounts_of_memory_are_read(text: str, number: int) -> None:
    assert parse_bytes(text) == number


@pytest.mark.parametrize("text", ["", "GB", "-3GB", "24 apples", "nan", "1e99GB"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match="is no amount of memory"):
        parse_bytes(text)


def test_sizes_are_said_as_people_say_them() -> None:
    assert [gigabytes(n) for n in (1500, 2.5e6, 23.7e9)] == ["1.5 kB", "2.5 MB", "23.70 GB"]
