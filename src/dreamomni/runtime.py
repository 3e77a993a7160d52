"""Where and how tensors live: device, dtype, threads, generators. Called by the doors, never at import."""

import platform
from importlib import metadata

import torch

from dreamomni.errors import ConfigError

_DTYPES = {
    "bf16": torch.bfloat16,
    "bfloat16": torch.bfloat16,
    "fp32": torch.float32,
    "float32": torch.float32,
    "fp16": torch.float16,
    "float16": torch.float16,
}


def pick_device(name: str | None = None) -> torch.device:
    """Return the device called `name` ("cpu", "cuda", "cuda:1", "mps"), or the best one at hand for None.

    Raises:
        ConfigError: The device is unknown or not present.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise ConfigError(f"device {name!r} is unknown: say cpu, cuda, cuda:N or mps") from None
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if count == 0 or (device.index or 0) >= count:
            raise ConfigError(f"device {name!r} is not there: this machine has {count} CUDA devices; say cpu")
    elif device.type == "mps":
        if not torch.backends.mps.is_available():
            raise ConfigError("device 'mps' is not there; say cpu")
    elif device.type != "cpu":
        raise ConfigError(f"device {name!r} is not supported: say cpu, cuda, cuda:N or mps")
    return device


def pick_dtype(name: str | None, device: torch.device) -> torch.dtype:
    """Return the dtype called `name` ("bf16", "fp32" or "fp16"); for None bf16 on CUDA, fp32 elsewhere.

    Raises:
        ConfigError: The dtype is unknown, or it is fp16 on the CPU, where it is not usable.
    """
    if name is None:
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name not in _DTYPES:
        raise ConfigError(f"dtype {name!r} is unknown: say bf16, fp32 or fp16")
    dtype = _DTYPES[name]
    if dtype is torch.float16 and device.type == "cpu":
        raise ConfigError("fp16 is too slow on the CPU to be usable: say bf16 or fp32")
    return dtype


def native_bf16(device: torch.device) -> bool:
    """Tell whether `device` multiplies bf16 in hardware; emulated it is a hundred times slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False


def cpu_generator(seed: int) -> torch.Generator:
    """Return a torch generator on the CPU, seeded. Seeds are taken modulo 2**64; negative ones are refused.

    Raises:
        ConfigError: The seed is negative.
    """
    if seed < 0:
        raise ConfigError(f"seed {seed} is negative: say 0 or more")
    # torch reads seeds as signed 64-bit numbers, while derived seeds fill all 64 bits.
    return torch.Generator("cpu").manual_seed((seed + 2**63) % 2**64 - 2**63)


def set_threads(num_threads: int | None = None) -> None:
    """Limit the threads torch uses for one operation; None leaves torch's own choice.

    Raises:
        ConfigError: The number is below one.
    """
    if num_threads is None:
        return
    if num_threads < 1:
        raise ConfigError(f"number of threads {num_threads} is below 1")
    torch.set_num_threads(num_threads)


def versions() -> dict[str, str]:
    """Return the versions that decide a result: ours, Python's and those of the numerical libraries."""
    names = ("dreamomni", "torch", "diffusers", "transformers", "peft", "numpy", "pillow")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found
