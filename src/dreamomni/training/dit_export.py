"""The trained DiT with its parts as a model: the card, the folder, and live parts for a pipeline."""

import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from dreamomni.errors import ConfigError
from dreamomni.models import adapters
from dreamomni.models.autoencoder import Autoencoder
from dreamomni.models.folder import ADAPTER_FOLDERS, CARD_NAME, ModelCard, read_card, save_model_folder
from dreamomni.training.config import DitTaskConfig, TrainingConfig
from dreamomni.training.dit_networks import Networks
from dreamomni.training.frozen import Source, load_autoencoder
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
            **({} if config.lora is None else {"lora": config.lora.model_dump(mode="json")}),
            **({} if config.words == "user" else {"words": config.words}),
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


def export_with_adapter(
    folder: Path, networks: Networks, config: DitTaskConfig, name: str, card: ModelCard
) -> None:
    """Write the folder of the base model with a LoRA that was trained: base weights as they are, bf16 LoRA.

    Weights of the network, the autoencoder and the VLM are copied from where they were read. Another LoRA
    that lies beside the network comes along. The card is that of the base model, with what the LoRA adds.

    Raises:
        ConfigError: The autoencoder to ship has not the latents that were trained on.
        OutputError: The LoRA cannot be written.
    """
    assert config.init_from is not None
    source = _local(config.init_from)
    beside = source.parent if source is not None and (source.parent / CARD_NAME).is_file() else None
    with adapters.detached(networks.transformer):
        save_model_folder(
            folder,
            transformer=networks.transformer,
            vae=_shipped(networks.autoencoder, config).model,
            text_encoder=networks.encoder.model,
            processor=networks.encoder.processor,
            card=card if beside is None else _joined(read_card(beside), card),
            dtype=torch.bfloat16,
        )
    # What was read from files goes on as those files: rounding to bf16 would make another base of it.
    named = {
        "transformer": source,
        "vae": _local(config.export_autoencoder or config.autoencoder),
        "text_encoder": _local(config.text_encoder),
    }
    for component, origin in named.items():
        if origin is not None:
            _copy_weights(origin, folder / component)
    if beside is not None:
        for other in ADAPTER_FOLDERS.values():
            if other != ADAPTER_FOLDERS[name] and (beside / other).is_dir():
                shutil.copytree(beside / other, folder / other)
    weights = adapters.weights_of(networks.transformer, name).to(torch.bfloat16)
    adapters.write_adapter(folder / ADAPTER_FOLDERS[name] / adapters.WEIGHTS_NAME, weights)


def _local(text: str) -> Path | None:
    """The folder that a setting names, or None for a hub id."""
    source = Source.parse(text)
    folder = Path(source.name) / (source.subfolder or "")
    return folder if folder.is_dir() else None


def _copy_weights(origin: Path, folder: Path) -> None:
    """Weights and their index, as they are, in place of those that are there."""
    for pattern in ("*.safetensors", "*.safetensors.index.json"):
        for path in folder.glob(pattern):
            path.unlink()
        for path in origin.glob(pattern):
            shutil.copyfile(path, folder / path.name)


def _joined(base: ModelCard, ours: ModelCard) -> ModelCard:
    """The card of the base, with the tasks and the number of images that the LoRA adds."""
    images = None if base.max_images is None else max(base.max_images, ours.max_images or 0)
    tasks = tuple(sorted({*base.tasks, *ours.tasks}))
    training = {**base.training, "lora": ours.training}
    return base.model_copy(update={"tasks": tasks, "max_images": images, "training": training})


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
