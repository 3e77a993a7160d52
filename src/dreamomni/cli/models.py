"""`dreamomni models`: which models there are, what is missing or wrong in one, and their LoRAs."""

import argparse
import json
from typing import Any

from dreamomni.cli.convert import add_convert
from dreamomni.cli.memory import add_plan


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "models",
        help="List the known models, check the files of one, or plan its memory.",
        description="List the known models, check the files of one, or plan its memory, without loading it.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="Show the packaged and published models and where they are.")
    listing.set_defaults(run=run_list)
    check = actions.add_parser(
        "check",
        help="Say exactly what is missing or wrong in a model folder.",
        description="Look at every part of a model: files, weights, LoRAs, rewriter. Known are DreamOmni2's "
        "published layout (vlm-model/, edit_lora/, gen_lora/, base/), folders of FLUX.1-Kontext, and ours. "
        "Exit code 2 if something is wrong; LoRAs and rewriters may be absent.",
        epilog="example: dreamomni models check ./models --base-model ./FLUX.1-Kontext-dev",
    )
    check.add_argument("model", metavar="PATH", help="a folder, or a packaged model")
    check.add_argument(
        "--base-model", default=None, metavar="PATH", help="folder of FLUX.1-Kontext, if it lies elsewhere"
    )
    check.add_argument(
        "--headers-only",
        action="store_true",
        help="do not read the weights themselves, only what they are called: quick, but blind to NaN",
    )
    check.add_argument("--json", action="store_true", help="print a list of {part, state, found, remedy}")
    check.set_defaults(run=run_check)
    add_plan(actions)
    add_convert(actions)


def run_check(args: argparse.Namespace) -> int:
    """Print a row for every part; 2 if one is wrong."""
    from dataclasses import asdict

    from transformers.utils import logging as transformers_logging

    from dreamomni.inference.checking import check_model

    transformers_logging.disable_progress_bar()
    findings = check_model(args.model, args.base_model, finite=not args.headers_only)
    wrong = [finding for finding in findings if finding.state == "wrong"]
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        width = max(len(finding.part) for finding in findings)
        for finding in findings:
            print(f"{finding.state:<7}{finding.part:<{width}}  {finding.found}")
            if finding.remedy:
                print(f"{'':<{7 + width}}  -> {finding.remedy}")
        print(f"{args.model}: {f'{len(wrong)} of {len(findings)} parts are wrong' if wrong else 'good'}")
    return 2 if wrong else 0


def run_list(args: argparse.Namespace) -> int:
    """Print a row for every known model."""
    from huggingface_hub import try_to_load_from_cache

    from dreamomni.inference.loading import packaged_models
    from dreamomni.models.folder import ADAPTER_FOLDERS, read_card
    from dreamomni.models.kontext.files import (
        ADAPTER_FILE,
        BASE_HUB_NAME,
        EXTRAS_HUB_NAME,
        KONTEXT,
        LICENCE,
        VLM_FOLDER,
    )

    for name, folder in packaged_models().items():
        card = read_card(folder)
        print(f"{name:<8}  packaged, {card.licence}: {', '.join(card.tasks)}")
        print(f"{'':<8}  {folder}")
    print(f"{KONTEXT:<8}  DreamOmni2, {LICENCE}: edit, subject, text_to_image")
    parts = [(BASE_HUB_NAME, "model_index.json", "the base, gated")]
    parts += [
        (EXTRAS_HUB_NAME, f"{place}/{ADAPTER_FILE}", f"LoRA {key!r}")
        for key, place in ADAPTER_FOLDERS.items()
    ]
    parts.append((EXTRAS_HUB_NAME, f"{VLM_FOLDER}/config.json", "the rewriter"))
    for repository, file, what in parts:
        cached = isinstance(try_to_load_from_cache(repository, file), str)
        state = "in the hub's cache" if cached else "not downloaded"
        print(f"{'':<8}  {what}: {repository} ({state})")
    return 0
