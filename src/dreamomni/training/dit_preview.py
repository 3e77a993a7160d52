"""What the model can do so far: pictures made from samples, next to what they should be."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dreamomni.flow.guidance import guide, guide_twice
from dreamomni.flow.noise import draw_noise
from dreamomni.flow.schedule import make_sigmas
from dreamomni.flow.solvers import sample_euler
from dreamomni.models.vlm import TextFeatures
from dreamomni.tasks.sample import TrainingSample
from dreamomni.training.config import DitTaskConfig
from dreamomni.training.dit_batch import FrozenText, JointText
from dreamomni.training.dit_loss import text_features
from dreamomni.training.dit_networks import Networks
from dreamomni.training.frozen import batch_inputs, prompt_inputs
from dreamomni.training.mixture import Mixture
from dreamomni.training.pictures import framed, tile, titled, to_uint8
from dreamomni.training.words import words_of

_PICTURES = 32
"""Pictures made for one grid, shared out among the tasks."""
_LARGEST_CELL = 256


Make = Callable[[Sequence[TrainingSample]], Iterable[np.ndarray]]
"""Makes the pictures, uint8 (H, W, 3), of samples of one shape."""


def sample_grid(networks: Networks, config: DitTaskConfig, mixture: Mixture) -> Image.Image:
    """For every task a few columns: input images, what was made, the truth. Held-out samples where there are.

    Raises:
        DataError: A sample cannot be read.
    """
    return grid_of(mixture, lambda samples: generate(networks, config, samples))


def grid_of(mixture: Mixture, make: Make) -> Image.Image:
    """The grid of any network that makes pictures of samples.

    Raises:
        DataError: A sample cannot be read.
    """
    columns = max(2, min(8, _PICTURES // len(mixture.tasks)))
    blocks = []
    for task in mixture.tasks:
        samples = mixture.examples(task, columns)
        made = make(samples)
        pictures = [
            [*sample.images, image, sample.target] for sample, image in zip(samples, made, strict=True)
        ]
        side = min(_LARGEST_CELL, max(max(image.shape[:2]) for column in pictures for image in column))
        tallest = max(map(len, pictures))
        # Blank cells on top, where a sample has fewer input images: results stand in one row.
        blank = np.full((side, side, 3), 255, dtype=np.uint8)
        cells = [[blank] * (tallest - len(own)) + [framed(image, side) for image in own] for own in pictures]
        cells += [[blank] * tallest] * (columns - len(cells))
        grid = tile([np.stack(row) for row in zip(*cells, strict=True)])
        blocks.append((f"{task}: input images, made, truth" if tallest > 2 else f"{task}: made, truth", grid))
    return titled(blocks)


@torch.no_grad()
def generate(
    networks: Networks, config: DitTaskConfig, samples: Sequence[TrainingSample]
) -> list[np.ndarray]:
    """Make the pictures that samples ask for, those of one shape as one batch; uint8 (H, W, 3) each."""
    return in_groups(samples, lambda own: _generate(networks, config, own))


def in_groups(samples: Sequence[TrainingSample], make: Make) -> list[np.ndarray]:
    """The pictures of samples of any shapes, made for one shape at a time."""
    groups: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    for number, sample in enumerate(samples):
        groups.setdefault(tuple(image.shape for image in (sample.target, *sample.images)), []).append(number)
    made: dict[int, np.ndarray] = {}
    for members in groups.values():
        pictures = make([samples[number] for number in members])
        made |= dict(zip(members, pictures, strict=True))
    return [made[number] for number in range(len(samples))]


def _generate(networks: Networks, config: DitTaskConfig, samples: Sequence[TrainingSample]) -> np.ndarray:
    transformer, autoencoder = networks.transformer, networks.autoencoder
    device = transformer.device
    seen = [[torch.from_numpy(image.copy()) for image in sample.images] for sample in samples]
    images = [
        autoencoder.latents_from_moments(networks.frozen.moments(torch.stack(own)).float())
        for own in zip(*seen, strict=True)
    ]
    words, nothing = [words_of(sample, config.words) for sample in samples], [""] * len(samples)
    full = _features(networks, config, words, seen)
    without_words = _features(networks, config, nothing, seen)
    without_images = _features(networks, config, nothing, [[]] * len(samples))
    towards_images = config.sample_image_guidance_scale if images else 1.0

    height, width = samples[0].target.shape[:2]
    factor = autoencoder.spatial_factor
    shape = (autoencoder.channels, height // factor, width // factor)
    noise = draw_noise(shape, [sample.index for sample in samples]).to(device)

    def predict(latents: Tensor, sigma: float, text: TextFeatures, given: list[Tensor]) -> Tensor:
        sigmas = torch.full((len(latents),), sigma, device=device)
        predicted: Tensor = transformer(
            latents.to(transformer.dtype),
            sigmas,
            text.hidden_states,
            text.attention_mask,
            [own.to(transformer.dtype) for own in given],
        ).sample
        return predicted.float()

    def velocity(latents: Tensor, sigma: float) -> Tensor:
        told = predict(latents, sigma, full, images)
        untold = predict(latents, sigma, without_words, images)
        if towards_images == 1:
            return guide(told, untold, config.sample_guidance_scale)
        return guide_twice(
            told,
            untold,
            predict(latents, sigma, without_images, []),
            guidance_scale=config.sample_guidance_scale,
            image_guidance_scale=towards_images,
        )

    return to_uint8(autoencoder.decode(sample_euler(velocity, noise, make_sigmas(config.sample_steps))))


def _features(
    networks: Networks, config: DitTaskConfig, prompts: Sequence[str], seen: Sequence[Sequence[Tensor]]
) -> TextFeatures:
    """The features that training would give the network."""
    encoder = networks.encoder
    if config.text_encoder_mode == "joint":
        return text_features(networks, JointText(batch_inputs(encoder, prompts, seen)))
    inputs = [prompt_inputs(encoder, prompt, own) for prompt, own in zip(prompts, seen, strict=True)]
    return text_features(networks, FrozenText(inputs, [None] * len(inputs)))
