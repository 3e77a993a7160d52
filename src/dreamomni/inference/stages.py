"""The stages between a plan and pixels, one function each: text, images, noise, guided velocity, decode.

A stage takes values and returns a value; it keeps nothing. Which stages run, and in which order, is the
pipeline's. Suffixes: B images to make, T text tokens, D VLM width, C latent channels, h w latent cells, H W
pixels.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from dreamomni.flow.guidance import guide, guide_twice
from dreamomni.flow.noise import draw_noise
from dreamomni.inference.structure import Kept
from dreamomni.models.autoencoder import Autoencoder
from dreamomni.models.reference_memory import ReferenceMemory
from dreamomni.models.transformer import DreamOmniTransformer2DModel
from dreamomni.models.vlm import TextFeatures, VLMEncoder
from dreamomni.tasks.geometry import Size

Velocity = Callable[[Tensor, float], Tensor]


class Conditions(NamedTuple):
    """What the network is told beside the noisy latents, for a batch of images to make."""

    text: TextFeatures
    image_latents: tuple[Tensor, ...]
    """One (B, C, h, w) for each position in the order of the input images."""


def pad_to_grid(pixels_BCHW: Tensor, grid_px: int) -> Tensor:
    """Repeat the last row and column until both sides are multiples of `grid_px`; nothing is stretched."""
    height, width = pixels_BCHW.shape[-2:]
    return functional.pad(pixels_BCHW, (0, -width % grid_px, 0, -height % grid_px), mode="replicate")


def to_pixels(images: Sequence[Image.Image]) -> Tensor:
    """RGB images of one size -> float32 pixels (B, 3, H, W) in [-1, 1]."""
    arrays = np.stack([np.asarray(image, dtype=np.uint8) for image in images])
    return torch.from_numpy(arrays).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_uint8(pixels_BCHW: Tensor) -> Tensor:
    """Pixels in [-1, 1] -> uint8 (B, H, W, 3) on the CPU; values outside are clipped."""
    levels = ((pixels_BCHW.float().clamp(-1, 1) + 1) * 127.5).round()
    return levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu()


def encode_text(
    vlm: VLMEncoder, prompts: Sequence[str], images: Sequence[Sequence[Image.Image]]
) -> TextFeatures:
    """Penultimate-layer features of every prompt, which sees its own images."""
    return vlm(list(prompts), [list(own) for own in images] if any(images) else None)


def encode_images(
    autoencoder: Autoencoder, images: Sequence[Sequence[Image.Image]], grid_px: int, device: torch.device
) -> tuple[Tensor, ...]:
    """Normalised latents of the input images, without random draws.

    Args:
        autoencoder: The image codec.
        images: For every image to make, its input images in order; the images at one position have one size.
        grid_px: Both sides are padded to multiples of this.
        device: Where the autoencoder is.

    Returns:
        One (B, C, h, w) for each position.
    """
    positions = list(zip(*images, strict=True))
    return tuple(
        autoencoder.encode(pad_to_grid(to_pixels(column), grid_px).to(device)).float() for column in positions
    )


def start_noise(autoencoder: Autoencoder, size: Size, seeds: Sequence[int], grid_px: int) -> Tensor:
    """Noise (B, C, h, w), every image from its own seed, on the CPU in float32."""
    factor = autoencoder.spatial_factor
    height, width = (-(-side // grid_px) * grid_px // factor for side in (size.height, size.width))
    return draw_noise((autoencoder.channels, height, width), seeds)


def stack_conditions(parts: Sequence[Conditions]) -> Conditions:
    """One batch out of several, with the texts padded to the longest."""
    longest = max(part.text.hidden_states.shape[1] for part in parts)
    padded = [
        TextFeatures(
            functional.pad(part.text.hidden_states, (0, 0, 0, longest - part.text.hidden_states.shape[1])),
            functional.pad(part.text.attention_mask, (0, longest - part.text.attention_mask.shape[1])),
        )
        for part in parts
    ]
    text = TextFeatures(*(torch.cat(tensors) for tensors in zip(*padded, strict=True)))
    columns = zip(*(part.image_latents for part in parts), strict=True)
    return Conditions(text, tuple(torch.cat(column) for column in columns))


def guided_velocity(
    transformer: DreamOmniTransformer2DModel,
    full: Conditions,
    *,
    without_text: Conditions | None = None,
    without_images: Conditions | None = None,
    guidance_scale: float = 1.0,
    image_guidance_scale: float = 1.0,
) -> Velocity:
    """The velocity that the solver follows: classifier-free guidance over one, two or three predictions.

    Args:
        transformer: The network.
        full: The words and the images.
        without_text: The empty prompt with the images; None switches guidance off.
        without_images: The empty prompt alone, for guidance towards the images as well; None leaves that out.
        guidance_scale: Weight of the words.
        image_guidance_scale: Weight of the images.

    Returns:
        A function of latents (B, C, h, w) in float32 and sigma, with a velocity of the same shape.
    """
    members = [part for part in (full, without_text, without_images) if part is not None]
    # Predictions with equally many images run as one batch; the one without any image has fewer tokens.
    batches: list[list[Conditions]] = []
    for member in members:
        if batches and len(batches[-1][0].image_latents) == len(member.image_latents):
            batches[-1].append(member)
        else:
            batches.append([member])
    dtype = transformer.dtype
    stacked = []
    for batch in batches:
        text, images = stack_conditions(batch)
        # What isolated references say to the noise is the same in every step: it is computed in the first.
        isolated = transformer.config.reference_attention == "isolated"
        memory = ReferenceMemory() if isolated else None
        stacked.append((text, [latents.to(dtype) for latents in images], memory, len(batch)))

    def velocity(latents_BChw: Tensor, sigma: float) -> Tensor:
        predictions: list[Tensor] = []
        for text, images, memory, count in stacked:
            noisy = latents_BChw.repeat(count, 1, 1, 1).to(dtype)
            output = transformer(
                noisy,
                torch.full((noisy.shape[0],), sigma, dtype=torch.float32, device=noisy.device),
                text.hidden_states,
                encoder_attention_mask=text.attention_mask,
                image_latents=images,
                memory=memory,
            ).sample.float()
            predictions += output.chunk(count)
        if without_images is not None:
            return guide_twice(
                *predictions, guidance_scale=guidance_scale, image_guidance_scale=image_guidance_scale
            )
        if without_text is not None:
            return guide(predictions[0], predictions[1], guidance_scale)
        return predictions[0]

    return velocity


def put_back(pixels_BCHW: Tensor, kept: Sequence[Kept | None]) -> Tensor:
    """Put what is kept of the input images back into the results.

    The seam is hard: outside the mask every 8-bit level is that of the input again, and inside it nothing is
    blended, because what lies there in the input is what shall go.

    Args:
        pixels_BCHW: Results in about [-1, 1].
        kept: For each result what is put back, of its size; None for nothing.

    Returns:
        Float32 pixels of the same shape.
    """
    results = pixels_BCHW.to(torch.float32, copy=True)
    for number, own in enumerate(kept):
        if own is not None:
            known = to_pixels([own.image])[0].to(results.device)
            free = torch.from_numpy(np.array(own.mask) > 0).to(results.device)
            results[number] = torch.where(free, results[number], known)
    return results


def decode(autoencoder: Autoencoder, latents_BChw: Tensor, size: Size) -> Tensor:
    """Latents -> pixels (B, 3, H, W) in about [-1, 1], cropped to `size`."""
    pixels_BCHW = autoencoder.decode(latents_BChw)
    return pixels_BCHW[..., : size.height, : size.width]
