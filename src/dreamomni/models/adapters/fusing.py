"""Several layers of diffusers against one fused layer of the original FLUX.1 code, without changing the sum.

Split: the rows of `up` go to the parts, and every part keeps `down`. Merged: parts that share `down` stand
on top of each other again; others become blocks on the diagonal, so the rank is the sum of theirs. Splitting
such blocks drops the columns that are zero in a part, and gives back what was merged.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dreamomni.errors import ModelError
from dreamomni.models.adapters.names import SWAPPED, parts_of, slot_of
from dreamomni.models.adapters.weights import LowRank

_MLP_RATIO = 4
"""Of every FLUX.1: the FeedForward of a single block is so many times as wide as the block."""


def to_original(layers: Mapping[str, LowRank]) -> dict[str, LowRank]:
    """Layers of diffusers' FLUX.1 -> layers of the original code.

    Raises:
        ModelError: A layer is none of FLUX.1's.
    """
    merged: dict[str, LowRank] = {}
    groups: dict[str, dict[int, LowRank]] = {}
    for path, layer in layers.items():
        found = slot_of(path)
        if found is None:
            raise ModelError(
                f"{path} is no layer of FLUX.1, so it has no name in the original code: "
                "convert to diffusers instead"
            )
        original, slot = found
        if slot.part is None:
            merged[original] = layer._replace(up=_swap(layer.up)) if original == SWAPPED else layer
        else:
            groups.setdefault(original, {})[slot.part] = layer
    for original, parts in groups.items():
        merged[original] = _merge(original, parts, len(parts_of(original)))
    return merged


def to_parts(layers: Mapping[str, LowRank]) -> dict[str, LowRank]:
    """Layers of the original FLUX.1 code -> layers of diffusers.

    Raises:
        ModelError: The rows of a fused layer do not divide among its parts.
    """
    split: dict[str, LowRank] = {}
    for original, layer in layers.items():
        paths = parts_of(original)
        if len(paths) == 1:
            split[paths[0]] = layer._replace(up=_swap(layer.up)) if original == SWAPPED else layer
        else:
            sizes = _sizes(original, layer.down.shape[1], layer.up.shape[0], len(paths))
            split |= _split(paths, layer, sizes)
    return split


def _sizes(original: str, inputs: int, outputs: int, num_parts: int) -> list[int]:
    """Rows of every part: query, key and value are square, and what is left is the FeedForward."""
    rest = outputs - 3 * inputs
    if (num_parts == 3 and rest) or (num_parts == 4 and rest <= 0):
        raise ModelError(
            f"{original} has {outputs} outputs for {inputs} inputs, which do not divide into query, key and "
            f"value{' and a FeedForward' if num_parts == 4 else ''} of FLUX.1"
        )
    return [inputs] * 3 + ([rest] if num_parts == 4 else [])


def _merge(original: str, parts: Mapping[int, LowRank], num_parts: int) -> LowRank:
    first = next(iter(parts.values()))
    inputs = first.down.shape[1]
    sizes = [inputs] * 3 + [_MLP_RATIO * inputs] * (num_parts - 3)
    for part, layer in parts.items():
        if layer.down.shape[1] != inputs:
            raise ModelError(f"the parts of {original} have {inputs} and {layer.down.shape[1]} inputs")
        if part < 3 and layer.up.shape[0] != inputs:
            raise ModelError(
                f"part {part + 1} of {original} has {layer.up.shape[0]} outputs for {inputs} inputs: in "
                "FLUX.1 both are the width"
            )
        sizes[part] = layer.up.shape[0]
    dtype = first.up.dtype
    shared = all(
        layer.scale == first.scale and torch.equal(layer.down, first.down) for layer in parts.values()
    )
    if shared:
        rows = [
            parts[part].up if part in parts else torch.zeros(sizes[part], first.rank, dtype=dtype)
            for part in range(num_parts)
        ]
        return LowRank(first.down, torch.cat(rows), first.alpha)
    down = torch.cat([parts[part].down for part in sorted(parts)])
    up = torch.zeros(sum(sizes), down.shape[0], dtype=dtype)
    column = 0
    for part in sorted(parts):
        layer, start = parts[part], sum(sizes[:part])
        # One alpha serves the whole, so another strength goes into the weights.
        own = layer.up if layer.scale == first.scale else layer.up.double() * (layer.scale / first.scale)
        up[start : start + sizes[part], column : column + layer.rank] = own.to(dtype)
        column += layer.rank
    return LowRank(down, up, first.scale * down.shape[0])


def _split(paths: Sequence[str], layer: LowRank, sizes: Sequence[int]) -> dict[str, LowRank]:
    ups = dict(zip(paths, layer.up.split(list(sizes)), strict=True))
    used = {path: up.ne(0).any(dim=0) for path, up in ups.items()}
    if not any(columns.any() for columns in used.values()):
        return {path: layer._replace(up=up.contiguous()) for path, up in ups.items()}
    blocks = torch.stack(list(used.values())).sum(dim=0).le(1).all()
    parts: dict[str, LowRank] = {}
    for path, up in ups.items():
        columns = used[path]
        if not columns.any():
            continue
        if not blocks:
            parts[path] = layer._replace(up=up.contiguous())
            continue
        down, up = layer.down[columns], up[:, columns]
        parts[path] = LowRank(down.contiguous(), up.contiguous(), layer.scale * down.shape[0])
    return parts


def _swap(up: Tensor) -> Tensor:
    """The two halves of the outputs, changed over."""
    return torch.cat(list(reversed(up.chunk(2))))
