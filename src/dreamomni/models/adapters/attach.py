"""LoRAs on a live network: load several, switch between them or to none, take them off; the base stays.

Works on any diffusers network with `PeftAdapterMixin`; PEFT does the work. At most one LoRA is on. With none
on, every layer computes what it did before, bit for bit. Switching moves no weights, and what is trainable
stays so.
"""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from peft.utils import set_peft_model_state_dict
from torch import nn

from dreamomni.errors import ConfigError, ModelError
from dreamomni.models.adapters.names import DEFAULT_TARGETS, family_of
from dreamomni.models.adapters.reading import read_adapter
from dreamomni.models.adapters.weights import AdapterWeights, LowRank
from dreamomni.models.adapters.writing import peft_settings

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def load_adapter(transformer: nn.Module, path: str | Path, name: str) -> AdapterWeights:
    """Load a LoRA file under a name. Which LoRA is on does not change.

    Args:
        transformer: The network, with or without other LoRAs.
        path: A safetensors file of any known format, or a folder with one.
        name: What it will be called; letters, digits, - and _.

    Returns:
        What was read.

    Raises:
        ModelError: The file cannot be used, is for another network, or the name is taken.
    """
    _check_name(transformer, name)
    weights = read_adapter(path)
    attach(transformer, weights, name)
    return weights


def attach(transformer: nn.Module, weights: AdapterWeights, name: str) -> None:
    """Put a LoRA that was read onto a network, switched off and not trainable.

    Raises:
        ModelError: It is for another network, or the name is taken.
    """
    _check_name(transformer, name)
    check_fits(transformer, weights)
    before = active(transformer)
    tensors = {}
    for path, layer in weights.layers.items():
        tensors[f"{path}.lora_A.weight"], tensors[f"{path}.lora_B.weight"] = layer.down, layer.up
    with _keeping_gradients(transformer):
        _inject(transformer, peft_settings(weights.layers), name, tensors, empty=True)
        set_peft_model_state_dict(transformer, dict(tensors), adapter_name=name, low_cpu_mem_usage=True)
    for weight in _weights(transformer, name):
        weight.requires_grad_(False)
    activate(transformer, before)


def add_adapter(
    transformer: nn.Module, name: str, *, rank: int, alpha: float | None = None, targets: Sequence[str] = ()
) -> tuple[str, ...]:
    """Put a new LoRA onto a network and switch it on: A random from torch's global generator, B zero.

    Its weights are float32 and trainable, whatever the network computes in; all others are frozen. The output
    is that of the network until the first step.

    Args:
        transformer: The network.
        name: Of the LoRA.
        rank: Of every layer.
        alpha: Strength; None is the rank, which makes the factor 1.
        targets: Ends of paths of linear layers; none means attention and FeedForward.

    Returns:
        The paths of the layers that it adapts.

    Raises:
        ConfigError: A target fits no layer.
        ModelError: The name is taken.
    """
    _check_name(transformer, name)
    paths = find_targets(transformer, targets)
    settings = {"r": rank, "lora_alpha": rank if alpha is None else alpha, "target_modules": list(paths)}
    keys = {f"{path}.lora_A.weight": torch.empty(0) for path in paths}
    _inject(transformer, settings, name, keys, empty=False)
    activate(transformer, name)
    transformer.requires_grad_(False)
    for layer in _lora_layers(transformer).values():
        for half in (layer.lora_A, layer.lora_B):
            if name in half:
                half[name].to(torch.float32).requires_grad_(True)
    return paths


def activate(transformer: nn.Module, name: str | None) -> None:
    """Switch one LoRA on and all others off; None switches all off.

    Raises:
        ModelError: There is no LoRA of that name.
    """
    known = loaded(transformer)
    if name is not None and name not in known:
        there = f"there are {', '.join(known)}" if known else "none is loaded"
        raise ModelError(f"there is no LoRA {name!r} on the network: {there}")
    with _keeping_gradients(transformer):
        for layer in _lora_layers(transformer).values():
            if name is None:
                layer.enable_adapters(False)
            else:
                layer.set_adapter([name])
                layer.enable_adapters(True)


@contextmanager
def using(transformer: nn.Module, name: str | None) -> Iterator[None]:
    """Have one LoRA on, or none, inside the block, and what was on before after it.

    Raises:
        ModelError: There is no LoRA of that name.
    """
    before = active(transformer)
    if before == name:
        yield
        return
    activate(transformer, name)
    try:
        yield
    finally:
        activate(transformer, before)


def unload(transformer: nn.Module, name: str | None = None) -> None:
    """Take one LoRA off, or all of them. Without any, the network has its plain layers again.

    Raises:
        ModelError: There is no LoRA of that name.
    """
    known = loaded(transformer)
    if name is not None and name not in known:
        raise ModelError(f"there is no LoRA {name!r} to unload: there are {', '.join(known) or 'none'}")
    rest = [one for one in known if name is not None and one != name]
    if not known:
        return
    network: Any = transformer
    if not rest:
        with _keeping_gradients(transformer):
            network.unload_lora()
        return
    before = active(transformer)
    activate(transformer, rest[0])  # PEFT warns when it has to pick another one itself
    with _keeping_gradients(transformer):
        network.delete_adapters([name])
    activate(transformer, None if before == name else before)


def loaded(transformer: nn.Module) -> tuple[str, ...]:
    """Names of the LoRAs on a network, in the order in which they came."""
    return tuple(getattr(transformer, "peft_config", None) or ())


def active(transformer: nn.Module) -> str | None:
    """Name of the LoRA that is on, or None."""
    for layer in _lora_layers(transformer).values():
        if layer.disable_adapters or not layer.active_adapters:
            return None
        return str(layer.active_adapters[0])
    return None


def weights_of(transformer: nn.Module, name: str) -> AdapterWeights:
    """A LoRA on a network, as it would be read from a file. The tensors are those of the network.

    Raises:
        ModelError: There is no LoRA of that name.
    """
    if name not in loaded(transformer):
        raise ModelError(f"there is no LoRA {name!r} on the network")
    layers = {
        path: LowRank(
            layer.lora_A[name].weight.detach(), layer.lora_B[name].weight.detach(), layer.lora_alpha[name]
        )
        for path, layer in _lora_layers(transformer).items()
        if name in layer.lora_A
    }
    return AdapterWeights(layers, f"the LoRA {name!r}")


@contextmanager
def detached(transformer: nn.Module) -> Iterator[None]:
    """The network has its plain layers and names inside the block, for saving.

    After it the very same LoRAs are back, so that an optimizer does not lose them.
    """
    wrapped = _lora_layers(transformer)
    for path, layer in wrapped.items():
        transformer.set_submodule(path, layer.get_base_layer())
    try:
        yield
    finally:
        for path, layer in wrapped.items():
            transformer.set_submodule(path, layer)


def linear_layers(transformer: nn.Module) -> dict[str, tuple[int, int]]:
    """(inputs, outputs) of every linear layer by its path; LoRAs on it do not change it."""
    wrapped = tuple(f"{path}." for path in _lora_layers(transformer))
    found = {}
    for path, module in transformer.named_modules():
        base = module.get_base_layer() if isinstance(module, LoraLayer) else module
        if isinstance(base, nn.Linear) and not path.startswith(wrapped):
            found[path] = (int(base.in_features), int(base.out_features))
    return found


def find_targets(transformer: nn.Module, targets: Sequence[str] = ()) -> tuple[str, ...]:
    """Paths of linear layers that end in one of `targets`; none means the usual ones of the network.

    Raises:
        ConfigError: A target fits no layer.
    """
    paths = tuple(linear_layers(transformer))
    family = family_of(paths)
    wanted = tuple(targets) or (DEFAULT_TARGETS[family] if family is not None else ())
    ends = {target: [path for path in paths if f".{path}".endswith(f".{target}")] for target in wanted}
    if missing := [target for target, fitting in ends.items() if not fitting]:
        there = dict.fromkeys(re.sub(r"^\w+(\.\d+)+\.", "", path) for path in paths)
        raise ConfigError(
            f"{len(missing)} of {len(ends)} targets fit no linear layer of {type(transformer).__name__}: "
            f"{', '.join(missing)}; there are {', '.join(there)}"
        )
    chosen = {path for fitting in ends.values() for path in fitting}
    return tuple(path for path in paths if path in chosen)


def check_fits(transformer: nn.Module, weights: AdapterWeights) -> None:
    """Refuse a LoRA whose layers the network does not have, or has in other sizes.

    Raises:
        ModelError: The message says how many, which first, and what network it seems to be for.
    """
    there, kind = linear_layers(transformer), type(transformer).__name__
    unknown = [path for path in weights.layers if path not in there]
    if unknown:
        hint = f"; by its names it is for {weights.hint}" if weights.hint else ""
        raise ModelError(
            f"{weights.source} does not fit {kind}: {len(unknown)} of {len(weights.layers)} layers do not "
            f"exist in it, first {unknown[0]}{hint}"
        )
    others = []
    for path, layer in weights.layers.items():
        found = (layer.down.shape[1], layer.up.shape[0])
        if found != there[path]:
            others.append((path, found))
    if others:
        path, (inputs, outputs) = others[0]
        raise ModelError(
            f"{weights.source} is for a network of another size: {len(others)} of {len(weights.layers)} "
            f"layers differ, first {path}, which is {inputs} -> {outputs} in the file and {there[path][0]} "
            f"-> {there[path][1]} here"
        )


def _check_name(transformer: nn.Module, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ModelError(f"{name!r} is no name for a LoRA: say letters, digits, - and _, a letter first")
    if name in loaded(transformer):
        raise ModelError(f"there is a LoRA {name!r} on the network already: unload it, or take another name")


def _inject(
    transformer: nn.Module,
    settings: Mapping[str, Any],
    name: str,
    keys: Mapping[str, torch.Tensor],
    *,
    empty: bool,
) -> None:
    """Wrap the layers that `keys` name; PEFT matches them exactly by these, and not by its patterns."""
    with warnings.catch_warnings():
        # It compares with its own patterns, by which `proj_out` fits every path that ends so.
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.filterwarnings("ignore", message="Already found a `peft_config`")
        inject_adapter_in_model(
            LoraConfig(**settings), transformer, name, low_cpu_mem_usage=empty, state_dict=dict(keys)
        )
    transformer._hf_peft_config_loaded = True  # type: ignore[assignment]


def _lora_layers(transformer: nn.Module) -> dict[str, LoraLayer]:
    return {path: module for path, module in transformer.named_modules() if isinstance(module, LoraLayer)}


def _weights(transformer: nn.Module, name: str) -> list[nn.Parameter]:
    return [
        half[name].weight
        for layer in _lora_layers(transformer).values()
        for half in (layer.lora_A, layer.lora_B)
        if name in half
    ]


@contextmanager
def _keeping_gradients(transformer: nn.Module) -> Iterator[None]:
    """PEFT decides what is trainable whenever it is asked anything; here the caller does."""
    before = [(weight, weight.requires_grad) for weight in transformer.parameters()]
    yield
    for weight, wanted in before:
        weight.requires_grad_(wanted)
