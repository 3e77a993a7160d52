"""Combinations that training never sees: a pure function of their names, so that every machine agrees."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from typing import TypeAlias

from dreamomni.data.collage.recipe import HeldOut

Combination: TypeAlias = tuple[str, ...]


def colour_combination(name: str, colour: str) -> Combination:
    """A thing in a colour."""
    return ("colour", name, colour)


def pair_combination(first: str, second: str) -> Combination:
    """Two different things in one sample, in either order."""
    return ("pair", *sorted((first, second)))


def count_combination(count: int, name: str) -> Combination:
    """A number (two or more) of one thing."""
    return ("count", str(count), name)


def is_held_out(rule: HeldOut, combination: Combination) -> bool:
    """Say whether a combination is kept for evaluation."""
    digest = hashlib.sha256(json.dumps([rule.salt, *combination]).encode()).digest()
    return int.from_bytes(digest[:8], "big") < rule.fraction * 2**64


def kept_with(rule: HeldOut, name: str, others: Iterable[str]) -> frozenset[str]:
    """Those of many names whose pair with one is kept: `is_held_out` of each, in a quarter of the time."""
    if rule.fraction <= 0:
        return frozenset()
    limit = rule.fraction * 2**64
    head = hashlib.sha256(json.dumps([rule.salt, "pair"])[:-1].encode())
    mine = json.dumps(name)
    kept = set()
    for other in others:
        first, second = (json.dumps(other), mine) if other < name else (mine, json.dumps(other))
        state = head.copy()
        state.update(f", {first}, {second}]".encode())
        if other != name and int.from_bytes(state.digest()[:8], "big") < limit:
            kept.add(other)
    return frozenset(kept)


def combinations(scenes: Iterable[Iterable[tuple[str, str | None]]]) -> set[Combination]:
    """List every combination in a sample.

    Args:
        scenes: For each picture of the sample (source, target), its things as (name, colour); written words
            are none.

    Returns:
        Colours of things, pairs of different things (across the pictures too: a replaced thing and the thing
        that takes its place are a pair), and numbers of two or more of one thing in one picture.
    """
    found: set[Combination] = set()
    names: set[str] = set()
    for scene in scenes:
        things = list(scene)
        counts = Counter(name for name, _ in things)
        names.update(counts)
        found.update(colour_combination(name, colour) for name, colour in things if colour is not None)
        found.update(count_combination(count, name) for name, count in counts.items() if count > 1)
    found.update(pair_combination(first, second) for first in names for second in names if first < second)
    return found
