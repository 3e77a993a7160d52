"""Which samples make up which batch: pure functions of (seed, step), the same for any number of workers.

Numbers only; nothing here knows what a sample is.
"""

from collections.abc import Sequence

import numpy as np

from dreamomni.errors import ConfigError
from dreamomni.seeding import generator

PERIOD = 200
"""Steps after which every group has had exactly its share."""
_WINDOW = 8


def group_of_step(step: int, weights: Sequence[float], seed: int) -> tuple[int, int]:
    """Say which group of samples a step draws from, and how many batches of that group came before.

    Args:
        step: Optimizer step, from 0.
        weights: One per group, not negative, not all zero. Shares are exact over `PERIOD` steps.
        seed: Of the order inside a period.

    Returns:
        The group, and the number of earlier steps that drew from it.

    Raises:
        ConfigError: The weights are not usable.
    """
    counts = draw_counts(weights, PERIOD)
    pattern = np.repeat(np.arange(len(counts)), counts)
    generator(seed, "groups").shuffle(pattern)
    period, offset = divmod(step, PERIOD)
    group = int(pattern[offset])
    return group, period * counts[group] + int((pattern[:offset] == group).sum())


def draw_counts(weights: Sequence[float], total: int) -> list[int]:
    """Share `total` draws out by weight with the largest remainders; the counts add up to `total`.

    Raises:
        ConfigError: There are no weights, one is negative or not finite, or all are zero.
    """
    shares = np.asarray(weights, dtype=np.float64)
    if shares.size == 0 or not np.isfinite(shares).all() or (shares < 0).any() or shares.sum() == 0:
        raise ConfigError(f"weights {list(weights)} must be numbers from 0 up, at least one above 0")
    exact = shares / shares.sum() * total
    counts = np.floor(exact).astype(int)
    for index in np.argsort(-(exact - counts), kind="stable")[: total - int(counts.sum())]:
        counts[index] += 1
    return [int(count) for count in counts]


def batch_indices(
    num_samples: int, batch_size: int, batch: int, seed: int, lengths: np.ndarray
) -> np.ndarray:
    """Choose the samples of one batch: every sample once per epoch, prompts of like length together.

    Args:
        num_samples: How many there are.
        batch_size: How many to choose.
        batch: Number of the batch within its group, from 0; epochs follow each other without a seam.
        seed: Of the order.
        lengths: (num_samples,) length of each prompt; batches of like length waste little on padding.

    Returns:
        (batch_size,) indices.

    Raises:
        ConfigError: There are fewer samples than one batch needs.
    """
    if num_samples < batch_size:
        raise ConfigError(
            f"{num_samples} samples cannot fill a batch of {batch_size}; lower batch_size or make more"
        )
    window, place = divmod(batch, _WINDOW)
    first = window * _WINDOW * batch_size
    positions = np.arange(first, first + _WINDOW * batch_size)
    epochs = positions // num_samples
    chosen = np.empty(len(positions), dtype=np.int64)
    for epoch in np.unique(epochs):
        permutation = generator(seed, "epoch", int(epoch)).permutation(num_samples)
        inside = epochs == epoch
        chosen[inside] = permutation[positions[inside] - epoch * num_samples]
    by_length = chosen[np.argsort(lengths[chosen], kind="stable")]
    order = generator(seed, "window", window).permutation(_WINDOW)
    start = int(order[place]) * batch_size
    return by_length[start : start + batch_size]
