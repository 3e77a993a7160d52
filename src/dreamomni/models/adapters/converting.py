"""From one format of LoRA files to another, without a model, or checked against the shapes of one."""

import json
from pathlib import Path

import torch
from diffusers import FluxTransformer2DModel
from torch import nn

from dreamomni.errors import ModelError
from dreamomni.models.adapters.attach import check_fits
from dreamomni.models.adapters.reading import WEIGHTS_NAME, read_adapter
from dreamomni.models.adapters.weights import AdapterWeights
from dreamomni.models.adapters.writing import Format, write_adapter
from dreamomni.models.transformer import DreamOmniTransformer2DModel

_KINDS = {
    "FluxTransformer2DModel": FluxTransformer2DModel,
    "DreamOmniTransformer2DModel": DreamOmniTransformer2DModel,
}
_PLACES = ("transformer", "base/transformer", ".")


def convert_adapter(
    source: str | Path, target: str | Path, to: Format, model: str | Path | None = None
) -> tuple[AdapterWeights, Path]:
    """Read a LoRA and write it in another format.

    Args:
        source: A safetensors file of any known format, or a folder with one.
        target: File to write; without `.safetensors` at its end, a folder to write the usual name into.
        to: The format.
        model: A model folder that the LoRA must fit; only its config is read.

    Returns:
        What was read, and the file that was written.

    Raises:
        ModelError: The file cannot be used, or does not fit the model.
        OutputError: The target cannot be written.
    """
    weights = read_adapter(source)
    if model is not None:
        check_fits(empty_transformer(model), weights)
    path = Path(target) if Path(target).suffix == ".safetensors" else Path(target) / WEIGHTS_NAME
    write_adapter(path, weights, to=to)
    return weights, path


def empty_transformer(model: str | Path) -> nn.Module:
    """The network of a model folder on the meta device: shapes without weights.

    Raises:
        ModelError: There is no config of a network that takes LoRAs.
    """
    folder = Path(model).expanduser()
    path = next(
        (folder / place / "config.json" for place in _PLACES if (folder / place / "config.json").is_file()),
        None,
    )
    if path is None:
        raise ModelError(f"{model} is no model folder: there is no transformer/config.json in it")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        kind = _KINDS.get(config.get("_class_name"))
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from None
    if kind is None:
        raise ModelError(
            f"{path} describes a {config.get('_class_name')}, and LoRAs are known for {' and '.join(_KINDS)}"
        )
    try:
        with torch.device("meta"):
            return kind.from_config(config)
    except (ValueError, TypeError) as error:
        raise ModelError(f"{path} describes no network that can be built: {error}") from None
