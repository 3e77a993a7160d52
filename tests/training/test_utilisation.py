"""MFU by hand, and peaks by name."""

import pytest
import torch

from dreamomni.training.utilisation import mfu, num_devices, peak_tflops


def test_mfu_by_hand() -> None:
    # 2 TFLOP a sample, 198 samples a second: 396 of 4 x 990 TFLOP/s.
    assert mfu(2.0, 198.0, 990.0, 4) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H200", 990.0),
        ("NVIDIA H100 80GB HBM3", 990.0),
        ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("Some New GPU", None),
    ],
)
def test_a_peak_is_found_by_name(name: str, peak: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    assert peak_tflops(torch.device("cuda")) == peak
    assert peak_tflops(torch.device("cuda"), stated=123.0) == 123.0


def test_a_cpu_has_no_peak_of_its_own() -> None:
    assert peak_tflops(torch.device("cpu")) is None
    assert peak_tflops(torch.device("cpu"), stated=0.1) == 0.1


def test_the_launcher_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert num_devices() == 1
    monkeypatch.setenv("WORLD_SIZE", "16")
    assert num_devices() == 16
