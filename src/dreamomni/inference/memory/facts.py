"""What a model will weigh, read off configurations and headers of safetensors files: no weight is loaded."""

import json
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from dreamomni.errors import ModelError
from dreamomni.models.folder import read_card
from dreamomni.models.kontext.files import KontextFiles

_MODULATION = re.compile(
    r"(^|\.)(norm1|norm1_context|norm)\.linear\.|^norm_out\.linear\.|(^|\.)modulation\.|^modulation_out\."
)
_BLOCK = re.compile(r"^(.*?(?:blocks|stages|layers|block)\.\d+(?:\.\d+)?)\.")
LEAST_SIDE = 32
"""Smaller matrices are not quantised: they are not worth their scales."""
_HEADER_LIMIT = 100 * 2**20
_ITEM_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2}


@dataclass(frozen=True, slots=True)
class Part:
    """One network of a model, or one adapter.

    Attributes:
        name: As the pipeline calls it.
        numbers: Weights in all.
        modulation: Those that see only time, guidance and pooled text.
        largest_modulation: Those of the largest such layer.
        quantisable: Those in matrices that quantisation changes.
        largest_block: Weights of the largest of its repeated blocks.
        loose: Weights outside repeated blocks.
        stored_bytes: In its files.
    """

    name: str
    numbers: int
    modulation: int
    largest_modulation: int
    quantisable: int
    largest_block: int
    loose: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class Geometry:
    """What the activations of a model depend on.

    Attributes:
        kind: "kontext" or "dreamomni".
        width: Of the transformer.
        pixels_per_token: On one side of an image.
        text_tokens: Upper estimate for one prompt.
        base_width: Channels of the autoencoder at full resolution.
        depth: Blocks of the transformer.
        isolated: Whether keys and values of the references are kept through a request.
        guidance_batch: Forward passes that run as one batch.
        side: Of the square that it makes where nothing else is asked, in pixels.
    """

    kind: str
    width: int
    pixels_per_token: int
    text_tokens: int
    base_width: int
    depth: int
    isolated: bool = False
    guidance_batch: int = 1
    side: int = 1024


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model before it is loaded."""

    name: str
    parts: tuple[Part, ...]
    geometry: Geometry

    def part(self, name: str) -> Part | None:
        """The part of a name, if the model has it."""
        return next((part for part in self.parts if part.name == name), None)


def read_part(name: str, files: Iterable[Path]) -> Part:
    """Read the shapes in a network's weight files.

    Args:
        name: Of the part.
        files: All its safetensors files.

    Raises:
        ModelError: A file is no safetensors file.
    """
    shapes: dict[str, tuple[str, list[int]]] = {}
    for path in files:
        shapes |= _read_header(path)
    return count_part(name, shapes)


def count_part(name: str, shapes: Mapping[str, tuple[str, Sequence[int]]]) -> Part:
    """Count the weights of a network.

    Args:
        name: Of the part.
        shapes: Name of a weight -> its dtype, as safetensors calls it, and its shape.
    """
    blocks: dict[str, int] = {}
    numbers = modulation = largest = quantisable = loose = stored = 0
    for key, (kind, shape) in shapes.items():
        count = prod(shape)
        numbers += count
        stored += count * _ITEM_BYTES.get(kind, 1)
        if _MODULATION.search(key):
            modulation += count
            largest = max(largest, count)
        elif len(shape) == 2 and min(shape) >= LEAST_SIDE and _BLOCK.match(key) and "lora_" not in key:
            quantisable += count
        if (match := _BLOCK.match(key)) is not None:
            blocks[match[1]] = blocks.get(match[1], 0) + count
        else:
            loose += count
    return Part(
        name, numbers, modulation, largest, quantisable, max(blocks.values(), default=0), loose, stored
    )


def kontext_facts(files: KontextFiles) -> ModelFacts:
    """The facts of FLUX.1-Kontext with what DreamOmni2 adds.

    Raises:
        ModelError: A file is damaged.
    """
    transformer, vae = (read_config(files.base / part) for part in ("transformer", "vae"))
    names = ["text_encoder", "text_encoder_2", "transformer", "vae"]
    parts = [read_part(name, files.weights(name)) for name in names]
    parts += [read_part(f"{name} adapter", files.weights(name)) for name in files.adapters]
    if files.vlm is not None:
        parts.insert(0, read_part("rewriter", files.weights("vlm")))
    geometry = Geometry(
        kind="kontext",
        width=transformer["num_attention_heads"] * transformer["attention_head_dim"],
        pixels_per_token=2 ** len(vae["block_out_channels"]),
        text_tokens=512,
        base_width=vae["block_out_channels"][0],
        depth=transformer["num_layers"] + transformer["num_single_layers"],
    )
    return ModelFacts(files.name, tuple(parts), geometry)


def dreamomni_facts(folder: Path, name: str | None = None) -> ModelFacts:
    """The facts of a model folder of ours, with its adapters and its rewriter where it has them.

    Raises:
        ModelError: A file is damaged.
    """
    transformer, vae = (read_config(folder / part) for part in ("transformer", "vae"))
    places = {part: folder / part for part in ("text_encoder", "transformer", "vae")}
    places |= {"rewriter": folder / "rewriter", "edit adapter": folder / "edit_lora"}
    places["generate adapter"] = folder / "gen_lora"
    parts = [
        read_part(part, sorted(place.glob("*.safetensors")))
        for part, place in places.items()
        if place.is_dir()
    ]
    fine = transformer.get("variant", "v3") == "v3"
    geometry = Geometry(
        kind="dreamomni",
        width=transformer["width"],
        pixels_per_token=2 ** (len(vae["block_out_channels"]) - 1) * (2 if fine else 4),
        text_tokens=512,
        base_width=vae["block_out_channels"][0],
        depth=transformer["num_stages"] * transformer["blocks_per_stage"],
        isolated=transformer.get("reference_attention", "joint") == "isolated",
        guidance_batch=2,
        side=read_card(folder).base_size,
    )
    return ModelFacts(name or folder.name, tuple(parts), geometry)


def read_config(folder: Path) -> Mapping[str, Any]:
    """Read the configuration of a part.

    Raises:
        ModelError: It is missing or damaged.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}") from None
    if not isinstance(config, dict):
        raise ModelError(f"{path} is not a configuration: it is a {type(config).__name__}")
    return _Required(path, config)


class _Required(dict[str, Any]):
    """A configuration that says which key it lacks."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self._path = path

    def __missing__(self, key: str) -> Any:
        raise ModelError(f"{self._path} lacks {key!r}: it is not the configuration of such a part")


def _read_header(path: Path) -> dict[str, tuple[str, list[int]]]:
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _HEADER_LIMIT:
                raise ModelError(f"{path} is not a safetensors file: its header would be {length:,} bytes")
            header = json.loads(file.read(length))
        return {
            key: (str(entry["dtype"]), [int(side) for side in entry["shape"]])
            for key, entry in header.items()
            if key != "__metadata__"
        }
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} is not a safetensors file: {error}; download it again") from None
