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
    name = f"[{', '.join([_quoted(part) for part in (root, *path)])}]"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")


def _quoted(part: str | int) -> str:
    """What json.dumps makes of a part; written out for the usual ones, as a sample has a dozen streams."""
    if type(part) is int:
        return str(part)
    if type(part) is str and part.isascii() and part.isprintable() and '"' not in part and "\\" not in part:
        return f'"{part}"'
    return json.dumps(part)


def generator(root: int, *path: str | int) -> np.random.Generator:
    """Return numpy's counter-based generator for the stream called `path` under `root`."""
    return np.random.Generator(np.random.Philox(key=derive_seed(root, *path)))
