"""Load one component of a model from a folder or the hub, and turn every way it can fail into one sentence.

diffusers and transformers raise a dozen exception types for a bad folder, and only warn about a missing
weight, which then stays random. Here both become one error, for the classes of both libraries.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from dreamomni.errors import ModelError

LOADING_ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    KeyError,
    TypeError,
    AttributeError,
    ImportError,
    SafetensorError,
)
_SHOWN = 3


def component_path(source: str | Path, subfolder: str | None = None) -> str:
    """Return `source` with `subfolder` as people would write it, for messages."""
    return f"{source}/{subfolder}" if subfolder else str(source)


def load_component(
    cls: Any, source: str | Path, subfolder: str | None = None, torch_dtype: torch.dtype | None = None
) -> Any:
    """Load a diffusers or transformers model, complete and finite, in evaluation mode.

    Args:
        cls: A `ModelMixin` or `PreTrainedModel` class.
        source: A folder, or a hub id.
        subfolder: Folder of the component below `source`.
        torch_dtype: Dtype of the weights; None means float32.

    Raises:
        ModelError: Nothing is there, it is a model of another class, or its weights are unreadable, missing,
            of a wrong shape, or not finite.
    """
    where = component_path(source, subfolder)
    folder = Path(source) / (subfolder or "")
    looks_local = Path(source).exists() or Path(source).is_absolute() or str(source).startswith((".", "~"))
    if looks_local and not folder.is_dir():
        raise ModelError(f"{where} is not a folder, so there is no {cls.__name__} to load: check the path")
    if looks_local:
        check_config(folder / "config.json", cls)
    try:
        model, report = cls.from_pretrained(
            str(source),
            subfolder=subfolder or "",
            torch_dtype=torch_dtype or torch.float32,
            use_safetensors=True,
            output_loading_info=True,
        )
    except LOADING_ERRORS as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ModelError(f"{where} cannot be loaded as {cls.__name__}: {reason}") from error
    for key, problem in (
        ("missing_keys", "lacks"),
        ("mismatched_keys", "has another shape for"),
        ("error_msgs", "cannot be read at"),
    ):
        if names := sorted(map(str, report.get(key, ()))):
            what = f"it {problem} {len(names)} weights ({_some(names)})"
            raise ModelError(f"{where} is not a complete {cls.__name__}: {what}")
    if names := non_finite_weights(model):
        raise ModelError(f"{where} is damaged: {len(names)} weights hold NaN or infinity ({_some(names)})")
    return model.eval()


def check_config(path: Path, cls: Any) -> None:
    """Refuse the config of another class: a model of any size might be built from it and filled at random."""
    if not path.is_file():
        raise ModelError(f"{path.parent} holds no config.json, so it is not a folder of {cls.__name__}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}") from None
    config = config if isinstance(config, dict) else {}
    transformers_config = getattr(cls, "config_class", None)
    if transformers_config is not None:
        expected, found = transformers_config.model_type, config.get("model_type")
    else:
        expected, found = cls.__name__, config.get("_class_name")
    if found != expected:
        raise ModelError(f"{path} describes a model of kind {found!r}, but {expected!r} is needed")


def non_finite_weights(module: nn.Module) -> list[str]:
    """Return the names of the parameters that hold a NaN or an infinity."""
    # A sum is finite when all terms are, short of overflow; the exact test then runs on the suspects only.
    return [
        name
        for name, weight in module.named_parameters()
        if not torch.isfinite(weight.detach().sum(dtype=torch.float32)) and not torch.isfinite(weight).all()
    ]


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown}, ..." if len(names) > _SHOWN else shown
