"""From a model folder to its components: safetensors and our own classes only, every weight accounted for."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler
from safetensors import SafetensorError
from transformers import Qwen2VLForConditionalGeneration

from dreamomni.errors import ModelError
from dreamomni.models.transformer import DreamOmniTransformer2DModel
from dreamomni.models.vlm import ImageOnlyQwenVLProcessor


def load_components(folder: Path, dtype: torch.dtype, *, skip: Collection[str] = ()) -> dict[str, Any]:
    """Build the components of a model folder on the CPU, in evaluation mode.

    Args:
        folder: A folder that `resolve_model` returned.
        dtype: The weights are converted to it, whatever the files hold.
        skip: Names of components that are not wanted.

    Raises:
        ModelError: A file is damaged, or the weights do not fit the configuration.
    """
    loaders = {
        "transformer": lambda path: DreamOmniTransformer2DModel.from_pretrained(
            path, torch_dtype=dtype, use_safetensors=True, output_loading_info=True
        ),
        "vae": lambda path: AutoencoderKL.from_pretrained(
            path, torch_dtype=dtype, use_safetensors=True, output_loading_info=True
        ),
        "text_encoder": lambda path: Qwen2VLForConditionalGeneration.from_pretrained(
            path, dtype=dtype, use_safetensors=True, local_files_only=True, output_loading_info=True
        ),
        "processor": lambda path: (ImageOnlyQwenVLProcessor.from_pretrained(path, local_files_only=True), {}),
        "scheduler": lambda path: (FlowMatchEulerDiscreteScheduler.from_pretrained(path), {}),
    }
    components = {}
    for name, load in loaders.items():
        if name in skip:
            continue
        path = folder / name
        try:
            component, report = load(str(path))
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            RuntimeError,
            SafetensorError,
        ) as error:
            reason = " ".join(str(error).split())
            raise ModelError(f"{path} cannot be loaded: {reason[:300] or type(error).__name__}") from error
        for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            if keys := report.get(problem):
                raise ModelError(
                    f"{path} does not hold the weights of its configuration: {len(keys)} "
                    f"{problem.replace('_', ' ')}, among them {min(map(str, keys))}"
                )
        components[name] = component.eval() if isinstance(component, torch.nn.Module) else component
    return components
