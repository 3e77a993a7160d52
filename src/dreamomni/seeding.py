"""Derived seeds: every random draw has a name, so adding one never moves another. numpy only; no torch."""

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
    digest = hashlib.sha256(json.dumps([root, *path]).encode()).digest()
    return int.from_bytes(digest[:8], "little")


def generator(root: int, *path: str | int) -> np.random.Generator:
    """Return numpy's counter-based generator for the stream called `path` under `root`."""
    return np.random.Generator(np.random.Philox(key=derive_seed(root, *path)))
