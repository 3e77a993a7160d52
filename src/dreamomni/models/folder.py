"""A model on disk: the parts of its folder, the card that says what it learned, and the writer of both.

The layout is diffusers' (`model_index.json` and one folder per component) plus `card.json`. Loading is the
business of `dreamomni.inference.loading`; this module writes, and reads nothing but the card.
"""

import copy
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from pydantic import Field, ValidationError
from torch import nn

from dreamomni.config import StrictConfig
from dreamomni.errors import ModelError
from dreamomni.storage import write_json

CARD_NAME = "card.json"
INDEX_NAME = "model_index.json"

COMPONENTS: Mapping[str, tuple[str, str]] = {
    "transformer": ("dreamomni.models.transformer", "DreamOmniTransformer2DModel"),
    "vae": ("diffusers", "AutoencoderKL"),
    "text_encoder": ("transformers", "Qwen2VLForConditionalGeneration"),
    "processor": ("dreamomni.models.processor", "ImageOnlyQwenVLProcessor"),
    "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler"),
}
"""Component -> (module, class), as `model_index.json` records them."""

ADAPTER_FOLDERS: Mapping[str, str] = {"edit": "edit_lora", "generate": "gen_lora"}
"""Name of a LoRA -> its folder, which a model may lack; the names of folders are those of DreamOmni2."""
REWRITER_FOLDER = "rewriter"
"""Optional folder of a model: a VLM, with its processor, that rewrites prompts."""


class ModelCard(StrictConfig):
    """What a trained model can do, and the options it works best with."""

    name: str
    tasks: tuple[str, ...]
    """Task names of `dreamomni.tasks.request` that the model was trained on; other requests are refused."""
    base_size: int = Field(gt=0)
    """Side in pixels of the square that has the area of the training images."""
    max_pixels: int | None = Field(default=None, gt=0)
    """Largest area of one output in pixels; None means 256 times the training area."""
    max_images: int | None = Field(default=None, ge=0)
    """Most input images of one request; None means any number."""
    controls: tuple[str, ...] | None = None
    """Kinds of maps that the model learned to follow, for control; None means any."""
    world: str | None = None
    """Name of the data recipe whose world the model knows, if it knows only that."""
    licence: str = "unknown"
    num_inference_steps: int = Field(default=28, gt=0)
    guidance_scale: float = Field(default=3.0, ge=0)
    image_guidance_scale: float = Field(default=1.0, ge=0)
    training: dict[str, Any] = Field(default_factory=dict)
    """Free record of how it was trained: recipe, steps, hours, hardware."""

    @property
    def pixel_budget(self) -> int:
        """Largest area of one output, in pixels."""
        return self.max_pixels or 256 * self.base_size**2


def read_card(folder: str | Path) -> ModelCard:
    """Return the card of a model folder.

    Raises:
        ModelError: There is no card, or it is damaged; the message names the key.
    """
    path = Path(folder) / CARD_NAME
    try:
        return ModelCard.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the card"
        raise ModelError(f"{path} is not a model card: {where}: {first['msg'].lower()}") from None
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}") from None


class _Saveable(Protocol):
    def save_pretrained(self, save_directory: str) -> Any: ...


def save_model_folder(
    folder: str | Path,
    *,
    transformer: nn.Module,
    vae: nn.Module,
    text_encoder: nn.Module,
    processor: _Saveable,
    card: ModelCard,
    shift: float = 1.0,
    dtype: torch.dtype | None = None,
    max_shard_size: str = "16MB",
) -> None:
    """Write a complete model folder; `model_index.json` comes last, so an unfinished folder is no model.

    Args:
        folder: Made if it is missing; files of the same names are replaced.
        transformer: The DreamOmni network.
        vae: The AutoencoderKL inside our `Autoencoder`.
        text_encoder: The Qwen2-VL inside our `VLMEncoder`.
        processor: The processor that belongs to `text_encoder`.
        card: What the model can do.
        shift: Resolution shift of the sampling schedule.
        dtype: Store the weights in this dtype (the given modules stay as they are); None keeps theirs.
        max_shard_size: Largest file of weights, in the words of diffusers; more is split over several files.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INDEX_NAME).unlink(missing_ok=True)
    modules = {"transformer": transformer, "vae": vae, "text_encoder": text_encoder}
    for name, module in modules.items():
        stored = module if dtype is None else copy.deepcopy(module).to(dtype)
        stored.save_pretrained(str(folder / name), max_shard_size=max_shard_size)  # type: ignore[operator]
    processor.save_pretrained(str(folder / "processor"))
    FlowMatchEulerDiscreteScheduler(shift=shift).save_pretrained(str(folder / "scheduler"))
    write_json(folder / CARD_NAME, card.model_dump(mode="json"))
    index = {"_class_name": "DreamOmniPipeline", "_diffusers_version": version("diffusers")}
    write_json(folder / INDEX_NAME, {**index, **{name: list(where) for name, where in COMPONENTS.items()}})
