"""`dreamomni info`: what a preset or a model is, without loading its weights."""

import argparse
import json
from typing import Any


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "info",
        help="Show the parameters and the card of a model.",
        description="Show a preset (tiny, mini, 0.85b, 2.5b) or a model (packaged, folder, hub id).",
    )
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument(
        "--json", action="store_true", help="print JSON with the keys name, parameters, parts, ..."
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Describe the model as a table or as JSON."""
    from dreamomni.inference.describe import describe_model

    facts = describe_model(args.model)
    print(json.dumps(facts, indent=2) if args.json else _table(facts))
    return 0


def _table(facts: dict[str, Any]) -> str:
    rows = [("model", facts["name"]), ("parameters (transformer)", f"{facts['parameters']:,}")]
    rows += [(f"  {part}", f"{count:,}") for part, count in facts["parts"].items()]
    if "config" in facts:
        rows += [(f"  {key}", str(value)) for key, value in facts["config"].items()]
    if "folder" in facts:
        card = facts["card"]
        rows += [("components", "")]
        rows += [
            (f"  {component}", f"{count:,} ({facts['dtypes'][component]})")
            for component, count in facts["components"].items()
        ]
        rows += [
            ("total parameters", f"{facts['total_parameters']:,}"),
            ("tasks", ", ".join(card["tasks"])),
            ("trained at", f"{card['base_size']}x{card['base_size']} px"),
            ("world", card["world"] or "open"),
            ("licence", card["licence"]),
            ("folder", facts["folder"]),
            ("sha256", facts["model_hash"]),
        ]
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"{label:<{width}}  {value}".rstrip() for label, value in rows)
