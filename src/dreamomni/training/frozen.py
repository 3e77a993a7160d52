"""The networks that do not learn: loading them, and what they say of samples, rounded once.

Features of a sample must be the same numbers whether they are computed before training or in its steps, alone
or among any others. So the networks run on chunks of a fixed shape: pictures of one size, prompts padded to
one length, the last chunk filled up with what it has. Within one shape a kernel treats all rows alike, and
the results are rounded to what the feature cache stores.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from dreamomni import storage
from dreamomni.models.autoencoder import Autoencoder
from dreamomni.models.vlm import VLMEncoder

MOMENTS_DTYPE = torch.float16
FEATURES_DTYPE = torch.bfloat16
"""The VLM's features have outliers beyond the range of float16."""
FORMAT = 1
"""Changes when the same weights and samples would give other stored numbers."""

_CHUNK_PIXELS = 2**20
_LARGEST_CHUNK = 64
_PROMPTS = 16
_LENGTH_STEP = 16

Inputs = Mapping[str, Tensor]
"""What the VLM reads of one prompt: a batch of one row without padding."""


class Source(NamedTuple):
    """Where weights are: a folder or a hub id, and a folder in it."""

    name: str
    subfolder: str | None

    @classmethod
    def parse(cls, text: str) -> "Source":
        """Read a local folder, `owner/name`, or `owner/name/folder` of a hub.

        What lies below `runs` or below any folder that exists here is local, so that a name that is mistyped
        is missed here and not asked for elsewhere.
        """
        parts = text.split("/")
        looks_local = Path(text).exists() or text.startswith((".", "/", "~"))
        if not looks_local and len(parts) > 1 and (parts[0] == "runs" or Path(parts[0]).is_dir()):
            return cls(f"./{text}", None)
        if looks_local or len(parts) < 3:
            return cls(text, None)
        return cls("/".join(parts[:2]), "/".join(parts[2:]))


def load_autoencoder(text: str, dtype: torch.dtype, device: torch.device) -> Autoencoder:
    """Load an autoencoder that does not learn.

    Raises:
        ModelError: Nothing is there, or it is not complete.
    """
    source = Source.parse(text)
    autoencoder = Autoencoder.from_pretrained(source.name, source.subfolder, dtype)
    autoencoder.model.requires_grad_(False).to(device)
    return autoencoder


def load_text_encoder(text: str, dtype: torch.dtype, device: torch.device) -> VLMEncoder:
    """Load a VLM with no parameter set to learn.

    Raises:
        ModelError: Nothing is there, or it is not complete.
    """
    source = Source.parse(text)
    encoder = VLMEncoder.from_pretrained(source.name, source.subfolder, dtype)
    encoder.model.requires_grad_(False).to(device)
    return encoder


def hash_weights(text: str) -> str:
    """Sha256 (hex) of the weight files of a local folder; a hub id stands for itself."""
    folder = Path(text)
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if not files:
        return text
    return hashlib.sha256(" ".join(storage.sha256_file(path) for path in files).encode()).hexdigest()


class FrozenAutoencoder:
    """What a frozen autoencoder says of pictures, in the numbers that a feature cache holds."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        self.autoencoder = autoencoder

    @torch.no_grad()
    def moments(self, pictures: Tensor) -> Tensor:
        """Raw moments of pictures of one size.

        Args:
            pictures: uint8 (N, H, W, 3).

        Returns:
            (N, 2C, h, w) in `MOMENTS_DTYPE`, on the autoencoder's device.
        """
        height, width = pictures.shape[1:3]
        chunk = max(1, min(_LARGEST_CHUNK, _CHUNK_PIXELS // (height * width)))
        parts = []
        with _no_autocast(self.autoencoder.device):
            for rows in _chunks(len(pictures), chunk):
                pixels = pictures[torch.from_numpy(rows)].to(self.autoencoder.device)
                pixels = pixels.permute(0, 3, 1, 2).float()
                pixels = pixels.div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)
                moments = self.autoencoder.encode_moments(pixels)
                parts.append(moments.to(MOMENTS_DTYPE).contiguous())
        return torch.cat(parts)[: len(pictures)]


class FrozenEncoders(FrozenAutoencoder):
    """What frozen networks say of samples, in the numbers that a feature cache holds.

    Args:
        autoencoder: Encodes pictures.
        encoder: Encodes prompts with their images.
    """

    def __init__(self, autoencoder: Autoencoder, encoder: VLMEncoder) -> None:
        super().__init__(autoencoder)
        self.encoder = encoder

    @torch.no_grad()
    def features(self, prompts: Sequence[Inputs]) -> list[Tensor]:
        """Penultimate features of prompts.

        Args:
            prompts: Each as `prompt_inputs` gives it.

        Returns:
            For each prompt (tokens, D) in `FEATURES_DTYPE`, on the VLM's device.
        """
        groups: dict[tuple[Any, ...], list[int]] = {}
        for number, inputs in enumerate(prompts):
            length = -(-inputs["input_ids"].shape[1] // _LENGTH_STEP) * _LENGTH_STEP
            grids = inputs["image_grid_thw"].flatten().tolist() if "image_grid_thw" in inputs else []
            groups.setdefault((length, *grids), []).append(number)
        found: dict[int, Tensor] = {}
        with _no_autocast(self.encoder.device):
            for (length, *_), members in groups.items():
                for rows in _chunks(len(members), _PROMPTS):
                    chosen = [members[row] for row in rows]
                    hidden = self.encoder.encode(
                        _stack([prompts[one] for one in chosen], length)
                    ).hidden_states
                    for row, number in enumerate(chosen):
                        tokens = prompts[number]["input_ids"].shape[1]
                        found[number] = hidden[row, :tokens].to(FEATURES_DTYPE)
        return [found[number] for number in range(len(prompts))]


def prompt_inputs(encoder: VLMEncoder, prompt: str, images: Sequence[Tensor]) -> dict[str, Tensor]:
    """What the VLM reads of one prompt and its images, each uint8 (H, W, 3)."""
    return batch_inputs(encoder, [prompt], [images])


def batch_inputs(
    encoder: VLMEncoder, prompts: Sequence[str], images: Sequence[Sequence[Tensor]]
) -> dict[str, Tensor]:
    """What the VLM reads of a batch of prompts, padded on the right.

    Args:
        encoder: Only its processor is used.
        prompts: B texts.
        images: For each its images, uint8 (H, W, 3), of any sizes.
    """
    flat = [image for own in images for image in own]
    if not flat:
        return encoder.token_ids(prompts)
    counts = [len(own) for own in images]
    if len({image.shape for image in flat}) == 1 and encoder.reads(*flat[0].shape[:2]):
        return encoder.tokenize_pixels(prompts, torch.stack(flat), counts)
    return encoder.tokenize(prompts, [[Image.fromarray(image.numpy()) for image in own] for own in images])


def num_image_tokens(inputs: Inputs) -> int:
    """Tokens of a single prompt that stand for its images, their borders included; they come first."""
    if "image_grid_thw" not in inputs:
        return 0
    images = inputs["mm_token_type_ids"][0].nonzero()
    return int(images[-1]) + 2  # the last image token, and the token that ends the image


def pad_features(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Features of prompts of several lengths -> (B, T, D) with zeros at the padding, and the mask (B, T)."""
    longest = max(len(row) for row in rows)
    hidden = torch.stack([functional.pad(row, (0, 0, 0, longest - len(row))) for row in rows])
    lengths = torch.tensor([len(row) for row in rows], device=hidden.device)
    return hidden, torch.arange(longest, device=hidden.device) < lengths[:, None]


def _stack(prompts: Sequence[Inputs], length: int) -> dict[str, Tensor]:
    stacked: dict[str, Tensor] = {}
    for name in prompts[0]:
        rows = [inputs[name] for inputs in prompts]
        if name in ("input_ids", "attention_mask", "mm_token_type_ids"):
            # Token 0 where nobody looks: the mask is 0 there, and what comes later is not seen by what is.
            rows = [functional.pad(row, (0, length - row.shape[1])) for row in rows]
        stacked[name] = torch.cat(rows)
    return stacked


def _chunks(count: int, size: int) -> Iterator[np.ndarray]:
    """Row numbers in chunks of exactly `size`; the last one repeats its last row."""
    for first in range(0, count, size):
        yield np.minimum(np.arange(first, first + size), count - 1)


def _no_autocast(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, enabled=False)
