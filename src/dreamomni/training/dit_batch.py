"""The batches of the DiT's training: which samples, what is dropped for guidance, and what the VLM reads.

A batch is a pure function of the step. Decisions are made for the whole batch of a step and then sliced, so
that they do not depend on how many processes share it.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from dreamomni.data.order import BatchOrder, DrawStream, PlannedBatch
from dreamomni.errors import ConfigError
from dreamomni.models.vlm import VLMEncoder
from dreamomni.seeding import derive_seed, generator
from dreamomni.training.config import TrainingConfig
from dreamomni.training.feature_shards import ShardFeed
from dreamomni.training.frozen import batch_inputs, num_image_tokens, pad_features, prompt_inputs
from dreamomni.training.rows import Feed, Row, sizes_of
from dreamomni.training.task import WHOLE, Part

log = logging.getLogger(__name__)

_COUNTED = 200_000
"""Up to so many samples, the rows of every shape are counted before the first step."""
_RARE_SHARE = 0.05
"""Of the samples may have shapes that fill no batch within an epoch."""


class KnownText(NamedTuple):
    """Features from the cache: (B, T, D) with zeros at the padding, and the mask (B, T)."""

    hidden_states: Tensor
    attention_mask: Tensor


class FrozenText(NamedTuple):
    """What a frozen VLM reads of each sample, and how many of its features are kept (None is all)."""

    inputs: list[dict[str, Tensor]]
    kept: list[int | None]


class JointText(NamedTuple):
    """What a VLM that learns along reads, as one padded batch."""

    inputs: dict[str, Tensor]


class Prompts(NamedTuple):
    """The words themselves, for text encoders that read words alone."""

    texts: list[str]


Text = KnownText | FrozenText | JointText | Prompts


class BatchSettings(Protocol):
    """What making batches reads of the settings of a task."""

    @property
    def text_dropout(self) -> float:
        """Share of samples without words."""
        ...

    @property
    def image_dropout(self) -> float:
        """Share without input images."""
        ...

    @property
    def both_dropout(self) -> float:
        """Share with neither."""
        ...

    @property
    def caches_text(self) -> bool:
        """Whether feeds know features of text."""
        ...

    @property
    def sorts_lengths(self) -> bool:
        """Whether prompts of like length come together."""
        ...

    @property
    def text_encoder_mode(self) -> Literal["frozen", "joint"]:
        """Whether the VLM learns along."""
        ...


class DitBatch(NamedTuple):
    """A part of one step's samples: all of one size, with equally many input images.

    Attributes:
        target: Moments (B, 2C, h, w), or pixels uint8 (B, H, W, 3).
        images: The same for each input image; empty when the images are dropped.
        text: What stands for the prompts.
        kept: Whether each sample counts; blank ones do not.
        tasks: Task of each sample.
        keys: Name of each sample.
        part: Which part of the step's batch this is.
    """

    target: Tensor
    images: list[Tensor]
    text: Text
    kept: list[bool]
    tasks: list[str]
    keys: list[str]
    part: Part


class BatchMaker:
    """Makes the batch of any step.

    Args:
        config: What is dropped, and how lengths are treated.
        training: Batch size and seed.
        feeds: One for each part of the data.
        weights: Their shares of the draws.
        encoder: Its processor is used here; None hands out the words themselves.
        null: Features of the empty prompt, when the feeds know features.
        snapshots: Folder for what `BatchOrder` remembers.
        data: What decides the samples, as one word.

    Raises:
        ConfigError: A feed is empty, or there are too few samples of a shape for one batch.
    """

    def __init__(
        self,
        config: BatchSettings,
        training: TrainingConfig,
        feeds: Sequence[Feed],
        weights: Sequence[float],
        encoder: VLMEncoder | None,
        *,
        null: Tensor | None = None,
        snapshots: Path | None = None,
        data: str = "",
    ) -> None:
        self.config, self.seed, self.batch_size = config, training.seed, training.batch_size
        self.feeds, self.encoder, self.null = feeds, encoder, null
        check_shapes(feeds, training.batch_size)
        stream = DrawStream([len(feed) for feed in feeds], weights, derive_seed(training.seed, "order"))
        self.order = BatchOrder(
            stream,
            training.batch_size,
            lambda feed, indices: feeds[feed].keys(indices),
            lengths=self._lengths if config.sorts_lengths else None,
            snapshots=snapshots,
            data=data,
        )

    def batch(self, step: int, part: Part = WHOLE) -> DitBatch:
        """A part of the batch of a step.

        Raises:
            DataError: A sample is damaged; the message names it.
        """
        planned = self.order.batch(step)
        chosen = part.rows(self.batch_size)
        without_text, without_images = self._dropped(step, planned)
        rows = [self.feeds[planned.feeds[place]].row(int(planned.indices[place])) for place in chosen]
        dropped = without_text[chosen.start : chosen.stop].tolist()
        num_images = 0 if without_images else len(sizes_of(planned.key)) - 1
        return DitBatch(
            target=torch.stack([row.pictures[0] for row in rows]),
            images=[torch.stack([row.pictures[1 + at] for row in rows]) for at in range(num_images)],
            text=self._text(rows, dropped, num_images > 0),
            kept=[row.kept for row in rows],
            tasks=[row.task for row in rows],
            keys=[row.key for row in rows],
            part=part,
        )

    def _dropped(self, step: int, planned: PlannedBatch) -> tuple[np.ndarray, bool]:
        """Which samples of a step lose their words (B,), and whether all lose their images.

        Over many steps the shares t, i, b are those of the recipe: images go with probability i + b for a
        whole batch, and then words with b / (i + b), else with t / (1 - i - b).
        """
        config = self.config
        draws = generator(self.seed, "dropout", step)
        shares, without_images = draws.random(len(planned.indices)), False
        if len(planned.key) == 2:
            return shares < config.text_dropout + config.both_dropout, False
        images = config.image_dropout + config.both_dropout
        without_images = bool(draws.random() < images)
        words = config.both_dropout / images if without_images else config.text_dropout / (1 - images)
        return shares < words, without_images

    def _text(self, rows: Sequence[Row], dropped: Sequence[bool], with_images: bool) -> Text:
        if self.encoder is None:
            return Prompts(["" if drop else row.prompt for row, drop in zip(rows, dropped, strict=True)])
        if self.config.caches_text:
            return KnownText(*pad_features(self._known(rows, dropped, with_images)))
        seen = [row.seen if with_images else () for row in rows]
        if self.config.text_encoder_mode == "joint":
            prompts = ["" if drop else row.prompt for row, drop in zip(rows, dropped, strict=True)]
            return JointText(batch_inputs(self.encoder, prompts, seen))
        inputs: list[dict[str, Tensor]] = []
        kept: list[int | None] = []
        for row, own, drop in zip(rows, seen, dropped, strict=True):
            # The features of images do not depend on the words behind them: one run gives both.
            inputs.append(prompt_inputs(self.encoder, "" if drop and not own else row.prompt, own))
            kept.append(num_image_tokens(inputs[-1]) if drop and own else None)
        return FrozenText(inputs, kept)

    def _known(self, rows: Sequence[Row], dropped: Sequence[bool], with_images: bool) -> list[Tensor]:
        assert self.null is not None, "a cache of text holds the features of the empty prompt"
        known = []
        for row, drop in zip(rows, dropped, strict=True):
            assert row.features is not None, "a cache of text holds the features of every row"
            full, alone, num_image_tokens = row.features
            if with_images:
                known.append(full[:num_image_tokens] if drop else full)
            else:
                known.append(self.null if drop else alone)
        return known

    def _lengths(self, feed: int, indices: np.ndarray) -> np.ndarray:
        known = self.feeds[feed]
        assert isinstance(known, ShardFeed), "only a feature cache knows prompts beforehand"
        return known.lengths(indices)


def check_shapes(feeds: Sequence[Feed], batch_size: int) -> None:
    """Refuse data of which much has shapes that an epoch cannot fill a batch of.

    A batch of such a shape holds one sample twice. A rare shape does no harm: it waits until it fills one.
    Counted only where there are few enough samples to count.

    Raises:
        ConfigError: More than a few per cent of the samples have such shapes, or there are too few samples.
    """
    total = sum(len(feed) for feed in feeds)
    if total < batch_size:
        raise ConfigError(
            f"{total} samples cannot fill a batch of {batch_size}: lower batch_size or give more samples"
        )
    if total > _COUNTED:
        return
    counts: dict[tuple[int, ...], int] = {}
    for feed in feeds:
        for key in feed.keys(np.arange(len(feed))):
            counts[key] = counts.get(key, 0) + 1
    few = {key: count for key, count in counts.items() if count < batch_size}
    if not few:
        return
    key = min(few, key=lambda one: few[one])
    target, *images = sizes_of(key)
    given = f" with input images of {', '.join(map(str, images))}" if images else ""
    finding = (
        f"{len(few)} of {len(counts)} shapes have fewer samples than a batch of {batch_size}: "
        f"of {target}{given} there are {few[key]} of {total}"
    )
    remedy = "give more samples, lower batch_size, or take rare sizes and numbers of images out of the data"
    if sum(few.values()) > _RARE_SHARE * total:
        raise ConfigError(f"{finding}; {remedy}")
    log.info("%s; they wait for the next epoch to fill one", finding)
