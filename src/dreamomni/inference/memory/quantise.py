"""Smaller weights through known libraries: int8 and fp8 by torchao, nf4 by bitsandbytes. Weights only.

Activations keep their dtype, and each weight is expanded when its layer runs. Only large matrices inside
repeated blocks are changed: embeddings, the first and last layers, norms, modulation and LoRAs stay as they
are. Eager quantised layers are slower than bf16 ones; they are for memory.
"""

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from dreamomni.errors import ModelError
from dreamomni.inference.memory.facts import LEAST_SIDE
from dreamomni.inference.memory.plan import Quantisation
from dreamomni.models.modulation import find_modulation_layers

_LIBRARY = {"int8": "torchao", "fp8": "torchao", "nf4": "bitsandbytes"}


def check_quantisation(kind: Quantisation) -> None:
    """Refuse a kind whose library is not there, before anything is loaded.

    Raises:
        ModelError: The library is missing.
    """
    _library(kind)


def quantise(network: nn.Module, kind: Quantisation) -> int:
    """Quantise a network's matrices in place, where they are.

    Args:
        network: On the CPU or on a device; adapters may be on it.
        kind: "int8", "fp8" or "nf4".

    Returns:
        How many layers were changed.

    Raises:
        ModelError: The library is missing.
    """
    library = _library(kind)
    spared = {id(layer) for layer in find_modulation_layers(network)}
    chosen = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and id(module) not in spared and _is_large_inside(name, module)
    ]
    change = _with_bitsandbytes if kind == "nf4" else _with_torchao
    if chosen:
        change(network, chosen, kind, library)
    return len(chosen)


def _is_large_inside(name: str, layer: nn.Linear) -> bool:
    pieces = name.split(".")
    inside = any(piece.isdigit() for piece in pieces)
    adapter = any(piece.startswith("lora_") for piece in pieces)
    return inside and not adapter and min(layer.in_features, layer.out_features) >= LEAST_SIDE


def _with_torchao(network: nn.Module, names: list[str], kind: str, library: Any) -> None:
    config = library.Int8WeightOnlyConfig() if kind == "int8" else library.Float8WeightOnlyConfig()
    chosen = set(names)
    choose: Callable[[nn.Module, str], bool] = lambda _, name: name in chosen  # noqa: E731
    library.quantize_(network, config, filter_fn=choose)


def _with_bitsandbytes(network: nn.Module, names: list[str], kind: str, library: Any) -> None:
    for name in names:
        path, _, leaf = name.rpartition(".")
        old = network.get_submodule(name)
        assert isinstance(old, nn.Linear)
        device, dtype = old.weight.device, old.weight.dtype
        new = library.Linear4bit(
            old.in_features,
            old.out_features,
            bias=old.bias is not None,
            compute_dtype=dtype,
            quant_type=kind,
            device="meta",
        )
        new.weight = library.Params4bit(old.weight.detach(), requires_grad=False, quant_type=kind)
        new.bias = old.bias
        setattr(network.get_submodule(path), leaf, new.to(device))


def _library(kind: Quantisation) -> Any:
    name = _LIBRARY[kind]
    inside = "torchao.quantization" if name == "torchao" else "bitsandbytes.nn"
    try:
        return importlib.import_module(inside)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ModelError(
            f"quantisation {kind} needs {name}, which is not usable here ({reason}): install it with "
            "pip install 'dreamomni[quant]', or choose --memory sequential"
        ) from None


def quantised_layers(network: nn.Module) -> int:
    """How many layers hold quantised weights."""
    return sum(
        isinstance(module, nn.Linear) and type(module.weight) not in (nn.Parameter, torch.Tensor)
        for module in network.modules()
    )
