from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from dreamomni.data.collage.company import Company
from dreamomni.data.collage.held_out import count_combination, is_held_out, kept_with, pair_combination
from dreamomni.data.collage.naming import names_clash
from dreamomni.data.collage.recipe import HeldOut
from dreamomni.data.collage.shapes import SHAPES

NAMES = ("balloon", "cat", "dog", "hot air balloon", 'a "quoted" one', "kite", "n\u00e4ive", "tree", "zebra")
RULES = st.builds(HeldOut, fraction=st.sampled_from([0.0, 0.2, 0.5, 1.0]), salt=st.text(max_size=4))


def company(rule: HeldOut) -> Company:
    return Company(rule, NAMES, 4, lambda combination: is_held_out(rule, combination))


@given(RULES, st.sampled_from(NAMES))
def test_many_pairs_at_once_are_kept_as_each_alone(rule: HeldOut, name: str) -> None:
    alone = {other for other in NAMES if other != name and is_held_out(rule, pair_combination(name, other))}
    assert kept_with(rule, name, NAMES) == alone


@given(RULES, st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
def test_partners_go_with_all_and_stand_in_the_order_of_the_pool(rule: HeldOut, chosen: list[str]) -> None:
    made = company(rule)
    for pool in (made.pool("sticker"), list(reversed(NAMES))):
        expected = [
            name
            for name in pool
            if name not in chosen
            and not any(is_held_out(rule, pair_combination(name, other)) for other in chosen)
        ]
        for _ in range(2):  # the second time from memory
            assert list(made.partners_of(chosen, pool)) == expected
        clear = [name for name in expected if not any(names_clash(name, other) for other in chosen)]
        assert made.unmistakable_partners(chosen, pool) == clear


@given(RULES)
def test_pairs_and_counts_kept_for_evaluation(rule: HeldOut) -> None:
    made = company(rule)
    for kind, pool in (("sticker", NAMES), ("shape", SHAPES)):
        pairs = [pair for pair in combinations(pool, 2) if is_held_out(rule, pair_combination(*pair))]
        assert list(made.pairs_out(kind)) == pairs
        counts = [
            (n, name) for n in (2, 3, 4) for name in pool if is_held_out(rule, count_combination(n, name))
        ]
        assert list(made.counts_out(kind)) == counts
        both = [*pairs, *((second, first) for first, second in pairs)]
        twice = [pair for pair in both if (2, pair[1]) not in counts]
        assert list(made.ordered_pairs_out(kind, (1, 2))) == twice
        assert made.names_allowing(1, kind) == pool
        assert made.names_allowing(3, kind) == tuple(name for name in pool if made.allows(3, name))
