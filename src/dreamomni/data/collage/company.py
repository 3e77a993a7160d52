"""Which things may stand together, and how many of one: what the combinations kept for evaluation leave.

A sample asks this a dozen times, and a library may have thousands of names, so everything is found once.
"""

from collections.abc import Callable, Sequence

from dreamomni.data.collage.held_out import Combination, count_combination, kept_with
from dreamomni.data.collage.naming import names_clash
from dreamomni.data.collage.recipe import HeldOut
from dreamomni.data.collage.scene import ThingKind
from dreamomni.data.collage.shapes import SHAPES

_MOST_REMEMBERED = 2_000_000
"""Names in all remembered lists of partners together."""


class Company:
    """Names that go together in training, and those that are kept apart for evaluation.

    Args:
        rule: What is kept.
        names: Every thing of the world but shapes.
        max_count: Largest number of one thing.
        is_out: Says of one combination whether it is kept.
    """

    def __init__(
        self, rule: HeldOut, names: tuple[str, ...], max_count: int, is_out: Callable[[Combination], bool]
    ) -> None:
        self._rule = rule
        self._names = names
        self._everything = tuple(dict.fromkeys((*names, *SHAPES)))
        self._max_count = max_count
        self._is_out = is_out
        self._kept: dict[str, frozenset[str]] = {}
        self._partners: dict[tuple[str, bool], tuple[str, ...]] = {}
        self._allowing: dict[tuple[int, ThingKind], tuple[str, ...]] = {}
        self._clashing: dict[str, frozenset[str]] = {}
        self._pairs: dict[ThingKind, tuple[tuple[str, str], ...]] = {}
        self._ordered: dict[tuple[ThingKind, tuple[int, int]], tuple[tuple[str, str], ...]] = {}
        self._counts: dict[ThingKind, tuple[tuple[int, str], ...]] = {}

    def pool(self, kind: ThingKind) -> tuple[str, ...]:
        """Names of all things of a kind."""
        return SHAPES if kind == "shape" else self._names

    def kept_with(self, name: str) -> frozenset[str]:
        """Names that make a pair with this one that is kept for evaluation."""
        known = self._kept.get(name)
        if known is None:
            known = self._kept[name] = kept_with(self._rule, name, self._everything)
        return known

    def partners_of(self, chosen: Sequence[str], pool: Sequence[str]) -> Sequence[str]:
        """Names of a pool that training may show together with all of `chosen`, in the pool's order."""
        first, *rest = chosen
        if pool is self._names or pool is SHAPES:
            key = (first, pool is SHAPES)
            options: Sequence[str] | None = self._partners.get(key)
            if options is None:
                if len(self._partners) * len(self._everything) > _MOST_REMEMBERED:
                    self._partners.clear()
                options = self._partners[key] = tuple(self._without(first, pool))
        else:
            options = self._without(first, pool)
        for name in rest:
            options = self._without(name, options)
        return options

    def _without(self, name: str, pool: Sequence[str]) -> list[str]:
        kept = self.kept_with(name)
        # The name of a shape goes with shapes alone, whatever else bears it.
        if name in SHAPES:
            return [other for other in pool if other in SHAPES and other != name and other not in kept]
        return [other for other in pool if other != name and other not in kept]

    def clashing(self, name: str) -> frozenset[str]:
        """Names that may be taken for this one, or it for them; it is one of them itself."""
        known = self._clashing.get(name)
        if known is None:
            known = frozenset(other for other in self._everything if names_clash(name, other))
            self._clashing[name] = known
        return known

    def unmistakable_partners(self, chosen: Sequence[str], pool: Sequence[str]) -> list[str]:
        """Those partners of `chosen` that cannot be taken for any of them."""
        clashing = frozenset().union(*(self.clashing(name) for name in chosen))
        return [name for name in self.partners_of(chosen, pool) if name not in clashing]

    def allows(self, count: int, name: str) -> bool:
        """Whether training may show a thing so many times in one picture."""
        return count < 2 or not self._is_out(count_combination(count, name))

    def names_allowing(self, count: int, kind: ThingKind) -> tuple[str, ...]:
        """Names that training may show `count` times in one picture."""
        if count < 2:
            return self.pool(kind)
        key = (count, kind)
        if key not in self._allowing:
            self._allowing[key] = tuple(name for name in self.pool(kind) if self.allows(count, name))
        return self._allowing[key]

    def pairs_out(self, kind: ThingKind) -> tuple[tuple[str, str], ...]:
        """Pairs of names kept for evaluation."""
        if kind not in self._pairs:
            pool = self.pool(kind)
            self._pairs[kind] = tuple(
                (first, second)
                for at, first in enumerate(pool)
                if (kept := self.kept_with(first))
                for second in pool[at + 1 :]
                if second in kept
            )
        return self._pairs[kind]

    def ordered_pairs_out(self, kind: ThingKind, counts: tuple[int, int]) -> tuple[tuple[str, str], ...]:
        """Pairs kept for evaluation, both ways round, of names that may be shown so many times."""
        key = (kind, counts)
        if key not in self._ordered:
            pairs = self.pairs_out(kind)
            firsts, seconds = (frozenset(self.names_allowing(count, kind)) for count in counts)
            self._ordered[key] = tuple(
                pair
                for pair in (*pairs, *((second, first) for first, second in pairs))
                if pair[0] in firsts and pair[1] in seconds
            )
        return self._ordered[key]

    def counts_out(self, kind: ThingKind) -> tuple[tuple[int, str], ...]:
        """Numbers of a thing kept for evaluation."""
        if kind not in self._counts:
            self._counts[kind] = tuple(
                (count, name)
                for count in range(2, self._max_count + 1)
                for name in self.pool(kind)
                if not self.allows(count, name)
            )
        return self._counts[kind]
