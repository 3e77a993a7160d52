"""From a model folder to the components of a pipeline: our own list of classes, whatever the folder says."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler
from transformers import Qwen2VLForConditionalGeneration

from dreamomni.errors import ModelError
from dreamomni.models.components import load_component
from dreamomni.models.folder import REWRITER_FOLDER
from dreamomni.models.processor import ImageOnlyQwenVLProcessor
from dreamomni.models.transformer import DreamOmniTransformer2DModel

if TYPE_CHECKING:
    from dreamomni.inference.rewriting.rewriter import Rewriter

_NETWORKS = {
    "transformer": DreamOmniTransformer2DModel,
    "vae": AutoencoderKL,
    "text_encoder": Qwen2VLForConditionalGeneration,
}
_HELPERS: dict[str, Callable[..., Any]] = {
    "processor": ImageOnlyQwenVLProcessor.from_pretrained,
    "scheduler": FlowMatchEulerDiscreteScheduler.from_pretrained,
}


def load_components(folder: Path, dtype: torch.dtype, *, skip: Collection[str] = ()) -> dict[str, Any]:
    """Build the components of a model folder on the CPU, in evaluation mode.

    Args:
        folder: A folder that `loading.resolve_model` returned.
        dtype: The weights are converted to it, whatever the files hold.
        skip: Names of components that are not wanted.

    Raises:
        ModelError: A file is damaged, or the weights do not fit the configuration.
    """
    components = {
        name: load_component(cls, folder, name, dtype) for name, cls in _NETWORKS.items() if name not in skip
    }
    for name, load in _HELPERS.items():
        if name in skip:
            continue
        try:
            components[name] = load(str(folder / name), local_files_only=True)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise ModelError(f"{folder / name} cannot be loaded: {reason}") from error
    return components


def open_rewriter(folder: Path, dtype: torch.dtype) -> "Rewriter | None":
    """Return the rewriter of a model folder, with its weights still on the disk; None where it has none.

    Raises:
        ModelError: Its folder is incomplete.
    """
    if not (folder / REWRITER_FOLDER).is_dir():
        return None
    from dreamomni.inference.rewriting.rewriter import Rewriter

    return Rewriter.open(folder / REWRITER_FOLDER, dtype=dtype)
