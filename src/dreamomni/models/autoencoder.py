"""Pixels to normalised latents and back. The only module that ever sees a raw latent.

Wraps diffusers' `AutoencoderKL` in FLUX.1's layout. Everybody else works on `(raw - shift) * scale`, which
has about zero mean and unit variance; the config keeps both as `shift_factor` and `scaling_factor`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from dreamomni.errors import ModelError
from dreamomni.models.components import load_component

MINI_VAE_CONFIG: Mapping[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (16, 32, 64, 96),
    "layers_per_block": 1,
    "act_fn": "silu",
    "latent_channels": 16,
    "norm_num_groups": 8,
    "sample_size": 64,
    "scaling_factor": 1.0,
    "shift_factor": 0.0,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
    "mid_block_add_attention": True,
    "force_upcast": False,
}
"""FLUX.1's autoencoder at small widths, 1.75 M parameters. Training sets the scaling and shift factors."""

# Bounds of the log variance that diffusers' distribution uses; beyond them exp() leaves float range.
_LOG_VARIANCE_RANGE = (-30.0, 20.0)


class Autoencoder:
    """An `AutoencoderKL` that speaks normalised latents.

    Attributes:
        model: The wrapped module: train, move and save it as any other.
    """

    def __init__(self, model: AutoencoderKL) -> None:
        self.model = model

    @classmethod
    def from_pretrained(
        cls, source: str | Path, subfolder: str | None = None, torch_dtype: torch.dtype | None = None
    ) -> Self:
        """Load from a folder or a hub id.

        Raises:
            ModelError: Nothing is there, it is another kind of model, or weights are missing or not finite.
        """
        return cls(load_component(AutoencoderKL, source, subfolder, torch_dtype))

    @classmethod
    def mini(cls) -> Self:
        """Return a new mini autoencoder with random weights."""
        return cls(AutoencoderKL.from_config(dict(MINI_VAE_CONFIG)))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write config.json and safetensors, readable by diffusers."""
        self.model.save_pretrained(str(folder), safe_serialization=True)

    @property
    def spatial_factor(self) -> int:
        """Pixels per latent cell on each axis."""
        return 2 ** (len(self.model.config.block_out_channels) - 1)

    @property
    def channels(self) -> int:
        """Channels of a latent."""
        return int(self.model.config.latent_channels)

    @property
    def shift(self) -> float:
        """Mean of raw latents, subtracted from them."""
        return float(self.model.config.shift_factor or 0.0)

    @property
    def scale(self) -> float:
        """One over the standard deviation of raw latents, multiplied onto them."""
        return float(self.model.config.scaling_factor)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the weights; pixels and latents are cast to it."""
        return self.model.dtype

    def encode_moments(self, pixels: Tensor) -> Tensor:
        """Return raw mean and log variance, concatenated: (B, 2C, H/8, W/8).

        Args:
            pixels: (B, 3, H, W) in [-1, 1]; H and W are multiples of `spatial_factor`.

        Raises:
            ModelError: A side is no multiple of `spatial_factor`.
        """
        height, width = pixels.shape[-2:]
        if height % self.spatial_factor or width % self.spatial_factor or not height * width:
            raise ModelError(
                f"an image of {width}x{height} cannot be encoded: both sides must be positive multiples of "
                f"{self.spatial_factor}; pad it first"
            )
        return self.model.encode(pixels.to(self.device, self.dtype)).latent_dist.parameters

    def latents_from_moments(
        self, moments: Tensor, generator: torch.Generator | None = None, *, noise: Tensor | None = None
    ) -> Tensor:
        """Return normalised latents (B, C, h, w) from what `encode_moments` gave.

        Args:
            moments: (B, 2C, h, w).
            generator: Draws a sample (float32, on the generator's device); None takes the mode.
            noise: (B, C, h, w) that was drawn before, instead of a generator.
        """
        mean, log_variance = moments.chunk(2, dim=1)
        raw = mean
        if generator is not None:
            noise = torch.randn(mean.shape, generator=generator, device=generator.device)
        if noise is not None:
            deviation = torch.exp(0.5 * log_variance.clamp(*_LOG_VARIANCE_RANGE))
            raw = mean + deviation * noise.to(mean.device, mean.dtype)
        return (raw - self.shift) * self.scale

    def encode(self, pixels: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return normalised latents (B, C, H/8, W/8) of pixels (B, 3, H, W) in [-1, 1].

        Args:
            pixels: Sides are multiples of `spatial_factor`.
            generator: Sample with it; None takes the mode.

        Raises:
            ModelError: A side is no multiple of `spatial_factor`.
        """
        return self.latents_from_moments(self.encode_moments(pixels), generator)

    def decode(self, latents: Tensor) -> Tensor:
        """Return pixels (B, 3, H, W) of normalised latents (B, C, h, w); near [-1, 1], not clamped."""
        raw = latents.to(self.device, self.dtype) / self.scale + self.shift
        return self.model.decode(raw).sample

    def fit_normalisation(self, moments: Tensor) -> None:
        """Set `shift` and `scale` so that latents sampled from these moments have mean 0 and variance 1.

        Args:
            moments: (N, 2C, h, w) of many different images.

        Raises:
            ModelError: The moments are not finite or do not vary, so no scale exists.
        """
        mean, log_variance = moments.double().chunk(2, dim=1)
        noise = log_variance.clamp(*_LOG_VARIANCE_RANGE).exp().mean()
        shift = mean.mean().item()
        variance = mean.var().item() + noise.item()
        if not 0.0 < variance < float("inf"):
            raise ModelError(
                f"latents of variance {variance} cannot be normalised: train the autoencoder first"
            )
        self.model.register_to_config(shift_factor=shift, scaling_factor=variance**-0.5)
