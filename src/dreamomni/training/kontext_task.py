"""Train a LoRA of FLUX.1-Kontext for several input images (DreamOmni2 section 3.2).

Editing and generation are trained apart, each to a LoRA of its own, on targets of any size and one to five
images at their own sizes. Index encoding and position shift come from `models.packing`, as at inference. The
base learns nothing: checkpoints, averages and the export hold the LoRA alone.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from dreamomni.flow.noise import draw_noise
from dreamomni.flow.path import interpolate, velocity_target
from dreamomni.flow.schedule import make_sigmas, shift_for_tokens
from dreamomni.flow.solvers import sample_euler
from dreamomni.models import adapters
from dreamomni.models.folder import ADAPTER_FOLDERS
from dreamomni.models.packing import Grid, pack_latents, unpack_latents
from dreamomni.tasks.sample import TrainingSample
from dreamomni.training.config import TrainingConfig
from dreamomni.training.dit_batch import BatchMaker, DitBatch, Prompts
from dreamomni.training.dit_loss import draw, summed_up
from dreamomni.training.dit_networks import check_same_files
from dreamomni.training.dit_preview import grid_of, in_groups
from dreamomni.training.estimate.lora import FluxCost
from dreamomni.training.feature_cache import open_cache
from dreamomni.training.kontext_config import KontextTaskConfig
from dreamomni.training.kontext_networks import (
    PATCH,
    KontextNetworks,
    base_weights,
    build_kontext,
    check_kontext_sizes,
)
from dreamomni.training.mixture import Mixture
from dreamomni.training.pictures import to_uint8
from dreamomni.training.rows import Feed, LiveFeed
from dreamomni.training.task import WHOLE, Part, StepOutput
from dreamomni.training.words import words_of


class KontextTask:
    """Velocity matching of a LoRA on a frozen FLUX.1-Kontext.

    Args:
        config: What is trained on what.
        training: Seed, batch size and device.

    Raises:
        ConfigError: The data names what is not there, or is empty.
        DataError: Data cannot be read.
    """

    def __init__(self, config: KontextTaskConfig, training: TrainingConfig) -> None:
        self.config, self.training = config, training
        self.mixture = Mixture(config.parts, training.seed)

    def prepare(self, run_dir: Path) -> None:
        """Load the base, put the LoRA on it, and compute the moments that are missing.

        Raises:
            ConfigError: Networks, data and batch size do not fit each other.
            ModelError: A network is missing or incomplete.
            CheckpointError: The run began with other weights, or features are missing or damaged.
        """
        config, training = self.config, self.training
        self.networks: KontextNetworks
        self.networks, files = build_kontext(config, training)
        self.cost = FluxCost(self.networks.transformer)
        check_kontext_sizes(self.networks, self.mixture.sizes, config)
        weights = base_weights(files)
        check_same_files(run_dir, weights, dict.fromkeys(weights, config.base))
        feeds: list[Feed] = [LiveFeed(own, words=config.words) for own in self.mixture.sets]
        if config.feature_cache is not None:
            kept = {"moments": weights["vae"], "text": None}
            cache = open_cache(
                config,
                self.mixture,
                kept,
                self.networks.frozen,
                run_dir,
                num_workers=training.num_workers,
            )
            feeds = list(cache.feeds)
        self.batches = BatchMaker(
            config,
            training,
            feeds,
            self.mixture.weights,
            None,
            snapshots=run_dir / "order",
            data=json.dumps(self.mixture.identities, sort_keys=True),
        )

    def modules(self) -> dict[str, nn.Module]:
        """The network, of which the LoRA learns."""
        return {"transformer": self.networks.transformer}

    def blocks(self) -> list[nn.Module]:
        """Double blocks, then single blocks."""
        network = self.networks.transformer
        return [*network.transformer_blocks, *network.single_transformer_blocks]

    def batch(self, step: int, part: Part = WHOLE) -> DitBatch:
        """A part of the batch of a step.

        Raises:
            DataError: A sample is damaged; the message names it.
        """
        return self.batches.batch(step, part)

    def loss(self, batch: DitBatch, generator: torch.Generator) -> StepOutput:
        """Mean squared error of the velocity; latents are modes of the posterior, as in the release."""
        networks, config = self.networks, self.config
        assert isinstance(batch.text, Prompts)
        latents, *images = (self._latents(own) for own in (batch.target, *batch.images))
        noise, sigma = draw(batch, tuple(latents.shape[1:]), config.timesteps, generator)
        noise, sigma = noise.to(latents.device), sigma.to(latents.device)
        text = networks.read(batch.text.texts)
        velocity = networks.velocity(
            interpolate(latents, noise, sigma), sigma, text, images, config.guidance_scale
        )
        target = pack_latents(velocity_target(latents, noise))
        errors = (velocity - target).square().flatten(1).mean(1)
        tokens = [own.shape[2] * own.shape[3] // PATCH**2 for own in (latents, *images)]
        cost = self.cost(text[1].shape[1], tokens[0], sum(tokens[1:]))
        return summed_up(errors, sigma, batch, cost)

    def _latents(self, pictures: torch.Tensor) -> torch.Tensor:
        """Normalised latents of pixels, or of the moments that a cache gave."""
        known = pictures.dtype != torch.uint8
        moments = pictures if known else self.networks.frozen.moments(pictures)
        return self.networks.autoencoder.latents_from_moments(moments.float())

    def sample_grid(self, step: int) -> Image.Image:
        """For every task a few samples: input images, what was made, the truth."""
        return grid_of(self.mixture, lambda samples: in_groups(samples, self._generate))

    @torch.no_grad()
    def _generate(self, samples: Sequence[TrainingSample]) -> np.ndarray:
        """Pictures of samples of one shape, with FLUX.1's schedule."""
        networks, config = self.networks, self.config
        autoencoder = networks.autoencoder
        columns = zip(*(sample.images for sample in samples), strict=True)
        images = [self._latents(torch.from_numpy(np.stack(column))) for column in columns]
        text = networks.read([words_of(sample, config.words) for sample in samples])
        factor = autoencoder.spatial_factor
        height, width = (side // factor for side in samples[0].target.shape[:2])
        grid = Grid(height // PATCH, width // PATCH)
        noise = draw_noise((autoencoder.channels, height, width), [sample.index for sample in samples])
        noise = noise.to(autoencoder.device)

        def velocity(latents: torch.Tensor, sigma: float) -> torch.Tensor:
            sigmas = torch.full((len(latents),), sigma, device=latents.device)
            found = networks.velocity(latents, sigmas, text, images, config.sample_guidance_scale)
            return unpack_latents(found, grid)

        sigmas = make_sigmas(config.sample_steps, shift=shift_for_tokens(grid.num_tokens))
        return to_uint8(autoencoder.decode(sample_euler(velocity, noise, sigmas)))

    def export(self, folder: Path) -> None:
        """Write `edit_lora/` or `gen_lora/` as DreamOmni2 is published: bf16, diffusers' keys."""
        name = self.config.lora.name
        weights = adapters.weights_of(self.networks.transformer, name).to(torch.bfloat16)
        path = folder / ADAPTER_FOLDERS[name] / adapters.WEIGHTS_NAME
        adapters.write_adapter(path, weights, about={"base": self.config.base})
