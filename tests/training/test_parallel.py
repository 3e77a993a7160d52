"""Real networks, shared by two processes: their blocks run several times, by name, in other precisions."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from launched import launch
from PIL import Image
from torch import nn
from toy_training import Losses, ToyTask, run_toy, toy_recipe

from dreamomni.errors import ConfigError
from dreamomni.models.layers import DiTBlock, ResidualConvBlock
from dreamomni.models.presets import build_transformer
from dreamomni.training import parallel
from dreamomni.training.autoencoder_task import AutoencoderTask
from dreamomni.training.checkpoint import load_latest
from dreamomni.training.config import AutoencoderTaskConfig, TrainingConfig
from dreamomni.training.optim import Optimizers, check_optimizer
from dreamomni.training.parallel import check_compile, prepare_blocks
from dreamomni.training.processes import ALONE, join
from dreamomni.training.task import WHOLE, Part, StepOutput
from dreamomni.training.trainer import train


class VelocityTask:
    """The tiny DreamOmni network on noise, with two input images: convolution blocks run once for each."""

    def __init__(self, training: TrainingConfig, num_images: int = 2) -> None:
        self.training, self.num_images = training, num_images

    def prepare(self, run_dir: Path) -> None:
        self.network = build_transformer("tiny", text_width=8)
        with torch.no_grad():  # the output layer starts at zero and would hide what lies before it
            for parameter in self.network.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        self.network.to(self.training.device)

    def modules(self) -> dict[str, nn.Module]:
        return {"transformer": self.network}

    def blocks(self) -> list[nn.Module]:
        return [block for block in self.network.modules() if isinstance(block, DiTBlock | ResidualConvBlock)]

    def batch(self, step: int, part: Part = WHOLE) -> dict[str, torch.Tensor]:
        rows = part.rows(self.training.batch_size)
        draws = torch.Generator().manual_seed(step)
        shapes = {"target": (16, 4, 8), "text": (5, 8), "sigma": (), "images": (self.num_images, 16, 4, 4)}
        whole = {
            name: torch.randn(self.training.batch_size, *shape, generator=draws)
            for name, shape in shapes.items()
        }
        return {name: tensor[rows.start : rows.stop] for name, tensor in whole.items()}

    def loss(self, batch: dict[str, torch.Tensor], generator: torch.Generator) -> StepOutput:
        out = self.network(
            batch["target"], batch["sigma"].sigmoid(), batch["text"], None, list(batch["images"].unbind(1))
        )
        return StepOutput((out.sample.float() - batch["target"]).square().mean())

    def sample_grid(self, step: int) -> Image.Image | None:
        batch = self.batch(step)
        out = self.network(batch["target"], batch["sigma"], batch["text"]).sample
        return Image.new("L", (1, 1), int(out.float().abs().mean().clamp(0, 1) * 255))

    def export(self, folder: Path) -> None:
        self.network.save_pretrained(folder)


def losses_of(run_dir: Path, size: int, make: Callable[..., object], **settings: object) -> torch.Tensor:
    """Train with `size` processes; losses by step."""
    path = run_dir.with_suffix(".losses")

    def work(rank: int) -> None:
        recipe, seen = (
            toy_recipe(**{"max_steps": 3, "warmup_steps": 1, "sample_every": 3, **settings}),
            Losses(),
        )
        train(recipe, make(recipe.training), run_dir, resume=False, hooks=[seen])
        if rank == 0:
            torch.save(torch.tensor([seen.by_step[step] for step in sorted(seen.by_step)]), path)

    launch(size, work, run_dir.with_suffix(".out"))
    return torch.load(path, weights_only=True)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.Tensor]:
    run_dir = tmp_path_factory.mktemp("one") / "run"
    return run_dir, losses_of(run_dir, 1, VelocityTask)


@pytest.mark.parametrize(
    "settings",
    [
        {"parallel": "ddp", "activation_checkpointing": True, "gradient_accumulation_steps": 2},
        {"parallel": "fsdp", "activation_checkpointing": True, "gradient_accumulation_steps": 2},
    ],
)
def test_the_network_has_the_losses_of_one_process(
    tmp_path: Path, one: tuple[Path, torch.Tensor], settings: dict[str, object]
) -> None:
    run_dir, expected = one
    ours = losses_of(tmp_path / "run", 2, VelocityTask, **settings)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=0)
    assert (tmp_path / "run" / "export" / "config.json").read_text() == (
        run_dir / "export" / "config.json"
    ).read_text()


def test_fsdp_computes_in_bf16_over_fp32_shards(tmp_path: Path, one: tuple[Path, torch.Tensor]) -> None:
    ours = losses_of(tmp_path / "run", 2, VelocityTask, parallel="fsdp", precision="bf16")
    assert not torch.equal(ours, one[1])
    torch.testing.assert_close(ours, one[1], rtol=2e-2, atol=0)
    saved = load_latest(tmp_path / "run" / "checkpoints")
    assert saved is not None
    assert {tensor.dtype for tensor in saved.modules.values()} == {torch.float32}


def test_the_autoencoder_has_the_losses_of_one_process(tmp_path: Path) -> None:
    """Its encoder and decoder are called by name, and its weights lie channels-last."""
    world = tmp_path / "tiny.yaml"
    world.write_text("size: 32x32\nnames: [star, heart]\nmixture: {single: 1.0}\nheld_out: {fraction: 0}\n")
    config = AutoencoderTaskConfig(
        data=str(world), block_out_channels=(8, 8, 8, 8), norm_num_groups=4, num_statistics_images=8
    )

    def make(training: TrainingConfig) -> AutoencoderTask:
        return AutoencoderTask(config, training)

    alone = losses_of(tmp_path / "one", 1, make)
    ours = losses_of(tmp_path / "two", 2, make, parallel="fsdp")
    torch.testing.assert_close(ours, alone, rtol=1e-5, atol=0)


def test_blocks_keep_their_names_when_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(torch, "compile", lambda forward: lambda *args: calls.append(1) or forward(*args))
    task = ToyTask(toy_recipe().training, separable=True)
    task.prepare(Path())
    names = set(task.net.state_dict())
    prepare_blocks(task.blocks(), checkpointing=True, compiled=True)
    assert set(task.net.state_dict()) == names
    task.net(torch.ones(1, 3, 4, 4)).sum().backward()
    assert len(calls) == 4  # each of the two blocks runs again in the backward pass


@pytest.mark.slow
def test_compiled_blocks_train(tmp_path: Path) -> None:
    plain, _ = run_toy(tmp_path / "plain", task=None, max_steps=4)
    compiled, _ = run_toy(tmp_path / "compiled", task=None, max_steps=4, compile=True)
    assert compiled == pytest.approx(plain, rel=1e-4)


def test_compile_without_a_compiler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel.shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs a C\+\+ compiler"):
        check_compile(torch.device("cpu"))
    with pytest.raises(ConfigError, match="compile does not work on mps"):
        check_compile(torch.device("mps"))


def test_the_8_bit_optimizer_is_refused_where_it_cannot_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="adamw8bit needs a CUDA device, and this is cpu; say adamw"):
        run_toy(tmp_path / "run", optimizer="adamw8bit")
    assert not (tmp_path / "run").exists()
    monkeypatch.setitem(__import__("sys").modules, "bitsandbytes.optim", None)
    with pytest.raises(ConfigError, match="pip install bitsandbytes"):
        check_optimizer(toy_recipe(optimizer="adamw8bit").training, torch.device("cuda"))


def test_state_of_an_8_bit_optimizer_is_named_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its counters are Python numbers, and its scales have shapes of their own."""
    task = ToyTask(toy_recipe().training)
    task.prepare(Path())
    ours, theirs = (Optimizers(task.modules(), toy_recipe().training) for _ in range(2))
    weight = ours.parameters["net.blocks.0.weight"]
    state = {"step": 3, "state1": torch.ones_like(weight, dtype=torch.uint8), "absmax1": torch.rand(7)}
    ours._optimizers[0].state[weight] = dict(state)
    theirs.load_state_tensors(ours.state_tensors())
    loaded = theirs._optimizers[0].state[weight]
    assert loaded["step"] == 3
    assert isinstance(loaded["step"], int)
    assert all(torch.equal(loaded[name], state[name]) for name in ("state1", "absmax1"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
class TestOnOneGpu:
    """What only a GPU can show; needs nothing but the repository."""

    @pytest.mark.parametrize("optimizer", ["adamw", "muon"])
    def test_bf16_follows_fp32(self, tmp_path: Path, optimizer: str) -> None:
        settings = {"device": "cuda", "optimizer": optimizer, "num_workers": 0}
        full = losses_on_gpu(tmp_path / "fp32", precision="fp32", **settings)
        half = losses_on_gpu(tmp_path / "bf16", precision="bf16", **settings)
        assert half != full
        assert half == pytest.approx(full, rel=3e-2)

    def test_fused_adamw_resumes_bit_equal(self, tmp_path: Path) -> None:
        settings = {"device": "cuda", "precision": "bf16", "decay": {"type": "constant"}}
        whole = losses_on_gpu(tmp_path / "whole", max_steps=6, **settings)
        losses_on_gpu(tmp_path / "parts", max_steps=3, **settings)
        rest = losses_on_gpu(tmp_path / "parts", max_steps=6, resume=True, **settings)
        assert rest == whole[3:]

    def test_compiled_blocks_follow_eager_ones(self, tmp_path: Path) -> None:
        settings = {"device": "cuda", "precision": "bf16"}
        eager = losses_on_gpu(tmp_path / "eager", **settings)
        compiled = losses_on_gpu(
            tmp_path / "compiled", compile=True, activation_checkpointing=True, **settings
        )
        assert compiled == pytest.approx(eager, rel=1e-2)

    def test_checkpointed_activations_take_less_memory(self, tmp_path: Path) -> None:
        peaks = []
        for again in (False, True):
            torch.cuda.reset_peak_memory_stats()
            losses_on_gpu(
                tmp_path / str(again),
                device="cuda",
                batch_size=64,
                activation_checkpointing=again,
                max_steps=4,
            )
            peaks.append(torch.cuda.max_memory_allocated())
        assert peaks[1] < peaks[0]

    def test_fsdp_on_one_gpu_follows_one_process(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = losses_on_gpu(tmp_path / "one", device="cuda", precision="bf16")
        variables = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1, "LOCAL_WORLD_SIZE": 1, "MASTER_PORT": 29517}
        for name, value in variables.items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        sharded = losses_on_gpu(tmp_path / "fsdp", device="cuda", precision="bf16", parallel="fsdp")
        assert sharded == pytest.approx(expected, rel=2e-2)

    def test_8_bit_adamw_follows_adamw(self, tmp_path: Path) -> None:
        pytest.importorskip("bitsandbytes")
        settings = {"device": "cuda", "decay": {"type": "constant"}}
        full = losses_on_gpu(tmp_path / "adamw", **settings)
        whole = losses_on_gpu(tmp_path / "whole", optimizer="adamw8bit", max_steps=8, **settings)
        assert whole == pytest.approx(full, rel=5e-2)
        losses_on_gpu(tmp_path / "parts", optimizer="adamw8bit", max_steps=4, **settings)
        rest = losses_on_gpu(tmp_path / "parts", optimizer="adamw8bit", max_steps=8, resume=True, **settings)
        assert rest == whole[4:]


def losses_on_gpu(run_dir: Path, *, resume: bool = False, **settings: object) -> list[float]:
    recipe, seen = toy_recipe(**{"max_steps": 8, "batch_size": 8, "sample_every": 8, **settings}), Losses()
    train(recipe, VelocityTask(recipe.training), run_dir, resume=resume, hooks=[seen])
    return [seen.by_step[step] for step in sorted(seen.by_step)]


def test_alone_is_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with join(toy_recipe().training) as world:
        assert world is ALONE
    assert "RANK" not in os.environ
    assert world.gather("x") == ["x"]
