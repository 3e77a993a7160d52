"""The shapes of the networks that a recipe names, without their weights: nothing is loaded or fetched.

A local folder is asked for its config. A published model is known by its hub id. A folder that is not there
yet (an earlier run makes it) is taken to be of the packaged mini model, and the estimate says so.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

import dreamomni.models
from dreamomni.errors import ConfigError
from dreamomni.models.presets import build_transformer
from dreamomni.models.transformer import DreamOmniTransformer2DModel

PUBLISHED: dict[str, dict[str, Any]] = {
    "black-forest-labs/FLUX.1-schnell/vae": {
        "_class_name": "AutoencoderKL",
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "block_out_channels": [128, 256, 512, 512],
        "layers_per_block": 2,
        "latent_channels": 16,
        "norm_num_groups": 32,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    },
    "Qwen/Qwen2-VL-7B-Instruct": {
        "model_type": "qwen2_vl",
        "text_config": {
            "vocab_size": 152064,
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "tie_word_embeddings": False,
        },
        "vision_config": {
            "depth": 32,
            "embed_dim": 1280,
            "num_heads": 16,
            "hidden_size": 3584,
            "mlp_ratio": 4,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        "tie_word_embeddings": False,
    },
    "Qwen/Qwen2-VL-2B-Instruct": {
        "model_type": "qwen2_vl",
        "text_config": {
            "vocab_size": 151936,
            "hidden_size": 1536,
            "intermediate_size": 8960,
            "num_hidden_layers": 28,
            "num_attention_heads": 12,
            "num_key_value_heads": 2,
            "tie_word_embeddings": True,
        },
        "vision_config": {
            "depth": 32,
            "embed_dim": 1280,
            "num_heads": 16,
            "hidden_size": 1536,
            "mlp_ratio": 4,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        "tie_word_embeddings": True,
    },
}
"""Published configs of frozen models, by hub id (and folder inside it)."""
# Its language part is the same, and its gated vision FeedForward of 3420 has the weights of one of 5120.
PUBLISHED["Qwen/Qwen2.5-VL-7B-Instruct"] = PUBLISHED["Qwen/Qwen2-VL-7B-Instruct"]

_MINI = Path(dreamomni.models.__file__).parent / "weights" / "mini"


class Shapes:
    """Networks of a recipe as configs, and what was assumed about them.

    Attributes:
        assumptions: One sentence for everything that could not be looked up.
    """

    def __init__(self) -> None:
        self.assumptions: list[str] = []

    def read(self, source: str, component: str) -> dict[str, Any]:
        """The config of a component.

        Args:
            source: A local folder, or a hub id.
            component: "vae", "text_encoder" or "transformer", for a stand-in.

        Raises:
            ConfigError: A config is there and is not JSON.
        """
        if source in PUBLISHED:
            return PUBLISHED[source]
        path = Path(source) / "config.json"
        if not path.is_file():
            if not Path(source).exists():
                self.assumptions.append(
                    f"{source} is not there yet: taken to be like the {component} of mini"
                )
            path = _MINI / component / "config.json"
        try:
            tree: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ConfigError(f"{path} is not JSON: {error}") from None
        return tree

    def text_encoder(self, source: str) -> Qwen2VLConfig:
        """Config of the VLM."""
        tree = {
            key: value
            for key, value in self.read(source, "text_encoder").items()
            if key in ("text_config", "vision_config", "tie_word_embeddings")
        }
        return Qwen2VLConfig(**tree)

    def autoencoder(self, source: str) -> AutoencoderKL:
        """The autoencoder on the meta device."""
        with torch.device("meta"):
            return AutoencoderKL.from_config(self.read(source, "vae"))

    def transformer(
        self, preset: str, init_from: str | None, changes: dict[str, Any]
    ) -> DreamOmniTransformer2DModel:
        """The DiT on the meta device: of the folder it starts from, or of a preset."""
        if init_from is None or not (Path(init_from) / "config.json").is_file():
            return _built_transformer(preset, json.dumps(changes, sort_keys=True))
        with torch.device("meta"):
            return DreamOmniTransformer2DModel.from_config(self.read(init_from, "transformer"))


def count(module: nn.Module) -> int:
    """Parameters of a module."""
    return sum(parameter.numel() for parameter in module.parameters())


@cache
def _built_transformer(preset: str, changes: str) -> DreamOmniTransformer2DModel:
    """Its weights are on the meta device, so that one can serve all."""
    with torch.device("meta"):
        return build_transformer(preset, **json.loads(changes))


@cache
def _counted_text_encoder(tree: str) -> tuple[int, int]:
    with torch.device("meta"):
        model = Qwen2VLForConditionalGeneration(Qwen2VLConfig(**json.loads(tree)))
    language = model.model.language_model
    run = count(model.model) - count(language.layers[-1]) - count(language.norm)
    return count(model), run


def count_text_encoder(config: Qwen2VLConfig) -> tuple[int, int]:
    """Parameters of a VLM in all, and of what the penultimate features need."""
    tree = {"text_config": config.text_config.to_dict(), "vision_config": config.vision_config.to_dict()}
    return _counted_text_encoder(json.dumps(tree | {"tie_word_embeddings": config.tie_word_embeddings}))


def encoding_flop(autoencoder: AutoencoderKL, width: int, height: int) -> int:
    """Operations of encoding one image, counted by torch on the meta device."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        autoencoder.encode(torch.empty(1, 3, height, width, device="meta"))
    return counter.get_total_flops()


def image_tokens(config: Qwen2VLConfig, width: int, height: int) -> int:
    """Tokens of one image for the VLM: one for each square of merged patches, as near as they fit."""
    side = config.vision_config.patch_size * config.vision_config.spatial_merge_size
    return max(1, round(width / side)) * max(1, round(height / side))
