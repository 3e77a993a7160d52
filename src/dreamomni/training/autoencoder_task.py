"""Train the autoencoder on collage images made on the fly. No adversary, no perceptual network."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor, nn

from dreamomni import runtime
from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.errors import ConfigError
from dreamomni.models.autoencoder import MINI_VAE_CONFIG
from dreamomni.seeding import derive_seed
from dreamomni.training.config import AutoencoderTaskConfig, TrainingConfig
from dreamomni.training.task import StepOutput

_GRID_IMAGES = 12
_CHUNK = 64


class ImageBatch(NamedTuple):
    """Images of one step: uint8 (B, 3, H, W) and the keys of their samples."""

    images: Tensor
    keys: list[str]


class AutoencoderTask:
    """L1 + MSE + edges + KL; exports a diffusers AutoencoderKL with measured shift and scale."""

    def __init__(self, config: AutoencoderTaskConfig, training: TrainingConfig) -> None:
        self.config, self.training = config, training
        self.data = load_recipe(config.data, CollageRecipe)
        if len(self.data.size) > 1:
            raise ConfigError(
                f"data recipe {config.data!r} has {len(self.data.size)} canvas sizes, "
                "but the autoencoder trains on one; give it a recipe with one size"
            )
        self.engine = CollageEngine(self.data, split="train")

    def prepare(self, run_dir: Path) -> None:
        """Build the network; there is no cache."""
        device = runtime.pick_device(self.training.device)
        self.vae = build_autoencoder(self.config).to(device).to(memory_format=torch.channels_last)

    def modules(self) -> dict[str, nn.Module]:
        """The whole autoencoder."""
        return {"vae": self.vae}

    def batch(self, step: int) -> ImageBatch:
        """Targets of the samples `step * batch_size` and following."""
        first = step * self.training.batch_size
        return draw_images(
            self.engine, derive_seed(self.training.seed, "data"), first, self.training.batch_size
        )

    def loss(self, batch: ImageBatch, generator: torch.Generator) -> StepOutput:
        """Weighted sum of the four terms; `psnr` in dB over the batch, for pixels in [-1, 1]."""
        pixels = to_unit(batch.images)
        posterior = self.vae.encode(pixels).latent_dist
        mean, logvar = posterior.mean.float(), posterior.logvar.float()
        noise = torch.randn(mean.shape, generator=generator).to(mean.device)
        decoded = self.vae.decode(mean + torch.exp(0.5 * logvar) * noise).sample.float()
        error = decoded - pixels
        l1, mse = error.abs().mean(), error.square().mean()
        edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        config = self.config
        loss = (
            config.l1_weight * l1
            + config.mse_weight * mse
            + config.edge_weight * edges
            + config.kl_weight * kl
        )
        metrics = {
            "psnr": 10 * torch.log10(4 / mse.detach()),
            "l1": l1.detach(),
            "edges": edges.detach(),
            "kl": kl.detach(),
        }
        return StepOutput(loss, metrics, batch.keys)

    def sample_grid(self, step: int) -> Image.Image:
        """Fixed images above their reconstructions."""
        batch = draw_images(self.engine, derive_seed(self.training.seed, "grid"), 0, _GRID_IMAGES)
        pixels = to_unit(batch.images.to(self.vae.device))
        decoded = self.vae.decode(self.vae.encode(pixels).latent_dist.mean).sample.float()
        return tile([to_uint8(pixels), to_uint8(decoded)])

    def export(self, folder: Path) -> None:
        """Measure the latents, record shift = mean and scale = 1 / std, and save in diffusers' layout."""
        mean, std = self.latent_statistics()
        self.vae.register_to_config(scaling_factor=1 / std, shift_factor=mean)
        self.vae.save_pretrained(str(folder))

    def latent_statistics(self) -> tuple[float, float]:
        """Mean and standard deviation of raw latents over images that the training steps do not see."""
        seed, total = derive_seed(self.training.seed, "statistics"), self.config.num_statistics_images
        count, first_moment, second_moment = 0, 0.0, 0.0
        for first in range(0, total, _CHUNK):
            batch = draw_images(self.engine, seed, first, min(_CHUNK, total - first))
            posterior = self.vae.encode(to_unit(batch.images.to(self.vae.device))).latent_dist
            mean, variance = posterior.mean.double(), posterior.var.double()
            count += mean.numel()
            first_moment += mean.sum().item()
            second_moment += (mean.square() + variance).sum().item()
        mean_all = first_moment / count
        return mean_all, math.sqrt(second_moment / count - mean_all**2)


def build_autoencoder(config: AutoencoderTaskConfig) -> AutoencoderKL:
    """Random weights in the mini layout with the recipe's changes, or the weights of `init_from`."""
    if config.init_from is not None:
        return AutoencoderKL.from_pretrained(config.init_from)
    layout = dict(MINI_VAE_CONFIG)
    if config.block_out_channels is not None:
        layout["block_out_channels"] = config.block_out_channels
    if config.layers_per_block is not None:
        layout["layers_per_block"] = config.layers_per_block
    return AutoencoderKL(**layout)


def draw_images(engine: CollageEngine, seed: int, first: int, count: int) -> ImageBatch:
    """Targets of `count` samples of one size."""
    samples = [engine.sample(seed, index) for index in range(first, first + count)]
    images = torch.from_numpy(np.stack([sample.target for sample in samples]))
    return ImageBatch(images.permute(0, 3, 1, 2).contiguous(), [sample.key for sample in samples])


def to_unit(images_BCHW: Tensor) -> Tensor:
    """uint8 to [-1, 1] in channels-last memory."""
    return images_BCHW.to(memory_format=torch.channels_last).float().div(127.5).sub(1)


def to_uint8(pixels_BCHW: Tensor) -> np.ndarray:
    """[-1, 1] to uint8 (B, H, W, 3)."""
    levels = pixels_BCHW.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return levels.permute(0, 2, 3, 1).cpu().numpy()


def tile(rows: list[np.ndarray]) -> Image.Image:
    """One picture from rows of equally many images (B, H, W, 3)."""
    return Image.fromarray(np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0))
