"""Train the autoencoder on collage images made on the fly. No adversary, no perceptual network."""

from pathlib import Path
from typing import NamedTuple

import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor, nn

from dreamomni import runtime
from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.dataset import sample_or_next, to_pixels
from dreamomni.errors import ConfigError
from dreamomni.models.autoencoder import MINI_VAE_CONFIG, Autoencoder
from dreamomni.seeding import derive_seed, generator
from dreamomni.training.config import AutoencoderTaskConfig, TrainingConfig
from dreamomni.training.pictures import tile, to_uint8
from dreamomni.training.task import WHOLE, Part, StepOutput

_GRID_IMAGES = 12
_CHUNK = 64


class ImageBatch(NamedTuple):
    """Images of one step: pixels (B, 3, H, W) in [-1, 1], the keys of their samples, and which part it is."""

    pixels: Tensor
    keys: list[str]
    part: Part = WHOLE


class AutoencoderTask:
    """L1 + MSE + edges + KL; exports a diffusers AutoencoderKL with measured shift and scale."""

    def __init__(self, config: AutoencoderTaskConfig, training: TrainingConfig) -> None:
        self.config, self.training = config, training
        data = load_recipe(config.data, CollageRecipe)
        if len(data.size) > 1:
            raise ConfigError(
                f"data recipe {config.data!r} has {len(data.size)} canvas sizes, "
                "but the autoencoder trains on one; give it a recipe with one size"
            )
        self.engine = CollageEngine(data, split="train")
        self.inputs_too = config.images == "all"

    def prepare(self, run_dir: Path) -> None:
        """Build the network; there is no cache."""
        self.autoencoder = build_autoencoder(self.config)
        device = runtime.pick_device(self.training.device)
        self.autoencoder.model.to(device).to(memory_format=torch.channels_last)
        if self.config.freeze_encoder:
            self.autoencoder.model.encoder.requires_grad_(False)

    def modules(self) -> dict[str, nn.Module]:
        """The whole autoencoder."""
        return {"vae": self.autoencoder.model}

    def blocks(self) -> list[nn.Module]:
        """Every resolution of the encoder and of the decoder."""
        encoder, decoder = self.autoencoder.model.encoder, self.autoencoder.model.decoder
        found = [*encoder.down_blocks, encoder.mid_block, decoder.mid_block, *decoder.up_blocks]
        return [block for block in found if any(p.requires_grad for p in block.parameters())]

    def batch(self, step: int, part: Part = WHOLE) -> ImageBatch:
        """Pictures of the samples from `step * batch_size` on."""
        rows = part.rows(self.training.batch_size)
        first = step * self.training.batch_size + rows.start
        return self._draw("data", first, len(rows))._replace(part=part)

    def _draw(self, stream: str, first: int, count: int) -> ImageBatch:
        seed = derive_seed(self.training.seed, stream)
        return draw_images(self.engine, seed, first, count, inputs_too=self.inputs_too)

    def loss(self, batch: ImageBatch, generator: torch.Generator) -> StepOutput:
        """Weighted sum of the four terms; `psnr` in dB over the batch."""
        pixels = batch.pixels.contiguous(memory_format=torch.channels_last)
        moments = self.autoencoder.encode_moments(pixels).float()
        size, channels, height, width = moments.shape
        noise = batch.part.randn((size, channels // 2, height, width), generator)
        decoded = self.autoencoder.decode(self.autoencoder.latents_from_moments(moments, noise=noise)).float()
        error = decoded - pixels
        l1, mse = error.abs().mean(), error.square().mean()
        edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        mean, log_variance = moments.chunk(2, dim=1)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        weights = self.config
        loss = weights.l1_weight * l1 + weights.mse_weight * mse
        loss = loss + weights.edge_weight * edges + weights.kl_weight * kl
        if weights.chroma_weight:
            loss = loss + weights.chroma_weight * (error - error.mean(dim=1, keepdim=True)).abs().mean()
        psnr = 10 * torch.log10(4 / mse.detach())
        terms = {"l1": l1.detach(), "edges": edges.detach(), "kl": kl.detach()}
        return StepOutput(loss, {"psnr": psnr, **terms}, batch.keys)

    def sample_grid(self, step: int) -> Image.Image:
        """Fixed images above their reconstructions."""
        pixels = self._draw("grid", 0, _GRID_IMAGES).pixels
        decoded = self.autoencoder.decode(self.autoencoder.encode(pixels))
        return tile([to_uint8(pixels), to_uint8(decoded)])

    def export(self, folder: Path) -> None:
        """Measure latents on images no step trains on, record shift and scale, save as diffusers does.

        With a frozen encoder the latents, and so shift and scale, are those of `init_from`.
        """
        if self.config.freeze_encoder:
            self.autoencoder.save_pretrained(folder)
            return
        total = self.config.num_statistics_images
        moments = [
            self.autoencoder.encode_moments(
                self._draw("statistics", first, min(_CHUNK, total - first)).pixels
            )
            for first in range(0, total, _CHUNK)
        ]
        self.autoencoder.fit_normalisation(torch.cat(moments))
        self.autoencoder.save_pretrained(folder)


def build_autoencoder(config: AutoencoderTaskConfig) -> Autoencoder:
    """Random weights in the mini layout with the recipe's changes, or the weights of `init_from`."""
    if config.init_from is not None:
        return Autoencoder.from_pretrained(config.init_from)
    layout = dict(MINI_VAE_CONFIG)
    for setting in ("block_out_channels", "layers_per_block", "norm_num_groups"):
        if getattr(config, setting) is not None:
            layout[setting] = getattr(config, setting)
    return Autoencoder(AutoencoderKL.from_config(layout))


def draw_images(
    engine: CollageEngine, seed: int, first: int, count: int, *, inputs_too: bool = False
) -> ImageBatch:
    """One picture of each of `count` samples of one size, from sample `first` on.

    The picture is the target, or with `inputs_too` the target or one of the input images, each as likely.
    """
    samples = [sample_or_next(engine, seed, index) for index in range(first, first + count)]
    chosen = []
    for sample in samples:
        pictures = [sample.target, *(sample.images if inputs_too else ())]
        chosen.append(pictures[int(generator(seed, "picture", sample.index).integers(len(pictures)))])
    return ImageBatch(torch.stack([to_pixels(picture) for picture in chosen]), [s.key for s in samples])
