"""Which samples make up which batch: a pure function of (seed, step), the same for any number of workers.

Samples come from several feeds, each with a weight and a length. The road from a step to its samples:

1. `DrawStream`: an endless sequence of draws. In every `PERIOD` of them each feed has exactly its share, and
   each feed hands out all of its samples once before it starts again, in another order every epoch.
2. `BatchOrder`: draws are looked at in windows. Those of one key (the sizes of a sample) wait together, first
   come first served, until they fill a batch. What does not fill one waits for the next window, across epochs
   too.

So every draw ends in exactly one batch: none is lost and none comes twice within an epoch. What waits at the
end of a run is less than one batch for each key. Nothing is ever laid out for a whole feed: memory is one
window and what waits, whether a feed has a thousand samples or a billion. Getting to a step means going
through the windows before it, from the last snapshot where a folder for them is given.

Numbers only; nothing here knows what a sample is.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dreamomni import storage
from dreamomni.errors import ConfigError
from dreamomni.seeding import derive_seed, generator

PERIOD = 10_000
"""Draws after which every feed has had exactly its share."""
_WINDOW_BATCHES = 32
_SMALLEST_WINDOW = 1024
_LIKE_LENGTHS = 8
"""Batches whose samples are sorted by length together: more would waste less, and mix less."""
_SNAPSHOT_DRAWS = 2**20
_KEPT_SNAPSHOTS = 8
_ROUNDS = 6

Key = tuple[int, ...]
"""What the samples of a batch have in common."""
KeysOf = Callable[[int, np.ndarray], Sequence[Key]]
"""Keys of samples, from the number of their feed and their indices."""
LengthsOf = Callable[[int, np.ndarray], np.ndarray]
"""Lengths of their prompts, likewise."""


def draw_counts(weights: Sequence[float], total: int) -> list[int]:
    """Share `total` draws out by weight with the largest remainders; the counts add up to `total`.

    Raises:
        ConfigError: There are no weights, one is negative or not finite, or all are zero.
    """
    shares = np.asarray(weights, dtype=np.float64)
    if shares.size == 0 or not np.isfinite(shares).all() or (shares < 0).any() or shares.sum() == 0:
        raise ConfigError(f"weights {list(weights)} must be numbers from 0 up, at least one above 0")
    exact = shares / shares.sum() * total
    counts = np.floor(exact).astype(int)
    for index in np.argsort(-(exact - counts), kind="stable")[: total - int(counts.sum())]:
        counts[index] += 1
    return [int(count) for count in counts]


def permuted(positions: np.ndarray, epochs: np.ndarray, length: int, seed: int) -> np.ndarray:
    """Where permutations of `range(length)` take positions, without laying any of them out.

    A Feistel network permutes the smallest power of four that holds `length`; what falls outside goes through
    it again until it is inside, which keeps it a permutation.

    Args:
        positions: (n,) numbers from 0 to `length` - 1.
        epochs: (n,) numbers: every epoch has a permutation of its own.
        length: What is permuted.
        seed: Of all permutations.
    """
    half = max(1, ((length - 1).bit_length() + 1) // 2)
    low_bits, shift = np.uint64(2**half - 1), np.uint64(half)
    rounds = generator(seed, "feistel").integers(0, 2**64, _ROUNDS, dtype=np.uint64)
    values, own = positions.astype(np.uint64), _mix(epochs.astype(np.uint64) + rounds[0])
    moving = np.arange(len(values))
    while len(moving):
        left, right = values[moving] >> shift, values[moving] & low_bits
        for key in rounds:
            left, right = right, left ^ (_mix(right ^ (own[moving] + key)) & low_bits)
        values[moving] = (left << shift) | right
        moving = moving[values[moving] >= length]
    return values.astype(np.int64)


def _mix(values: np.ndarray) -> np.ndarray:
    """The finalizer of splitmix64: every bit of a result depends on every bit of its value."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


class DrawStream:
    """The endless sequence of draws from feeds.

    Args:
        lengths: Samples of every feed.
        weights: Their shares of the draws, exact over every `PERIOD` draws.
        seed: Of all orders.

    Raises:
        ConfigError: The weights are not usable, a share is below one draw in a period, or a feed is empty.
    """

    def __init__(self, lengths: Sequence[int], weights: Sequence[float], seed: int) -> None:
        self.lengths, self.weights, self.seed = tuple(lengths), tuple(weights), seed
        self.counts = draw_counts(weights, PERIOD)
        for number, (length, weight, count) in enumerate(zip(lengths, weights, self.counts, strict=True), 1):
            if length < 1:
                raise ConfigError(f"part {number} of the data has no samples")
            if weight > 0 and count == 0:
                raise ConfigError(
                    f"part {number} of the data has weight {weight:g} of {sum(weights):g}, which is less "
                    f"than one draw in {PERIOD:,}: give it more"
                )

    def draws(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (count,) feeds and (count,) indices in them of the draws from number `first` on."""
        feeds, turns = self._turns(first, count)
        indices = np.empty(count, dtype=np.int64)
        for feed in np.unique(feeds):
            mine, length = feeds == feed, self.lengths[feed]
            epochs, places = np.divmod(turns[mine], length)
            order = derive_seed(self.seed, "feed", int(feed))
            indices[mine] = permuted(places, epochs, length, order)
        return feeds, indices

    def _turns(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Feed of every draw, and how many draws from it came before."""
        feeds, turns = [], []
        for period in range(first // PERIOD, (first + count - 1) // PERIOD + 1):
            pattern = np.repeat(np.arange(len(self.counts)), self.counts)
            generator(self.seed, "pattern", period).shuffle(pattern)
            rank = np.empty(PERIOD, dtype=np.int64)
            for feed, total in enumerate(self.counts):
                rank[pattern == feed] = period * total + np.arange(total)
            start, stop = max(first - period * PERIOD, 0), min(first + count - period * PERIOD, PERIOD)
            feeds.append(pattern[start:stop])
            turns.append(rank[start:stop])
        return np.concatenate(feeds), np.concatenate(turns)


class PlannedBatch(NamedTuple):
    """The samples of one step: all of one key, as (B,) feeds and (B,) indices in them."""

    key: Key
    feeds: np.ndarray
    indices: np.ndarray


@dataclass(slots=True)
class _State:
    """Between two windows: the next window, the first step it gives, and what waits, oldest first."""

    window: int = 0
    step: int = 0
    waiting: dict[Key, np.ndarray] = field(default_factory=dict)
    """(n, 2) feeds and indices of each key; less than a batch."""


class BatchOrder:
    """The batch of every step, found by going through the windows up to it.

    Asking for steps in rising order costs each window once; going back costs a start from the last snapshot.

    Args:
        stream: The draws.
        batch_size: Samples of a step.
        keys: What must be equal within a batch.
        lengths: Lengths of prompts, to put like ones together, or None where they are not known.
        snapshots: A folder that remembers the state about every million draws, so that a resumed run does not
            count from the first step. It is a memory only: every file in it may be deleted.
        data: What decides the keys, as one word, so that snapshots of other data are not taken up.

    Raises:
        ConfigError: The batch size is below one.
    """

    def __init__(
        self,
        stream: DrawStream,
        batch_size: int,
        keys: KeysOf,
        *,
        lengths: LengthsOf | None = None,
        snapshots: Path | None = None,
        data: str = "",
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"a batch of {batch_size} samples trains nothing")
        self.stream, self.batch_size = stream, batch_size
        self.window = max(_WINDOW_BATCHES * batch_size, _SMALLEST_WINDOW)
        self._keys, self._lengths, self._snapshots = keys, lengths, snapshots
        parts = (stream.lengths, stream.weights, stream.seed, batch_size, self.window, lengths is None, data)
        self._name = f"order-{derive_seed(0, json.dumps(parts)):016x}"
        self._state, self._first, self._planned = _State(), 0, list[PlannedBatch]()

    def batch(self, step: int) -> PlannedBatch:
        """The samples of a step, counted from 0."""
        if step < self._first:
            self._state, self._first, self._planned = _State(), 0, []
        if step >= self._state.step:
            found = self._latest_snapshot(step)
            if found is not None and found.step > self._state.step:
                self._state, self._first, self._planned = found, found.step, []
        while step >= self._state.step:
            self._first = self._state.step
            self._planned = self._plan()
        return self._planned[step - self._first]

    @property
    def num_waiting(self) -> int:
        """Draws up to the current window that are in no batch yet."""
        return sum(len(rows) for rows in self._state.waiting.values())

    def _plan(self) -> list[PlannedBatch]:
        """The batches of the next window; moves the state past it."""
        state = self._state
        feeds, indices = self.stream.draws(state.window * self.window, self.window)
        rows = np.stack([feeds, indices], axis=1)
        planned: list[PlannedBatch] = []
        arrived = self._by_key(feeds, indices)
        for key in sorted(arrived):
            queue = rows[arrived[key]]
            if key in state.waiting:
                queue = np.concatenate([state.waiting[key], queue])
            used = len(queue) // self.batch_size * self.batch_size
            state.waiting[key] = queue[used:]
            planned += [PlannedBatch(key, part[:, 0], part[:, 1]) for part in self._cut(queue[:used])]
        order = generator(self.stream.seed, "window", state.window).permutation(len(planned))
        state.window += 1
        state.step += len(planned)
        self._remember()
        return [planned[place] for place in order]

    def _by_key(self, feeds: np.ndarray, indices: np.ndarray) -> dict[Key, np.ndarray]:
        """Positions of the draws of each key, in their order."""
        keys: list[Key] = [()] * len(feeds)
        for feed in np.unique(feeds):
            at = np.nonzero(feeds == feed)[0]
            for place, key in zip(at.tolist(), self._keys(int(feed), indices[at]), strict=True):
                keys[place] = key
        places: dict[Key, list[int]] = {}
        for place, key in enumerate(keys):
            places.setdefault(key, []).append(place)
        return {key: np.array(found) for key, found in places.items()}

    def _cut(self, queue: np.ndarray) -> list[np.ndarray]:
        """Whole batches of a queue, samples of like length together where lengths are known."""
        if self._lengths is not None and len(queue):
            lengths = np.empty(len(queue), dtype=np.int64)
            for feed in np.unique(queue[:, 0]):
                mine = queue[:, 0] == feed
                lengths[mine] = self._lengths(int(feed), queue[mine, 1])
            step = _LIKE_LENGTHS * self.batch_size
            order = [
                first + np.argsort(lengths[first : first + step], kind="stable")
                for first in range(0, len(queue), step)
            ]
            queue = queue[np.concatenate(order)]
        return [queue[first : first + self.batch_size] for first in range(0, len(queue), self.batch_size)]

    def _remember(self) -> None:
        every = max(1, _SNAPSHOT_DRAWS // self.window)
        if self._snapshots is None or self._state.window % every:
            return
        path = self._snapshots / f"{self._name}-{self._state.step:012d}.json"
        if path.exists():
            return  # another worker of this run came by first
        waiting = [[list(key), rows.tolist()] for key, rows in self._state.waiting.items() if len(rows)]
        storage.write_text(path, json.dumps({"window": self._state.window, "waiting": waiting}))
        for old in self._found()[:-_KEPT_SNAPSHOTS]:
            old.unlink(missing_ok=True)

    def _latest_snapshot(self, step: int) -> _State | None:
        """The newest remembered state from which `step` is still to come."""
        for path in reversed(self._found()):
            first = int(path.stem.rpartition("-")[2])
            if first > step:
                continue
            try:
                saved = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue  # only a memory: an older one or the beginning will do
            waiting = {
                tuple(key): np.array(rows, dtype=np.int64).reshape(-1, 2) for key, rows in saved["waiting"]
            }
            return _State(saved["window"], first, waiting)
        return None

    def _found(self) -> list[Path]:
        return sorted(self._snapshots.glob(f"{self._name}-*.json")) if self._snapshots is not None else []
