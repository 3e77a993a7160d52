"""Derived seeds: every random draw has a name, so adding one never moves another. numpy only; no torch."""

import functools
import hashlib
import json

import numpy as np


def derive_seed(root: int, *path: str | int) -> int:
    """Return the 64-bit seed of the stream called `path` under `root`.

    The same names always give the same seed, on every machine and in every process. Seed 0 is a seed like any
    other.

    Args:
        root: The seed a person chose.
        path: Names and indices that lead to one stream, for example `("sample", 17, "layout")`.
    """
    parts = [str(part) if type(part) is int else _quoted(part) for part in (root, *path)]
    return int.from_bytes(hashlib.sha256(f"[{', '.join(parts)}]".encode()).digest()[:8], "little")


@functools.lru_cache(maxsize=4096, typed=True)
def _quoted(part: str | int) -> str:
    """What json.dumps makes of a part; kept, as a sample has a dozen streams whose names come again."""
    return json.dumps(part)


def generator(root: int, *path: str | int) -> np.random.Generator:
    """Return numpy's counter-based generator for the stream called `path` under `root`."""
    return np.random.Generator(np.random.Philox(key=derive_seed(root, *path)))
