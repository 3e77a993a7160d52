"""The loss of the DiT's training: the velocity between data and noise, under the conditions of a batch.

What is random belongs to a row of the whole batch of a step: its noise comes from a seed of its own. So a
process draws for the rows that it has and no others, and their losses do not depend on who has the rest.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from dreamomni import runtime
from dreamomni.flow.path import interpolate, velocity_target
from dreamomni.flow.timesteps import LogitNormal, Shifted, Uniform, draw_sigmas
from dreamomni.models.transformer import DOWNSAMPLING
from dreamomni.models.vlm import TextFeatures
from dreamomni.training.dit_batch import DitBatch, FrozenText, JointText, KnownText, Text
from dreamomni.training.dit_networks import Networks
from dreamomni.training.estimate.flops import Flop
from dreamomni.training.estimate.lora import dreamomni_flop
from dreamomni.training.frozen import pad_features
from dreamomni.training.task import StepOutput

SIGMA_BANDS = (0.0, 1 / 3, 2 / 3, 1.0)


def velocity_loss(
    networks: Networks,
    batch: DitBatch,
    timesteps: Uniform | LogitNormal | Shifted,
    generator: torch.Generator,
) -> StepOutput:
    """Mean squared error of the velocity over the samples of a part that count.

    Args:
        networks: The model.
        batch: A part of a step's batch, on the device of the model.
        timesteps: How sigmas are drawn.
        generator: Of the step, in the same state for every part.

    Returns:
        The loss, with the means by task (`loss_edit`) and by band of sigma (`loss_sigma_0.0_0.3`) as metrics.
    """
    transformer, device = networks.transformer, networks.transformer.device
    moments = _moments(networks, batch.target)
    _, channels, height, width = moments.shape
    drawn, sigma = draw(batch, (2, channels // 2, height, width), timesteps, generator)
    sigma = sigma.to(device)
    spread, noise = drawn.to(device).unbind(1)

    latents = networks.autoencoder.latents_from_moments(moments, noise=spread)
    images = [networks.autoencoder.latents_from_moments(_moments(networks, own)) for own in batch.images]
    text = text_features(networks, batch.text)
    noisy = interpolate(latents, noise, sigma).to(transformer.dtype)
    images = [own.to(transformer.dtype) for own in images]
    velocity = transformer(noisy, sigma, text.hidden_states, text.attention_mask, images).sample
    errors = (velocity.float() - velocity_target(latents, noise)).square().flatten(1).mean(1)
    cost = dreamomni_flop(
        transformer,
        text.hidden_states.shape[1],
        (height, width),
        [(own.shape[2], own.shape[3]) for own in images],
    )
    return summed_up(errors, sigma, batch, cost)


def draw(
    batch: DitBatch,
    shape: tuple[int, ...],
    timesteps: Uniform | LogitNormal | Shifted,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Noise (B, *shape) and sigmas (B,) of the rows of a part, on the CPU; the last two sides are cells."""
    total = len(batch.kept) * batch.part.count
    rows = batch.part.rows(total)
    seeds = torch.randint(2**62, (total,), generator=generator)[rows.start : rows.stop].tolist()
    num_tokens = shape[-2] * shape[-1] // DOWNSAMPLING**2
    sigma = draw_sigmas(timesteps, total, generator, num_tokens)[rows.start : rows.stop]
    noise = torch.stack([torch.randn(*shape, generator=runtime.cpu_generator(seed)) for seed in seeds])
    return noise, sigma


def summed_up(errors: Tensor, sigma: Tensor, batch: DitBatch, cost: Flop) -> StepOutput:
    """The mean of the errors (B,) that count, and what is logged beside it."""
    num_kept = sum(batch.kept)
    if num_kept < len(batch.kept):
        counts = torch.tensor(batch.kept, device=errors.device)
        loss = torch.where(counts, errors, 0).sum() / max(num_kept, 1)
    else:
        loss = errors.mean()
    metrics = _by_task_and_band(errors.detach(), sigma, batch) | {"tflop_per_sample": cost.training / 1e12}
    if num_kept < len(batch.kept):
        metrics["left_out"] = float(len(batch.kept) - num_kept)
    return StepOutput(loss, metrics, batch.keys, weight=num_kept)


def text_features(networks: Networks, text: Text) -> TextFeatures:
    """Features of prompts, wherever they come from; gradients reach a VLM that learns along."""
    if isinstance(text, KnownText):
        return TextFeatures(*text)
    if isinstance(text, JointText):
        return networks.encoder.encode(text.inputs)
    assert isinstance(text, FrozenText), "the network reads features, and not words"
    found = networks.frozen.features(text.inputs)
    return TextFeatures(*pad_features([row[:kept] for row, kept in zip(found, text.kept, strict=True)]))


def _moments(networks: Networks, pictures: Tensor) -> Tensor:
    """Moments in float32 of pixels, or of the moments that a cache gave."""
    return (networks.frozen.moments(pictures) if pictures.dtype == torch.uint8 else pictures).float()


def _by_task_and_band(errors: Tensor, sigma: Tensor, batch: DitBatch) -> dict[str, float | Tensor]:
    metrics: dict[str, float | Tensor] = {}
    for task in sorted(set(batch.tasks)):
        mine = [at for at, own in enumerate(batch.tasks) if own == task and batch.kept[at]]
        if mine:
            metrics[f"loss_{task}"] = errors[mine].mean()
    bands: Sequence[tuple[float, float]] = list(pairwise(SIGMA_BANDS))
    for low, high in bands:
        inside = (sigma >= low) & (sigma < high)
        if inside.any():
            metrics[f"loss_sigma_{low:.1f}_{high:.1f}"] = errors[inside].mean()
    return metrics
