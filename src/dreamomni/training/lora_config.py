"""What a recipe says of a LoRA, of the words it learns from, and of caches. Values only."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from dreamomni.config import StrictConfig

Words = Literal["user", "standard", "mixed"]
"""Which words of a sample are read: what a user says; the standard format of DreamOmni2 (section 3.2), which
its rewriter writes; or each for half of the samples that have both."""


class LoraConfig(StrictConfig):
    """A LoRA to train, in place of the whole network."""

    name: Literal["edit", "generate"]
    """Which of the two it becomes: `edit_lora/` or `gen_lora/` of the exported model."""
    rank: int = Field(16, gt=0)
    alpha: float | None = Field(None, gt=0, allow_inf_nan=False)
    """Strength; None is the rank, which makes the factor 1."""
    targets: tuple[str, ...] = ()
    """Ends of the paths of linear layers; none means attention and FeedForward."""


class FeatureCacheConfig(StrictConfig):
    """What the frozen networks say of samples: computed once, before the first step, and kept on the disk."""

    moments: bool = True
    """Moments of the autoencoder, of targets and input images."""
    text: bool | None = None
    """Features of the VLM; None means when it is frozen. While it learns, what it reads is kept instead."""
    num_samples: int | None = Field(None, gt=0)
    """Samples in all, shared out by the weights of the parts; None takes every sample of every part."""
    path: str | None = None
    """Folder that several runs may share: in it, features lie under the hash of what made them. None keeps
    them in the run folder."""
    build: bool = True
    """False refuses to start when features are missing, instead of computing them."""

    @model_validator(mode="after")
    def _keeps_something(self) -> "FeatureCacheConfig":
        if not self.moments and self.text is False:
            raise ValueError("a feature cache without moments and text keeps nothing; say null")
        return self


def as_parts(value: Any) -> Any:
    """A list stands for a tuple, and one part may stand without a list around it."""
    return (value,) if isinstance(value, Mapping) else value
