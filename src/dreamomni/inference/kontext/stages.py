"""The stages of Kontext between a plan and pixels: schedule, images, velocity. Each is a function of values.

Suffixes: B images to make, L tokens of the noise, R tokens of all input images, T tokens of the text, C
channels of a token, h w latent cells. Token order and ids come from `models.packing`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from PIL import Image
from torch import Tensor

from dreamomni.flow.solvers import Velocity
from dreamomni.inference.stages import pad_to_grid, to_pixels
from dreamomni.models.autoencoder import Autoencoder
from dreamomni.models.kontext.resolutions import GRID_PX
from dreamomni.models.modulation import Conditions
from dreamomni.models.packing import NUM_ID_AXES, Grid, build_image_ids, pack_latents


class TextEmbeds(NamedTuple):
    """What the words became, for a batch.

    Attributes:
        pooled: (B, width of CLIP).
        sequence: (B, T, width of T5).
    """

    pooled: Tensor
    sequence: Tensor


class Schedule(NamedTuple):
    """The steps of one sampling.

    Attributes:
        sigmas: N + 1, falling to 0.
        timesteps: N, each of one element: what the network is told at each step, in the dtype it is told in.
    """

    sigmas: list[float]
    timesteps: list[Tensor]


def make_schedule(
    scheduler: FlowMatchEulerDiscreteScheduler,
    num_inference_steps: int,
    num_noise_tokens: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Schedule:
    """Return FLUX.1's steps, shifted towards the noise by the tokens of the result alone.

    Input images do not count. The values are those of diffusers' scheduler; a fresh one is asked, because it
    keeps the state of its last run.
    """
    settings = scheduler.config
    slope = (settings.max_shift - settings.base_shift) / (
        settings.max_image_seq_len - settings.base_image_seq_len
    )
    # In this order of operations: another one differs from diffusers in the last bit.
    mu = num_noise_tokens * slope + (settings.base_shift - slope * settings.base_image_seq_len)
    fresh = FlowMatchEulerDiscreteScheduler.from_config(settings)
    even = np.linspace(1.0, 1 / num_inference_steps, num_inference_steps)
    fresh.set_timesteps(num_inference_steps, device=device, sigmas=even, mu=mu)
    told = [timestep.to(dtype).reshape(1) / settings.num_train_timesteps for timestep in fresh.timesteps]
    return Schedule(fresh.sigmas.tolist(), told)


def encode_image(autoencoder: Autoencoder, image: Image.Image, device: torch.device) -> Tensor:
    """Normalised latents (1, C, h, w) of one input image, padded to the token grid, without random draws."""
    pixels = pad_to_grid(to_pixels([image]), GRID_PX)
    return autoencoder.encode(pixels.to(device)).float()


def image_ids(noise_grid: Grid, image_grids: Sequence[Grid], *, official: bool) -> Tensor:
    """Ids (L + R, 3) of `[noise | image 1 | image 2 | ...]`, float32."""
    return build_image_ids(noise_grid, image_grids, official_rounding=official)


def kontext_velocity(
    transformer: Any,
    text: TextEmbeds,
    image_tokens: Tensor | None,
    ids: Tensor,
    schedule: Schedule,
    guidance_scale: float,
) -> Velocity:
    """Return the velocity of noise tokens (B, L, C), float32, as the network predicts it.

    Args:
        transformer: A `FluxTransformer2DModel`.
        text: For each image to make.
        image_tokens: (B, R, C), appended to the noise; None without input images.
        ids: (L + R, 3), from `image_ids`.
        schedule: The sigmas that will be asked for, and what the network is told at each.
        guidance_scale: Told to a network that has a guidance embedding; others have none.
    """
    device = ids.device
    told = dict(zip(schedule.sigmas, schedule.timesteps, strict=False))
    text_ids = torch.zeros(text.sequence.shape[1], NUM_ID_AXES, device=device)
    guidance = None
    if transformer.config.guidance_embeds:
        guidance = torch.full([1], guidance_scale, device=device, dtype=torch.float32)

    def velocity(tokens_BLC: Tensor, sigma: float) -> Tensor:
        batch, num_noise = tokens_BLC.shape[:2]
        hidden = tokens_BLC.to(text.sequence.dtype)
        if image_tokens is not None:
            hidden = torch.cat([hidden, image_tokens.to(hidden.dtype)], dim=1)
        predicted = transformer(
            hidden_states=hidden,
            timestep=told[sigma].expand(batch),
            guidance=None if guidance is None else guidance.expand(batch),
            pooled_projections=text.pooled,
            encoder_hidden_states=text.sequence,
            txt_ids=text_ids,
            img_ids=ids,
            return_dict=False,
        )[0]
        return predicted[:, :num_noise].float()

    return velocity


def modulation_conditions(transformer: Any, text: TextEmbeds, guidance_scale: float) -> Conditions:
    """What the network's modulation sees beside the time, just as `kontext_velocity` tells it."""
    told = transformer.config.guidance_embeds
    return Conditions(text.pooled, torch.full([len(text.pooled)], guidance_scale) if told else None)


def stack_images(rows: Sequence[Sequence[Tensor]]) -> Tensor | None:
    """Tokens (B, R, C) of all input images, image 1 first.

    Args:
        rows: For each image to make, the latents (1, C, h, w) of its input images; those at one position have
            one size.
    """
    positions = [pack_latents(torch.cat(column)) for column in zip(*rows, strict=True)]
    return torch.cat(positions, dim=1) if positions else None
