"""The networks of a DiT run: built or loaded, and refused where they do not fit each other or the data."""

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from dreamomni import runtime, storage
from dreamomni.errors import CheckpointError, ConfigError, ModelError
from dreamomni.models.adapters import add_adapter
from dreamomni.models.autoencoder import Autoencoder
from dreamomni.models.presets import build_transformer, load_transformer, transformer_config
from dreamomni.models.transformer import DOWNSAMPLING, DreamOmniTransformer2DModel
from dreamomni.models.vlm import VLMEncoder
from dreamomni.tasks.geometry import Size
from dreamomni.training.config import DitTaskConfig, TrainingConfig
from dreamomni.training.frozen import (
    FrozenEncoders,
    Source,
    hash_weights,
    load_autoencoder,
    load_text_encoder,
)

_WITHOUT_WEIGHTS = frozenset({"reference_attention", "index_encoding", "position_shift"})
"""Settings that change no weight: a trained network may go on with others."""
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Networks(NamedTuple):
    """The networks of one model."""

    transformer: DreamOmniTransformer2DModel
    autoencoder: Autoencoder
    encoder: VLMEncoder

    @property
    def frozen(self) -> FrozenEncoders:
        """Autoencoder and VLM, for what they say while they do not learn."""
        return FrozenEncoders(self.autoencoder, self.encoder)

    @property
    def grid_px(self) -> int:
        """Sides of pictures must be multiples of this many pixels."""
        coarse = 1 if self.transformer.config.variant == "v3" else 2
        return self.autoencoder.spatial_factor * DOWNSAMPLING * coarse


def build_networks(config: DitTaskConfig, training: TrainingConfig) -> Networks:
    """Load the autoencoder and the VLM, and build the network or load that of `init_from`.

    Raises:
        ConfigError: A setting of the network is unknown or impossible, networks do not fit each other, or
            the LoRA names layers that are not there.
        ModelError: A folder holds no such network.
    """
    device, dtype = runtime.pick_device(training.device), _DTYPES[config.frozen_precision]
    joint = config.text_encoder_mode == "joint"
    autoencoder = load_autoencoder(config.autoencoder, dtype, device)
    encoder = load_text_encoder(config.text_encoder, torch.float32 if joint else dtype, device)
    if joint:
        # The last layer, the final norm and the head come after the penultimate features.
        language = encoder.model.model.language_model
        language.embed_tokens.requires_grad_(True)
        for layer in language.layers[:-1]:
            layer.requires_grad_(True)
    transformer = _transformer(config, encoder.width, autoencoder.channels)
    if config.lora is not None:
        lora = config.lora
        add_adapter(transformer, lora.name, rank=lora.rank, alpha=lora.alpha, targets=lora.targets)
    return Networks(transformer.to(device), autoencoder, encoder)


def _transformer(config: DitTaskConfig, text_width: int, channels: int) -> DreamOmniTransformer2DModel:
    known = set(inspect.signature(DreamOmniTransformer2DModel.__init__).parameters) - {"self"}
    if unknown := sorted(set(config.model) - known):
        raise ConfigError(f"model has no setting {unknown[0]!r}; it has {', '.join(sorted(known))}")
    if config.init_from is not None:
        source = Source.parse(config.init_from)
        dtype = torch.float32 if config.lora is None else _DTYPES[config.frozen_precision]
        transformer = load_transformer(source.name, source.subfolder, dtype)
        _take_over(transformer, config)
    else:
        try:
            transformer_config(config.preset)
            changes = {"text_width": text_width, "in_channels": channels, **config.model}
            transformer = build_transformer(config.preset, **changes)
        except (ModelError, ValueError, TypeError) as error:
            raise ConfigError(f"preset {config.preset!r} with model {config.model}: {error}") from None
    for name, width, what, where in (
        ("text_width", text_width, "text features", config.text_encoder),
        ("in_channels", channels, "latent channels", config.autoencoder),
    ):
        found = transformer.config[name]
        if found != width:
            raise ConfigError(
                f"the network of {config.init_from or config.preset} reads {found} {what}, but {where} has "
                f"{width}: take the one that it was trained with"
            )
    return transformer


def _take_over(transformer: DreamOmniTransformer2DModel, config: DitTaskConfig) -> None:
    """Apply `model` to a trained network, as far as its weights stay what they are."""
    for name, value in config.model.items():
        value = tuple(value) if isinstance(value, list) else value
        found = transformer.config[name]
        found = tuple(found) if isinstance(found, list) else found
        if found == value:
            continue
        if name not in _WITHOUT_WEIGHTS:
            raise ConfigError(
                f"model.{name} is {value!r}, but the network of {config.init_from} was built with {found!r}: "
                "leave it out, or train from the preset without init_from"
            )
        transformer.register_to_config(**{name: value})


def check_sizes(networks: Networks, sizes: Sequence[Size], config: DitTaskConfig) -> None:
    """Refuse data whose pictures the networks cannot take.

    Raises:
        ConfigError: A side is not on the grid.
    """
    grid_px = networks.grid_px
    bad = [size for size in sizes if size.width % grid_px or size.height % grid_px]
    if bad:
        variant = networks.transformer.config.variant
        raise ConfigError(
            f"{len(bad)} of {len(sizes)} sizes of the data, such as {bad[0]}, are not in multiples of "
            f"{grid_px} pixels, as the autoencoder of {config.autoencoder} and a network of variant "
            f"{variant} need: give the data sizes or buckets in multiples of {grid_px}"
        )


def frozen_weights(config: DitTaskConfig) -> dict[str, str]:
    """Hashes of the weights that a run begins with and does not change, by the setting that names them."""
    names = ["autoencoder", "text_encoder", *(["init_from"] if config.lora is not None else [])]
    return {name: hash_weights(getattr(config, name)) for name in names}


def check_same_weights(run_dir: Path, weights: dict[str, str], config: DitTaskConfig) -> None:
    """See `check_same_files`; the places are the settings of these names."""
    check_same_files(run_dir, weights, {name: getattr(config, name) for name in weights})


def check_same_files(run_dir: Path, weights: Mapping[str, str], places: Mapping[str, str]) -> None:
    """Remember the weights that a run begins with, and refuse others when it goes on.

    Raises:
        CheckpointError: A folder holds other weights than before.
        OutputError: The run folder cannot be written.
    """
    path = run_dir / "frozen.json"
    try:
        saved: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        storage.write_json(path, weights)
        return
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    for name, value in weights.items():
        if saved.get(name) != value:
            raise CheckpointError(
                f"{places[name]} holds other weights than those this run began with (sha256 "
                f"{value[:12]}, then {str(saved.get(name))[:12]}): put them back, or use another run folder"
            )
