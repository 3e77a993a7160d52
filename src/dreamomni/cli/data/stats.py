"""`dreamomni data stats`: what a data set holds."""

import argparse
import json
from collections.abc import Mapping
from typing import Any

from dreamomni.cli.data.audit import add_source_arguments

_SHOWN = 12


def add_parser(actions: Any) -> None:
    """Add the action."""
    stats = actions.add_parser(
        "stats",
        help="Count samples by task, size, colour, thing and asset.",
        description="Count what a folder holds, or what a recipe draws.",
        epilog="example: dreamomni data stats out/shards --json",
    )
    add_source_arguments(stats)
    stats.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Count, and print tables or JSON."""
    from dreamomni.cli.progress import following
    from dreamomni.data.sources import open_source
    from dreamomni.data.statistics import SampleStatistics

    source = open_source(
        args.source,
        num_samples=args.num_samples,
        seed=args.seed,
        kind=args.kind,
        overrides=args.overrides,
    )
    statistics = SampleStatistics()
    for sample in following(source.samples, source.total, "counting", quiet=args.quiet):
        statistics.add(sample)
    statistics.rejected.update(source.rejected)
    values = statistics.as_json()
    if args.json:
        print(json.dumps(values, indent=2))
        return 0
    print(f"{values.pop('num_samples')} samples of {source.title}")
    kinds = values.pop("kinds")
    for task, count in values.pop("tasks").items():
        print(f"  {task:<16} {count:>8}   {_list(kinds[task])}")
    for name, counts in values.items():
        if counts:
            print(f"{name.replace('_', ' ')}: {_list(counts)}")
    return 0


def _list(counts: Mapping[Any, int]) -> str:
    """The first entries of a table of counts on one line."""
    shown = [f"{name} {count}" for name, count in list(counts.items())[:_SHOWN]]
    rest = len(counts) - _SHOWN
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")
