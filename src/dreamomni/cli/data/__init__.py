"""`dreamomni data`: make data, and look at it. One module per action, each with `add_parser`."""

from typing import Any

from dreamomni.cli.data import assets, audit, coco, gallery, generate, sample, stats, view

ACTIONS = (sample, generate, view, stats, audit, gallery, assets, coco)


def add_parser(verbs: Any) -> None:
    """Add the verb and its actions."""
    parser = verbs.add_parser("data", help="Draw samples of a data recipe, or look at some.")
    actions = parser.add_subparsers(metavar="ACTION", required=True, title="actions")
    for action in ACTIONS:
        action.add_parser(actions)
