"""A complete tiny model with random weights, of the very classes of the real ones."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL

from dreamomni.models.autoencoder import MINI_VAE_CONFIG
from dreamomni.models.folder import ModelCard, save_model_folder
from dreamomni.models.presets import build_transformer
from dreamomni.models.vlm import build_mini_vlm

TINY_VAE_CONFIG = {**MINI_VAE_CONFIG, "block_out_channels": (8, 8, 16, 16), "norm_num_groups": 4}
WORDS = (
    "two red stars above a blue house",
    "replace the car with a green tree",
    "add a yellow fish to the left of the purple boat",
    "remove the pink heart",
)


def build_tiny_model(folder: Path, *, dtype: torch.dtype | None = None, **card: object) -> Path:
    """Write a model folder in well under a second; keywords change its card."""
    torch.manual_seed(0)
    vlm = build_mini_vlm(WORDS)
    transformer = build_transformer("tiny", text_width=vlm.width)
    with torch.no_grad():
        for parameter in transformer.parameters():
            # The zero-initialised output layer would make every prompt give the same picture.
            parameter.add_(0.05 * torch.randn_like(parameter))
    defaults = {
        "name": "tiny",
        "tasks": ("text_to_image", "edit"),
        "base_size": 32,
        "world": "mini-world",
        "licence": "Apache-2.0",
        "num_inference_steps": 3,
        "max_pixels": 256 * 256,
    }
    save_model_folder(
        folder,
        transformer=transformer,
        vae=AutoencoderKL.from_config(TINY_VAE_CONFIG),
        text_encoder=vlm.model,
        processor=vlm.processor,
        card=ModelCard.model_validate(defaults | card),
        shift=1.5,
        dtype=dtype,
    )
    return folder
