"""The benchmark's own code at tiny numbers: it must not first fail on a rented GPU."""

import json
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import training_networks as networks  # noqa: E402

import training as benchmark  # noqa: E402

TINY = {**networks.SMALL, "conv_width": 32, "width": 128, "num_heads": 2, "num_stages": 2, "text_width": 32}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "SMALL", TINY)


def test_peers_have_our_parameters_and_tokens() -> None:
    work = networks.Work(2, 5, 8, 64)
    builders, facts = networks.make_networks(TINY, work)
    sizes = {name: networks.count(build) for name, build in builders.items()}
    for name in ("sd3", "flux"):
        assert sizes[name] == facts[name]["parameters"]
        assert abs(sizes[name] / sizes["dreamomni"] - 1) <= networks.TOLERANCE
    shapes = {
        name: networks.make_forward(build(), work, torch.device("cpu"))() for name, build in builders.items()
    }
    assert shapes["dreamomni"].shape == shapes["sd3"].shape == (2, 16, 8, 8)
    assert shapes["flux"].shape == (2, 16, 64)  # as many tokens, each of 2x2 cells


def test_a_size_that_cannot_be_met_is_an_error() -> None:
    with pytest.raises(SystemExit, match="no size of flux has 100 parameters"):
        networks.fit(networks.flux, 100, 64, networks.Work(2, 5, 8, 64))


def test_the_comparison_prints_ratios(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "numbers.json"
    words = "--sizes 64 --batch 1 --text-tokens 4 --rounds 2 --steps 1 --precisions fp32 --modes eager"
    assert benchmark.main([*words.split(), "--json", str(target)]) == 0
    assert "to flux" in capsys.readouterr().out
    tree = json.loads(target.read_text())
    assert len(tree["results"]) == 2  # without and with the optimizer
    for row in tree["results"]:
        ours, theirs = row["rates"]["dreamomni"], row["rates"]["sd3"]
        assert row["ratios"]["sd3"] == pytest.approx([a / b for a, b in zip(ours, theirs, strict=True)])


def test_the_gpu_mode_runs_on_any_device(tmp_path: Path) -> None:
    target = tmp_path / "numbers.json"
    words = (
        "--gpu --device cpu --preset tiny --sizes 64 128 --text-tokens 4 --rounds 1 --steps 1 --modes eager "
    )
    words += "--precisions fp32 --peak 0.1 --memory-gb 0.02"
    assert benchmark.main([*words.split(), "--json", str(target)]) == 0
    rows = json.loads(target.read_text())["rows"]
    assert [(row["size"], row["checkpointing"]) for row in rows] == [
        (64, False),
        (64, True),
        (128, False),
        (128, True),
    ]
    for row in rows:
        assert row["mfu"] == pytest.approx(row["images_per_second"] * row["tflop_per_image"] / 0.1)
        assert row["batch"] >= 1
    assert rows[1]["batch"] >= rows[0]["batch"] >= rows[2]["batch"]


def test_what_does_not_fit_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "--gpu --device cpu --preset tiny --sizes 64 --rounds 1 --steps 1 --modes eager --precisions fp32 "
    )
    assert benchmark.main([*words.split(), "--peak", "1", "--memory-gb", "0.001"]) == 0
    assert "does not fit" in capsys.readouterr().out
