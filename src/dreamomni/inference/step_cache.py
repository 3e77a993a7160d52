"""Steps that are skipped where little changes: diffusers' first-block cache, on for one denoising at a time.

It is an approximation and opt-in: when the first block's answer differs from the last step's by less than a
threshold (mean absolute difference, relative), the other blocks' last answer is used again. The hooks are put
on for one denoising and taken off after it, so that no request sees the state of another; and because the
decision is made over a whole batch, pictures are made one by one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from diffusers.hooks import FirstBlockCacheConfig

from dreamomni.errors import ModelError

DEFAULT_THRESHOLD = 0.08


@contextmanager
def caching_steps(transformer: Any, threshold: float | None) -> Iterator[None]:
    """Skip steps inside the block.

    Args:
        transformer: A diffusers transformer with `enable_cache`.
        threshold: How much the first block's answer may change; None skips nothing.

    Raises:
        ModelError: The network has no such cache, or the threshold is not positive.
    """
    if threshold is None:
        yield
        return
    check_step_cache(transformer, threshold)
    transformer.enable_cache(FirstBlockCacheConfig(threshold=threshold))
    try:
        with transformer.cache_context("steps"):
            yield
    finally:
        transformer.disable_cache()


def check_step_cache(transformer: Any, threshold: float | None) -> None:
    """Refuse what cannot be cached.

    Raises:
        ModelError: The network has no such cache, or the threshold is not positive.
    """
    if threshold is None:
        return
    name = (transformer if isinstance(transformer, type) else type(transformer)).__name__
    if not hasattr(transformer, "enable_cache"):
        raise ModelError(f"--step-cache is for Kontext: {name} has no first-block cache, leave it out")
    if not 0 < threshold < 1:
        raise ModelError(
            f"a step cache of threshold {threshold:g} is of no use: say a number between 0 and 1"
        )


def approximation_note(threshold: float) -> str:
    """What a result says of it."""
    return f"steps were skipped where the first block changed by less than {threshold:g}: an approximation"
