"""Train the DreamOmni network: rectified flow on latents, conditioned on the VLM (section 3.3).

The autoencoder stays frozen. The VLM is frozen as in the paper, or its language layers learn along
(`text_encoder_mode: joint`), which a VLM of two million parameters needs. Words and input images are dropped
now and then, so that guidance towards either works.
"""

import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from dreamomni.models.folder import ModelCard
from dreamomni.models.layers import DiTBlock, ResidualConvBlock
from dreamomni.training.config import DitTaskConfig, TrainingConfig
from dreamomni.training.dit_batch import BatchMaker, DitBatch
from dreamomni.training.dit_export import export_model, export_with_adapter, make_card, pipeline_parts
from dreamomni.training.dit_loss import velocity_loss
from dreamomni.training.dit_networks import (
    Networks,
    build_networks,
    check_same_weights,
    check_sizes,
    frozen_weights,
)
from dreamomni.training.dit_preview import sample_grid
from dreamomni.training.feature_cache import open_cache
from dreamomni.training.mixture import Mixture
from dreamomni.training.rows import Feed, LiveFeed
from dreamomni.training.task import WHOLE, Part, StepOutput


class DitTask:
    """Velocity matching on a mixture of data; exports a complete model folder.

    Args:
        config: What is trained on what.
        training: Seed, batch size and device.

    Raises:
        ConfigError: The data names what is not there, or is empty.
        DataError: Data cannot be read.
    """

    def __init__(self, config: DitTaskConfig, training: TrainingConfig) -> None:
        self.config, self.training = config, training
        self.mixture = Mixture(config.parts, training.seed)

    def prepare(self, run_dir: Path) -> None:
        """Load the frozen networks, build the one that learns, and compute the features that are missing.

        Raises:
            ConfigError: Networks, data and batch size do not fit each other.
            ModelError: A network is missing or incomplete.
            CheckpointError: The run began with other weights, or features are missing or damaged.
        """
        config, training = self.config, self.training
        self.networks: Networks = build_networks(config, training)
        check_sizes(self.networks, self.mixture.sizes, config)
        weights = frozen_weights(config)
        check_same_weights(run_dir, weights, config)
        cache = None
        if config.feature_cache is not None:
            kept = {
                "moments": weights["autoencoder"] if config.caches_moments else None,
                "text": weights["text_encoder"] if config.caches_text else None,
            }
            cache = open_cache(
                config,
                self.mixture,
                kept,
                self.networks.frozen,
                run_dir,
                num_workers=training.num_workers,
            )
        live = [LiveFeed(own, words=config.words) for own in self.mixture.sets]
        feeds: list[Feed] = list(cache.feeds if cache else live)
        self.batches = BatchMaker(
            config,
            training,
            feeds,
            self.mixture.weights,
            self.networks.encoder,
            null=cache.null if cache else None,
            snapshots=run_dir / "order",
            data=json.dumps(self.mixture.identities, sort_keys=True),
        )

    def modules(self) -> dict[str, nn.Module]:
        """The network, of which a LoRA may be all that learns, and the VLM when it learns along."""
        trained: dict[str, nn.Module] = {"transformer": self.networks.transformer}
        if self.config.text_encoder_mode == "joint":
            trained["text_encoder"] = self.networks.encoder.model
        return trained

    def blocks(self) -> list[nn.Module]:
        """Convolution blocks and DiT blocks, and the layers of the VLM that learn along."""
        kinds = (DiTBlock, ResidualConvBlock)
        language = self.networks.encoder.model.model.language_model
        found = list(language.layers[:-1]) if self.config.text_encoder_mode == "joint" else []
        return [
            *found,
            *(module for module in self.networks.transformer.modules() if isinstance(module, kinds)),
        ]

    def batch(self, step: int, part: Part = WHOLE) -> DitBatch:
        """A part of the batch of a step.

        Raises:
            DataError: A sample is damaged; the message names it.
        """
        return self.batches.batch(step, part)

    def loss(self, batch: DitBatch, generator: torch.Generator) -> StepOutput:
        """Mean squared error of the velocity; logged by task and by band of sigma."""
        return velocity_loss(self.networks, batch, self.config.timesteps, generator)

    def sample_grid(self, step: int) -> Image.Image:
        """For every task a few samples: input images, what was made, the truth."""
        return sample_grid(self.networks, self.config, self.mixture)

    def card(self) -> ModelCard:
        """What the exported model says of itself."""
        return make_card(self.config, self.training, self.mixture)

    def pipeline_parts(self) -> dict[str, Any]:
        """The live networks, and the card, under the names that a pipeline gives them."""
        return pipeline_parts(self.networks, self.card())

    def export(self, folder: Path) -> None:
        """Write the model folder: bf16 weights, processor, scheduler, card, and the LoRA that was trained."""
        if self.config.lora is None:
            export_model(folder, self.networks, self.config, self.card())
        else:
            export_with_adapter(folder, self.networks, self.config, self.config.lora.name, self.card())
