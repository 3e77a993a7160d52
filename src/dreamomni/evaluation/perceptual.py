"""Distances between pictures in the features of an autoencoder's encoder: of pairs, and of two sets.

These are not LPIPS, FID or KID: those are defined by one network each (AlexNet or VGG with learned weights,
Inception), and their numbers cannot be compared with these. The formulas are theirs. The feature network is
that of any autoencoder, so nothing is downloaded; its hash belongs to every number.
"""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from dreamomni.evaluation.statistics import Estimate
from dreamomni.models.autoencoder import Autoencoder

Pixels = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float64]

_BATCH = 32


class EncoderFeatures:
    """Layers of an autoencoder's encoder as a feature network.

    Args:
        autoencoder: whose encoder; it is only read.
        name: what to call it in a record.
    """

    def __init__(self, autoencoder: Autoencoder, name: str = "autoencoder") -> None:
        self._autoencoder = autoencoder
        self._multiple = autoencoder.spatial_factor
        self.name = name

    @classmethod
    def from_pretrained(cls, source: str | Path) -> Self:
        """Load the autoencoder of a folder.

        Raises:
            ModelError: nothing is there, or it is no autoencoder.
        """
        return cls(Autoencoder.from_pretrained(source), str(source))

    @property
    def digest(self) -> str:
        """Hash (hex) of the encoder's weights."""
        whole = hashlib.sha256()
        for key, value in sorted(self._encoder.state_dict().items()):
            whole.update(key.encode())
            whole.update(value.detach().float().cpu().numpy().tobytes())
        return whole.hexdigest()[:16]

    def distances(
        self, pictures: Sequence[Pixels], truths: Sequence[Pixels], masks: Sequence[Pixels]
    ) -> list[float]:
        """How different pairs look inside masks.

        As in LPIPS (Zhang et al. 2018, equation 1, with equal weights): at every position of a layer the
        features of both pictures are scaled to length 1 and their squared distance is taken; positions are
        averaged with the share of the mask that they cover, layers with equal weights. 0 is equal, 4 the
        largest.

        Args:
            pictures: (H, W, 3) uint8 each.
            truths: the same shapes.
            masks: (H, W) uint8 each, above 127 inside.
        """
        found = []
        for picture, truth, mask in zip(pictures, truths, masks, strict=True):
            layers = self._layers([picture, truth])
            inside = torch.from_numpy((self._padded(mask) > 127).astype(np.float32))[None, None]
            values = []
            for layer in layers:
                unit = functional.normalize(layer, dim=1)
                squared = ((unit[:1] - unit[1:]) ** 2).sum(dim=1, keepdim=True)
                weight = functional.interpolate(inside, squared.shape[-2:], mode="area")
                values.append(float((squared * weight).sum() / weight.sum().clamp_min(1e-9)))
            found.append(sum(values) / len(values))
        return found

    def pooled(self, pictures: Sequence[Pixels]) -> Features:
        """One vector for each picture: the means of all layers over all positions, (N, D)."""
        rows: list[Features] = []
        for start in range(0, len(pictures), _BATCH):
            part = pictures[start : start + _BATCH]
            same = len({picture.shape for picture in part}) == 1
            for group in [part] if same else [[picture] for picture in part]:
                means = [layer.mean(dim=(2, 3)) for layer in self._layers(group)]
                rows.append(torch.cat(means, dim=1).double().numpy())
        return np.concatenate(rows)

    @property
    def _encoder(self) -> nn.Module:
        return self._autoencoder.model.encoder

    def _padded(self, picture: Pixels) -> Pixels:
        height, width = picture.shape[:2]
        below, right = -height % self._multiple, -width % self._multiple
        if not below and not right:
            return picture
        return np.asarray(cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_REPLICATE), np.uint8)

    @torch.no_grad()
    def _layers(self, pictures: Sequence[Pixels]) -> list[Tensor]:
        """Features after the first convolution, each stage of the way down, and the middle: (N, C, h, w)."""
        stack = np.stack([self._padded(picture) for picture in pictures]).astype(np.float32)
        pixels = torch.from_numpy(stack / 127.5 - 1).permute(0, 3, 1, 2)
        encoder: Any = self._encoder
        found: list[Tensor] = []
        watched: list[nn.Module] = [encoder.conv_in, *encoder.down_blocks, encoder.mid_block]
        hooks = [layer.register_forward_hook(lambda _, __, out: found.append(out)) for layer in watched]
        try:
            self._autoencoder.encode_moments(pixels)
        finally:
            for hook in hooks:
                hook.remove()
        return [layer.float().cpu() for layer in found]


def set_distance(found: Features, true: Features) -> Estimate:
    """Kernel distance of two sets of feature vectors: the unbiased squared maximum mean discrepancy.

    The estimate is that of KID (Binkowski et al. 2018), which unlike FID is not biased by the number of
    pictures. The kernel is Gaussian and bounded, as in CMMD (Jayasumana et al. 2024), because a few pictures
    of a cheat could make KID's cubic one any number. Features are scaled to mean 0 and variance 1 on the true
    set; the width of the kernel is the median distance in it. Row i of both sets belongs to one case, and
    such pairs are left out of the cross terms, too: equal sets are exactly 0 apart, and 2 is the most. It can
    be negative by chance. Taking scales from the true set leaves a bias of 0.04 at 6 pictures, below 0.001
    from 24 on. The standard error is the jackknife's.

    Args:
        found: (N, D) of what is judged.
        true: (N, D) of what it is compared with.

    Returns:
        The distance; none below 3 pictures.
    """
    num = len(found)
    if num < 3:
        return Estimate(None, None, num, 0)
    deviation = true.std(axis=0)
    # A feature that hardly varies in a few pictures must not decide alone.
    deviation = np.maximum(deviation, max(0.1 * float(np.median(deviation)), 1e-6))
    one, two = ((side - true.mean(axis=0)) / deviation for side in (found, true))
    squared = _squared_distances(two, two)
    width = float(np.median(squared[~np.eye(num, dtype=bool)])) or 1.0
    cross = np.exp(-_squared_distances(one, two) / (2 * width))
    both = (
        np.exp(-_squared_distances(one, one) / (2 * width)) + np.exp(-squared / (2 * width)) - cross - cross.T
    )
    np.fill_diagonal(both, 0.0)
    total = float(both.sum())
    value = total / (num * (num - 1))
    without = (total - 2 * both.sum(axis=1)) / ((num - 1) * (num - 2))
    spread = math.sqrt((num - 1) / num * float(((without - without.mean()) ** 2).sum()))
    return Estimate(value, spread, num, 0)


def _squared_distances(one: Features, other: Features) -> Features:
    products = one @ other.T
    lengths = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)[None]
    return np.asarray(np.maximum(lengths - 2 * products, 0.0))
