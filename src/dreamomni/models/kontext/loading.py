"""Build the parts of FLUX.1-Kontext from its folder, one by one, so that each may be freed before the next.

Weights are read from safetensors alone; classes are those named here, whatever the folder says.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from transformers import CLIPTextModel, CLIPTokenizer, T5EncoderModel, T5TokenizerFast

from dreamomni.errors import ModelError
from dreamomni.models.components import LOADING_ERRORS, load_component
from dreamomni.models.kontext.files import BASE_HUB_NAME, KontextFiles

NETWORKS: Mapping[str, Any] = {
    "text_encoder": CLIPTextModel,
    "text_encoder_2": T5EncoderModel,
    "transformer": FluxTransformer2DModel,
    "vae": AutoencoderKL,
}
"""Part -> class, in the order in which a request needs them."""
_HELPERS: Mapping[str, Callable[..., Any]] = {
    "tokenizer": CLIPTokenizer.from_pretrained,
    "tokenizer_2": T5TokenizerFast.from_pretrained,
    "scheduler": FlowMatchEulerDiscreteScheduler.from_pretrained,
}
PARTS = (*NETWORKS, *_HELPERS)


def load_part(files: KontextFiles, part: str, dtype: torch.dtype = torch.float32) -> Any:
    """Build one part on the CPU; networks come in evaluation mode.

    Args:
        files: From `find_kontext`.
        part: One of `PARTS`.
        dtype: Of the weights, whatever the file holds; helpers have none.

    Raises:
        ModelError: A file is damaged, or the weights do not fit the configuration.
    """
    if part in NETWORKS:
        return load_component(NETWORKS[part], files.base, part, dtype)
    folder = files.base / part
    try:
        return _HELPERS[part](str(folder), local_files_only=True)
    except LOADING_ERRORS as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ModelError(f"{folder} cannot be loaded: {reason}") from error


def load_parts(files: KontextFiles, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """Build all parts of the base; see `load_part`.

    Raises:
        ModelError: A part cannot be loaded, or they do not belong together.
    """
    parts = {part: load_part(files, part, dtype) for part in PARTS}
    widths = {
        "latent_channels": parts["vae"].config.latent_channels,
        "pooled": parts["text_encoder"].config.hidden_size,
        "text": parts["text_encoder_2"].config.d_model,
    }
    check_widths(str(files.base), parts["transformer"].config, **widths)
    return parts


def check_widths(where: str, transformer: Any, *, latent_channels: int, pooled: int, text: int) -> None:
    """Refuse a transformer that does not take what the other parts give.

    Args:
        where: The folder, for messages.
        transformer: The configuration of the transformer.
        latent_channels: Of the autoencoder.
        pooled: Width of CLIP.
        text: Width of T5.

    Raises:
        ModelError: A width differs; other FLUX.1 models (Fill, Depth) take more channels than Kontext.
    """
    for what, takes, gets in (
        ("channels of a token", transformer["in_channels"], 4 * latent_channels),
        ("channels of the pooled text", transformer["pooled_projection_dim"], pooled),
        ("channels of the text", transformer["joint_attention_dim"], text),
    ):
        if takes != gets:
            raise ModelError(
                f"the transformer in {where} takes {takes} {what} and the other parts give {gets}: they are "
                f"of different models, so download {BASE_HUB_NAME} again"
            )
