"""The networks of a Kontext run: FLUX.1-Kontext with a new LoRA on it, and all that stays as it is."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor

from dreamomni import runtime
from dreamomni.errors import ConfigError
from dreamomni.models.adapters import add_adapter
from dreamomni.models.autoencoder import Autoencoder
from dreamomni.models.kontext.files import KontextFiles, find_kontext
from dreamomni.models.kontext.loading import load_parts
from dreamomni.models.kontext.text import pooled_text, sequence_text
from dreamomni.models.packing import Grid, build_image_ids, pack_latents
from dreamomni.tasks.geometry import Size
from dreamomni.training.config import TrainingConfig
from dreamomni.training.frozen import FrozenAutoencoder
from dreamomni.training.kontext_config import KontextTaskConfig

PATCH = 2
"""Side of a token in latent cells."""
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_LOOKED_AT = 2**20
"""Bytes at the start, in the middle and at the end of a weight file that tell it from others."""


class KontextNetworks(NamedTuple):
    """The networks of one model.

    Attributes:
        transformer: With the LoRA on.
        autoencoder: Of pictures.
        clip: Text encoder whose pooled output is read.
        clip_tokenizer: That of CLIP.
        t5: Text encoder whose sequence is read.
        t5_tokenizer: That of T5.
    """

    transformer: FluxTransformer2DModel
    autoencoder: Autoencoder
    clip: Any
    clip_tokenizer: Any
    t5: Any
    t5_tokenizer: Any

    @property
    def frozen(self) -> FrozenAutoencoder:
        """The autoencoder, for what it says of pictures."""
        return FrozenAutoencoder(self.autoencoder)

    @property
    def grid_px(self) -> int:
        """Sides of pictures must be multiples of this many pixels."""
        return self.autoencoder.spatial_factor * PATCH

    @torch.no_grad()
    def read(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """What the network reads of prompts: pooled (B, P) and sequence (B, 512, T)."""
        device = self.clip.device
        with torch.autocast(device.type, enabled=False):
            return (
                pooled_text(self.clip, self.clip_tokenizer, prompts, device),
                sequence_text(self.t5, self.t5_tokenizer, prompts, device),
            )

    def velocity(
        self,
        noisy: Tensor,
        sigma: Tensor,
        text: tuple[Tensor, Tensor],
        images: Sequence[Tensor],
        guidance_scale: float,
    ) -> Tensor:
        """The velocity of noise tokens (B, L, C), float32.

        Args:
            noisy: Noisy normalised latents (B, C, h, w).
            sigma: (B,).
            text: From `read`.
            images: Normalised latents (B, C, hi, wi) of the input images in order.
            guidance_scale: Told to the network.
        """
        device, dtype = noisy.device, self.transformer.dtype
        tokens = [pack_latents(own) for own in (noisy, *images)]
        grids = [Grid(own.shape[2] // PATCH, own.shape[3] // PATCH) for own in (noisy, *images)]
        pooled, sequence = text
        told = self.transformer.config.guidance_embeds
        predicted: Tensor = self.transformer(
            hidden_states=torch.cat(tokens, dim=1).to(dtype),
            timestep=sigma.to(dtype),
            guidance=torch.full_like(sigma, guidance_scale) if told else None,
            pooled_projections=pooled.to(dtype),
            encoder_hidden_states=sequence.to(dtype),
            txt_ids=torch.zeros(sequence.shape[1], 3, device=device),
            img_ids=build_image_ids(grids[0], grids[1:]).to(device),
            return_dict=False,
        )[0]
        return predicted[:, : grids[0].num_tokens].float()


def build_kontext(
    config: KontextTaskConfig, training: TrainingConfig
) -> tuple[KontextNetworks, KontextFiles]:
    """Load the base, freeze it, and put a new LoRA on it; also where it was found.

    Raises:
        ModelError: A part is missing, damaged, or of another model.
        ConfigError: The LoRA names layers that are not there.
    """
    device, dtype = runtime.pick_device(training.device), _DTYPES[config.frozen_precision]
    files = find_kontext(config.base, adapters=False, vlm=False)
    parts = load_parts(files, dtype)
    for name in ("transformer", "vae", "text_encoder", "text_encoder_2"):
        parts[name].requires_grad_(False)
        parts[name].to(device)
    lora = config.lora
    add_adapter(parts["transformer"], lora.name, rank=lora.rank, alpha=lora.alpha, targets=lora.targets)
    networks = KontextNetworks(
        parts["transformer"],
        Autoencoder(parts["vae"]),
        parts["text_encoder"],
        parts["tokenizer"],
        parts["text_encoder_2"],
        parts["tokenizer_2"],
    )
    return networks, files


def check_kontext_sizes(networks: KontextNetworks, sizes: Sequence[Size], config: KontextTaskConfig) -> None:
    """Refuse data whose pictures the networks cannot take.

    Raises:
        ConfigError: A side is not on the grid.
    """
    grid_px = networks.grid_px
    bad = [size for size in sizes if size.width % grid_px or size.height % grid_px]
    if bad:
        raise ConfigError(
            f"{len(bad)} of {len(sizes)} sizes of the data, such as {bad[0]}, are not in multiples of "
            f"{grid_px} pixels, as {config.base} needs: give the data sizes or buckets that are"
        )


def base_weights(files: KontextFiles) -> dict[str, str]:
    """What tells the weights of each network of the base from others.

    The size of every file and three places in it: the whole would be 34 GB to read at every start, and
    another training of the same network differs everywhere.
    """
    return {
        part: _signature(files.weights(part))
        for part in ("vae", "transformer", "text_encoder", "text_encoder_2")
    }


def _signature(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            for place in (0, size // 2, max(0, size - _LOOKED_AT)):
                file.seek(place)
                digest.update(file.read(_LOOKED_AT))
    return digest.hexdigest()
