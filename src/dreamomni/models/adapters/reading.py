"""A LoRA file -> `AdapterWeights`, whichever of the common spellings it has; or one sentence why not.

Read are safetensors in the keys of diffusers and PEFT (`transformer.x.lora_A.weight`), of kohya
(`lora_unet_x.lora_down.weight`) and of ComfyUI (`diffusion_model.x.lora_A.weight`). Refused are pickles,
damaged or empty files, NaN, halves without their other half, ranks that do not meet, layers named twice, and
methods other than plain LoRA. Weights for a text encoder are left out with a warning: only networks that make
pictures are adapted here.
"""

import json
import logging
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dreamomni.errors import ModelError
from dreamomni.models.adapters.fusing import to_parts
from dreamomni.models.adapters.names import hint_of, recognise
from dreamomni.models.adapters.weights import AdapterWeights, LowRank

log = logging.getLogger(__name__)

WEIGHTS_NAME = "pytorch_lora_weights.safetensors"
"""The file in a folder of a LoRA, as diffusers names it."""
METADATA_KEY = "lora_adapter_metadata"
"""Where diffusers keeps the settings of a LoRA in the header of its file."""

_PEFT_NAME, _PEFT_CONFIG = "adapter_model.safetensors", "adapter_config.json"
_HALF = re.compile(r"(.+?)\.(lora_A|lora_B|lora_down|lora_up|lora\.down|lora\.up)(?:\.([\w-]+))?\.weight")
_DOWN = frozenset({"lora_A", "lora_down", "lora.down"})
_PREFIXES = (
    "base_model.model.",
    "transformer.",
    "model.diffusion_model.",
    "diffusion_model.",
    "lora_unet_",
    "lora_transformer_",
)
_TEXT = ("lora_te_", "lora_te1_", "lora_te2_", "lora_te3_", "text_encoder", "text_encoders.", "text_model.")
_OTHER_METHODS = (
    (re.compile(r"lora_magnitude_vector|dora_scale"), "DoRA"),
    (re.compile(r"\.hada_"), "LoHa"),
    (re.compile(r"\.lokr_"), "LoKr"),
    (re.compile(r"\.oft_|\.boft_"), "OFT"),
    (re.compile(r"\.diff(_b)?$"), "whole differences of weights"),
    (re.compile(r"lora_B\.bias|lora_up\.bias"), "LoRA with biases"),
)


class _Settings(NamedTuple):
    """Alphas from the header: one for all, others for names that match, and what divides them."""

    alpha: float | None = None
    patterns: Mapping[str, float] = {}
    by_root: bool = False


def read_adapter(path: str | Path) -> AdapterWeights:
    """Read a LoRA.

    Args:
        path: A safetensors file, or the folder that holds one.

    Raises:
        ModelError: It cannot be read as a LoRA; the message says why.
    """
    file = find_file(path)
    tensors, metadata = _load(file)
    beside = file.with_name(_PEFT_CONFIG)
    if METADATA_KEY not in metadata and file.name == _PEFT_NAME and beside.is_file():
        metadata = {**metadata, METADATA_KEY: beside.read_text(encoding="utf-8")}
    return parse_adapter(tensors, metadata, str(path))


def find_file(path: str | Path) -> Path:
    """The file that a path means.

    Raises:
        ModelError: There is none, there are several, or it is a pickle.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        named = [path / name for name in (WEIGHTS_NAME, _PEFT_NAME) if (path / name).is_file()]
        found = named[:1] or sorted(path.glob("*.safetensors"))
        if len(found) != 1:
            pickles = [p.name for p in sorted(path.iterdir()) if p.suffix in (".bin", ".pt", ".ckpt", ".pth")]
            what = f"{len(found)} safetensors files, so say which" if found else "no safetensors file"
            pickled = f" (only {pickles[0]}, a pickle, which is not opened)" if pickles and not found else ""
            raise ModelError(f"{path} is no folder of a LoRA: it holds {what}{pickled}")
        return found[0]
    if not path.is_file():
        raise ModelError(f"there is no LoRA {path}: name a safetensors file, or a folder with {WEIGHTS_NAME}")
    return path


def _load(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with file.open("rb") as stream:
            start = stream.read(9)
    except OSError as error:
        raise ModelError(f"{file} cannot be read: {(error.strerror or str(error)).lower()}") from None
    if not start:
        raise ModelError(f"{file} is empty: fetch it again")
    # A safetensors file starts with eight bytes of any kind, and then its header in JSON.
    if start[8:] != b"{" and start.startswith((b"\x80", b"PK\x03\x04")):
        raise ModelError(
            f"{file} is a pickle, which can run code when it is opened: only safetensors are read, so ask "
            "its author for that"
        )
    try:
        with safe_open(str(file), framework="pt") as opened:
            metadata = dict(opened.metadata() or {})
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{file} is no safetensors file, or is damaged: {reason}") from None
    return tensors, metadata


def parse_adapter(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str], source: str = "the LoRA"
) -> AdapterWeights:
    """Read a LoRA from the tensors of a file.

    Args:
        tensors: By their keys.
        metadata: Of the header.
        source: What messages call it.

    Raises:
        ModelError: They are no LoRA; the message says why.
    """
    ours = {key: value for key, value in tensors.items() if not key.startswith(_TEXT)}
    if not tensors:
        raise ModelError(f"{source} holds no weights")
    if not ours:
        raise ModelError(
            f"{source} holds {len(tensors)} weights, all for a text encoder and none for this one"
        )
    for pattern, method in _OTHER_METHODS:
        if odd := [key for key in ours if pattern.search(key)]:
            raise ModelError(
                f"{source} holds {method} ({len(odd)} of {len(ours)} keys, first {odd[0]}): only plain LoRA "
                "is read"
            )
    if bad := [key for key, value in ours.items() if not torch.isfinite(value.float()).all()]:
        raise ModelError(
            f"{source} is damaged: {len(bad)} of {len(ours)} weights hold NaN or infinity ({bad[0]})"
        )
    stems, alphas = _sort(ours, source)
    hint = hint_of(_bare(stem) for stem in stems)
    layers = _place(_pair(stems, alphas, _settings(metadata, source), source), source)
    left_out = len(tensors) - len(ours)
    if left_out:
        log.warning("%s: %d weights for a text encoder are left out", source, left_out)
    return AdapterWeights(layers, source, left_out, hint)


def _sort(
    tensors: Mapping[str, Tensor], source: str
) -> tuple[dict[str, dict[str, Tensor]], dict[str, float]]:
    """Halves and alphas by the stem of their key."""
    stems: dict[str, dict[str, Tensor]] = {}
    alphas: dict[str, float] = {}
    odd = []
    for key, value in tensors.items():
        if match := _HALF.fullmatch(key):
            half = "down" if match[2] in _DOWN else "up"
            halves = stems.setdefault(match[1], {})
            if half in halves:
                raise ModelError(f"{source} names {match[1]} twice: it holds more than one LoRA")
            halves[half] = value
        elif key.endswith(".alpha") and value.numel() == 1:
            alphas[key.removesuffix(".alpha")] = float(value)
        else:
            odd.append(key)
    if odd or not stems:
        what = "no LoRA" if not stems else "not only a LoRA"
        raise ModelError(
            f"{source} is {what}: {len(odd)} of {len(tensors)} keys are no part of one, first "
            f"{(odd or sorted(alphas))[0]}"
        )
    return stems, alphas


def _pair(
    stems: Mapping[str, Mapping[str, Tensor]],
    alphas: Mapping[str, float],
    settings: _Settings,
    source: str,
) -> dict[str, LowRank]:
    """Both halves of every layer with its alpha, by stem."""
    if single := [stem for stem, halves in stems.items() if len(halves) < 2]:
        half = "up (B)" if "down" in stems[single[0]] else "down (A)"
        raise ModelError(
            f"{source} is not complete: {len(single)} of {len(stems)} layers have one half only; {single[0]} "
            f"lacks {half}"
        )
    if lost := sorted(alphas.keys() - stems.keys()):
        raise ModelError(f"{source} is not complete: {len(lost)} alphas have no layer, first {lost[0]}")
    paired = {}
    for stem, halves in stems.items():
        down, up = (_flat(halves[half], stem, source) for half in ("down", "up"))
        rank = down.shape[0]
        if up.shape[1] != rank or not rank:
            raise ModelError(
                f"{source} is damaged: at {stem} A has rank {rank} and B has rank {up.shape[1]}, which must "
                "be one number above 0"
            )
        alpha = alphas.get(stem, _alpha(settings, _bare(stem), rank))
        if not math.isfinite(alpha):
            raise ModelError(f"{source} is damaged: the alpha of {stem} is {alpha}")
        paired[stem] = LowRank(down, up, alpha)
    return paired


def _flat(weight: Tensor, stem: str, source: str) -> Tensor:
    """A matrix; a convolution of one cell is one."""
    if weight.ndim == 4 and weight.shape[2:] == (1, 1):
        weight = weight[:, :, 0, 0]
    if weight.ndim != 2 or not weight.is_floating_point():
        raise ModelError(
            f"{source} cannot be used: {stem} has a weight of shape {tuple(weight.shape)} and type "
            f"{str(weight.dtype).removeprefix('torch.')}, and only matrices of numbers with a point are read"
        )
    return weight.contiguous()


def _place(paired: Mapping[str, LowRank], source: str) -> dict[str, LowRank]:
    """By paths of diffusers. What no family knows keeps its own name, and the model will refuse it."""
    layers: dict[str, LowRank] = {}
    originals: dict[str, LowRank] = {}
    for stem, layer in paired.items():
        name = recognise(_bare(stem))
        own, path = (
            (originals, name.path) if name and name.original else (layers, name.path if name else _bare(stem))
        )
        if path in own:
            raise ModelError(f"{source} names {path} twice, in two spellings")
        own[path] = layer
    try:
        split = to_parts(originals)
    except ModelError as error:
        raise ModelError(f"{source} cannot be used: {error}") from None
    if twice := sorted(split.keys() & layers.keys()):
        raise ModelError(f"{source} names {twice[0]} twice, in two spellings")
    return {**layers, **split}


def _bare(stem: str) -> str:
    """A stem without what says whose it is."""
    for prefix in _PREFIXES:
        stem = stem.removeprefix(prefix)
    return stem


def _settings(metadata: Mapping[str, str], source: str) -> _Settings:
    if METADATA_KEY not in metadata:
        return _Settings()
    try:
        tree: dict[str, Any] = {
            key.removeprefix("transformer."): value
            for key, value in json.loads(metadata[METADATA_KEY]).items()
        }
        if tree.get("use_dora"):
            raise ModelError(f"{source} holds DoRA: only plain LoRA is read")
        alpha = tree.get("lora_alpha")
        patterns = {str(key): float(value) for key, value in (tree.get("alpha_pattern") or {}).items()}
        for pattern in patterns:
            re.compile(pattern)
        return _Settings(None if alpha is None else float(alpha), patterns, bool(tree.get("use_rslora")))
    except (ValueError, TypeError, AttributeError, re.error) as error:
        raise ModelError(f"{source} has settings in its header that cannot be read: {error}") from None


def _alpha(settings: _Settings, path: str, rank: int) -> float:
    alpha = settings.alpha
    for pattern, value in settings.patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", path):
            alpha = value
            break
    if alpha is None:
        return float(rank)
    return alpha * rank**0.5 if settings.by_root else alpha
