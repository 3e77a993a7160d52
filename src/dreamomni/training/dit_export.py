"""The trained DiT with its parts as a model: the card, the folder, and live parts for a pipeline."""

from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from dreamomni.errors import ConfigError
from dreamomni.models.autoencoder import Autoencoder
from dreamomni.models.folder import ModelCard, save_model_folder
from dreamomni.training.config import DitTaskConfig, TrainingConfig
from dreamomni.training.dit_networks import Networks
from dreamomni.training.frozen import load_autoencoder
from dreamomni.training.mixture import Mixture


def make_card(config: DitTaskConfig, training: TrainingConfig, mixture: Mixture) -> ModelCard:
    """What the model learned, from its data, and the options of the recipe."""
    return ModelCard(
        name=config.card_name,
        tasks=mixture.tasks,
        base_size=mixture.base_size,
        controls=mixture.controls,
        world=mixture.world,
        licence="Apache-2.0",
        num_inference_steps=config.sample_steps,
        guidance_scale=config.sample_guidance_scale,
        image_guidance_scale=config.sample_image_guidance_scale,
        max_images=mixture.max_images,
        training={
            "num_steps": training.max_steps,
            "num_samples": training.max_steps * training.batch_size,
            "text_encoder": config.text_encoder_mode,
        },
    )


def pipeline_parts(networks: Networks, card: ModelCard) -> dict[str, Any]:
    """The live networks under the names that a pipeline gives them."""
    return {
        "transformer": networks.transformer,
        "vae": networks.autoencoder.model,
        "text_encoder": networks.encoder.model,
        "processor": networks.encoder.processor,
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=1.0),
        "card": card,
    }


def export_model(folder: Path, networks: Networks, config: DitTaskConfig, card: ModelCard) -> None:
    """Write the model folder: bf16 weights, processor, scheduler, card.

    Raises:
        ConfigError: The autoencoder to ship has not the latents that were trained on.
    """
    save_model_folder(
        folder,
        transformer=networks.transformer,
        vae=_shipped(networks.autoencoder, config).model,
        text_encoder=networks.encoder.model,
        processor=networks.encoder.processor,
        card=card,
        dtype=torch.bfloat16,
    )


def _shipped(autoencoder: Autoencoder, config: DitTaskConfig) -> Autoencoder:
    if config.export_autoencoder is None:
        return autoencoder
    shipped = load_autoencoder(config.export_autoencoder, torch.float32, torch.device("cpu"))
    if (shipped.shift, shipped.scale) != (autoencoder.shift, autoencoder.scale):
        raise ConfigError(
            f"{config.export_autoencoder} has not the latents of {config.autoencoder} "
            f"(shift {shipped.shift:.4f}, scale {shipped.scale:.4f}): train it with freeze_encoder"
        )
    return shipped
