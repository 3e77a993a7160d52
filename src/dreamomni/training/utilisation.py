"""How much of a device's arithmetic a run uses (MFU): peaks by name, and the one formula.

MFU = (operations of forward and backward per sample) x (samples per second) / (peak of a device x devices).
The operations are those of the model (`training.estimate.flops`): what activation checkpointing or a kernel
computes again does not count, so a faster way to the same gradients shows as a higher MFU.
"""

import os

import torch

BF16_PEAKS: tuple[tuple[str, float], ...] = (
    ("H200", 990.0),
    ("H100 PCIe", 756.0),
    ("H100 NVL", 835.0),
    ("H100", 990.0),
    ("GH200", 990.0),
    ("B200", 2250.0),
    ("A100", 312.0),
    ("A800", 312.0),
    ("L40S", 362.0),
    ("A6000", 155.0),
    ("RTX 4090", 165.0),
    ("RTX 3090", 71.0),
)
"""Dense bf16 TFLOP/s with fp32 sums, by a part of the device's name; the first that fits counts."""


def peak_tflops(device: torch.device, stated: float | None = None) -> float | None:
    """Peak of one device in TFLOP/s: as stated, else by the name of the device; None where nobody knows."""
    if stated is not None:
        return stated
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in BF16_PEAKS if part.lower() in name.lower()), None)


def num_devices() -> int:
    """Devices of the run, as the launcher says: one for each process."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def mfu(tflop_per_sample: float, samples_per_second: float, peak: float, devices: int = 1) -> float:
    """Share of the peak that is used, from 0 to 1.

    Args:
        tflop_per_sample: 1e12 operations of forward and backward for one sample.
        samples_per_second: Of the whole run.
        peak: TFLOP/s of one device.
        devices: How many.
    """
    return tflop_per_sample * samples_per_second / (peak * devices)
