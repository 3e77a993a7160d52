"""Every memory mode on both families: the same picture, and never more on the device than was planned."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_kontext import write_tiny_kontext
from torch import Tensor, nn

from dreamomni import DreamOmniPipeline
from dreamomni.errors import ModelError
from dreamomni.inference.kontext.pipeline import KontextPipeline
from dreamomni.inference.memory.opening import MemoryOptions, keep_plan, plan_model
from dreamomni.inference.memory.plan import Workload
from dreamomni.inference.memory.quantise import quantise, quantised_layers
from dreamomni.models.kontext.files import find_kontext
from dreamomni.tasks.geometry import Size

CPU = torch.device("cpu")
EXACT = ("sequential", "offload")


@pytest.fixture(scope="module")
def kontext_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_kontext(tmp_path_factory.mktemp("kontext"))


def images() -> list[Image.Image]:
    draw = np.random.default_rng(0)
    return [
        Image.fromarray(draw.integers(0, 256, size, dtype=np.uint8)) for size in ((48, 64, 3), (48, 48, 3))
    ]


def open_kontext(folder: Path, mode: str, **options: Any) -> KontextPipeline:
    files = find_kontext(str(folder), vlm=False)
    wanted = MemoryOptions(mode, workload=Workload(Size(64, 48), 2, 3), **options)
    plan = plan_model(files, wanted, device=CPU, dtype=torch.float32)
    pipe = KontextPipeline.from_files(files)
    keep_plan(pipe, plan, files, device=CPU, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def open_own(folder: Path, mode: str, **options: Any) -> DreamOmniPipeline:
    wanted = MemoryOptions(mode, workload=Workload(Size(48, 32), 2, 3), **options)
    plan = plan_model(folder, wanted, device=CPU, dtype=torch.float32)
    pipe = DreamOmniPipeline.from_pretrained(folder)
    keep_plan(pipe, plan, folder, device=CPU, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def run_kontext(pipe: KontextPipeline) -> list[Tensor]:
    """With a LoRA, without, and with words alone: each request finds what the last one left."""
    options: dict[str, Any] = {"num_inference_steps": 3, "output_type": "pt", "height": 48, "width": 64}
    edits = [
        pipe("the dog like image 2", images(), adapter=name, **options).images for name in ("edit", "none")
    ]
    return [*edits, pipe("a cat", guidance_scale=7.0, **{**options, "num_inference_steps": 2}).images]


def run_own(pipe: DreamOmniPipeline) -> list[Tensor]:
    options: dict[str, Any] = {"num_inference_steps": 3, "output_type": "pt", "guidance_scale": 2.0}
    made = [
        pipe("replace the car", images()[:1], image_guidance_scale=scale, **options).images
        for scale in (1, 2)
    ]
    return [*made, pipe(["two red stars", "a blue house"], **options).images]


@pytest.fixture(scope="module")
def kontext_pictures(kontext_dir: Path) -> list[Tensor]:
    return run_kontext(open_kontext(kontext_dir, "full"))


@pytest.fixture(scope="module")
def own_pictures(tiny_model_dir: Path) -> list[Tensor]:
    return run_own(open_own(tiny_model_dir, "full"))


def farthest(left: list[Tensor], right: list[Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("mode", EXACT)
def test_exact_modes_of_kontext_give_the_same_bits(
    kontext_dir: Path, kontext_pictures: list[Tensor], mode: str
) -> None:
    pipe = open_kontext(kontext_dir, mode)
    assert farthest(run_kontext(pipe), kontext_pictures) == 0
    assert pipe.memory is not None
    assert 0 < pipe.memory.last_peak <= 1.02 * pipe.memory.last_planned


@pytest.mark.parametrize("mode", EXACT)
def test_exact_modes_of_our_model_give_the_same_picture(
    tiny_model_dir: Path, own_pictures: list[Tensor], mode: str
) -> None:
    pipe = open_own(tiny_model_dir, mode)
    # One product of several rows may round its last bit another way than one of a single row.
    assert farthest(run_own(pipe), own_pictures) < 1e-4
    assert pipe.memory is not None
    assert 0 < pipe.memory.last_peak <= 1.02 * pipe.memory.last_planned


def test_on_the_host_a_sequential_model_is_in_its_files_between_requests(kontext_dir: Path) -> None:
    pipe = open_kontext(kontext_dir, "sequential")

    def present() -> set[str]:
        parts = ("text_encoder", "text_encoder_2", "transformer", "vae")
        return {
            name
            for name in parts
            if any(
                not weight.is_meta and "lora_" not in path
                for path, weight in getattr(pipe, name).named_parameters()
            )
        }

    assert present() == set()
    seen: list[set[str]] = []
    pipe(
        "a cat",
        num_inference_steps=2,
        height=32,
        width=32,
        callback_on_step_end=lambda *_: seen.append(present()),
    )
    assert seen == [{"transformer"}] * 2
    assert present() == set()


def test_a_lora_of_another_rank_on_modulation_stays_exact(kontext_dir: Path) -> None:
    from peft import LoraConfig

    pictures = []
    for mode in ("full", "sequential"):
        pipe = open_kontext(kontext_dir, "full")
        torch.manual_seed(7)
        config = LoraConfig(r=2, target_modules=["norm1.linear", "to_q"], init_lora_weights=False)
        pipe.transformer.add_adapter(config, "extra")
        pipe.transformer.disable_adapters()
        if mode == "sequential":
            files = find_kontext(str(kontext_dir), vlm=False)
            plan = plan_model(files, MemoryOptions(mode), device=CPU, dtype=torch.float32)
            keep_plan(pipe, plan, files, device=CPU, dtype=torch.float32)
        pipe.transformer.enable_adapters()
        pipe.transformer.set_adapter("extra")
        options: dict[str, Any] = {"num_inference_steps": 2, "height": 32, "width": 32}
        pictures.append(pipe("a cat", output_type="latent", **options).images)
    assert torch.equal(*pictures)


@pytest.fixture
def no_torchao(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import sys

    monkeypatch.setitem(sys.modules, "torchao", None)
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    return


@pytest.mark.usefixtures("no_torchao")
def test_a_missing_library_is_one_sentence_before_anything_is_loaded(kontext_dir: Path) -> None:
    with pytest.raises(ModelError, match=r"int8 needs torchao.*pip install 'dreamomni\[quant\]'"):
        open_kontext(kontext_dir, "quantized")


@pytest.mark.parametrize(("kind", "largest"), [("int8", 0.05), ("fp8", 0.25), ("nf4", 0.6)])
def test_quantised_kontext_stays_near_the_picture(
    kontext_dir: Path, kontext_pictures: list[Tensor], kind: Any, largest: float
) -> None:
    pytest.importorskip("bitsandbytes" if kind == "nf4" else "torchao")
    pipe = open_kontext(kontext_dir, "quantized", quantisation=kind)
    made = run_kontext(pipe)
    assert 0 < farthest(made, kontext_pictures) < largest
    assert pipe.memory is not None
    assert 0 < pipe.memory.last_peak <= 1.15 * pipe.memory.last_planned
    assert quantised_layers(pipe.transformer) == 2 * 12 + 2 * 5


def test_quantisation_of_our_model_stays_near_the_picture(
    tiny_model_dir: Path, own_pictures: list[Tensor]
) -> None:
    pytest.importorskip("torchao")
    assert 0 < farthest(run_own(open_own(tiny_model_dir, "quantized")), own_pictures) < 0.05


def test_what_is_small_or_outside_blocks_is_not_quantised() -> None:
    pytest.importorskip("torchao")
    network = nn.ModuleDict(
        {"blocks": nn.ModuleList([nn.Linear(64, 64), nn.Linear(8, 64)]), "out": nn.Linear(64, 64)}
    )
    assert quantise(network, "int8") == 1
    assert quantised_layers(network) == 1


def test_too_little_memory_is_told_before_loading(kontext_dir: Path) -> None:
    with pytest.raises(ModelError, match=r"full .* needs .* MB, but cpu has 2\.0 MB"):
        open_kontext(kontext_dir, "full", device_bytes=2_000_000)
