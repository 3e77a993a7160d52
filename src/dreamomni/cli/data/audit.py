"""`dreamomni data audit`: derive labels again from pixels and words, and compare."""

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from dreamomni.cli.arguments import add_overrides, positive_int

if TYPE_CHECKING:
    from dreamomni.data.audit.check import AuditReport

EXIT_DISAGREEMENT = 1


def add_parser(actions: Any) -> None:
    """Add the action."""
    audit = actions.add_parser(
        "audit",
        help="Check labels and words against the pixels.",
        description="Derive boxes, masks, colours, relations and words again from the pixels of every "
        "sample, and compare them with what the samples say. Exit code 1 when anything disagrees.",
        epilog="example: dreamomni data audit collage-all --kind replace -n 2000",
    )
    add_source_arguments(audit)
    audit.set_defaults(run=run)


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what audit and stats read: a folder or recipe, how many of which kind, and how to answer."""
    parser.add_argument(
        "source",
        metavar="DATA|RECIPE",
        help="a folder of samples or shards, a table of your own, a recipe file, or a shipped recipe",
    )
    parser.add_argument(
        "-n",
        "--num-samples",
        type=positive_int,
        default=None,
        metavar="N",
        help="at most so many (default: all of a folder, 200 of a recipe)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of a recipe's samples (default: 0)")
    parser.add_argument("--kind", default=None, help="only this kind, such as counting or replace")
    add_overrides(parser, "size=96x96")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    """Audit, and say what disagrees."""
    from dreamomni.cli.progress import following
    from dreamomni.data.audit.run import Auditor
    from dreamomni.data.sources import open_source
    from dreamomni.errors import ConfigError

    source = open_source(
        args.source,
        num_samples=args.num_samples,
        seed=args.seed,
        kind=args.kind,
        overrides=args.overrides,
    )
    if source.is_table:
        raise ConfigError(f"{args.source} has no labels to audit: `data view` and `data stats` show it")
    auditor = Auditor(source.vocabulary, source.held_out)
    for sample in following(source.samples, source.total, "auditing", quiet=args.quiet):
        auditor.add(sample, exact=source.is_exact(sample))
    report = auditor.report
    report.rejected.update(source.rejected)
    if args.json:
        print(json.dumps(report.as_json(), indent=2))
    else:
        _print_table(report)
    if report.num_samples == 0:
        print("dreamomni: error: there was no sample to audit", file=sys.stderr)
    return 0 if report.passed else EXIT_DISAGREEMENT


def _print_table(report: "AuditReport") -> None:
    """Print counts for every check, then the first disagreements."""
    width = max([5, *(len(name) for name in report.samples)])
    print(f"{'check':<{width}}  {'samples':>8}  {'disagree':>8}")
    for name, count in report.samples.items():
        print(f"{name:<{width}}  {count:>8}  {report.wrong[name] or '-':>8}")
    for one in report.first:
        print(f"\n{one.check}: {one.kind}, {one.key}\n  {one.message}")
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(report.kinds.items()))
    print(f"\n{report.num_samples} samples ({kinds})")
    for reason, count in sorted(report.rejected.items()):
        print(f"{count} could not be drawn: {reason}")
    total = sum(report.wrong.values())
    print("everything agrees" if report.passed else f"{total} disagreements")
