"""Checks of where a sample comes from: key, split, licences, assets, combinations kept for evaluation."""

import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator

from dreamomni.data.audit.check import Check
from dreamomni.data.audit.facts import Facts

_KEY = re.compile(r"(train|held_out)-(\d+)-(\d{9,})")
_ASSET = re.compile(r"[^\s:]+:\S.*")
_SPDX = re.compile(
    r"(Apache-2\.0|MIT|ISC|BSD-[23]-Clause|CC0-1\.0|CC-BY(-SA)?-[234]\.0|CC-PDDC|Unlicense|OFL-1\.1|"
    r"Bitstream-Vera|LicenseRef-[A-Za-z0-9.-]+)"
)


def key(facts: Facts) -> Iterator[str]:
    """The key holds split, seed and index, and no dots."""
    sample = facts.sample
    match = _KEY.fullmatch(sample.key)
    if match is None:
        yield f"the key {sample.key!r} is not SPLIT-SEED-INDEX"
    elif (int(match[2]), int(match[3])) != (sample.seed, sample.index):
        yield f"the key {sample.key!r} is not that of sample {sample.index} of seed {sample.seed}"
    elif match[1] != sample.details.get("split"):
        yield f"the key {sample.key!r} is not of the split {sample.details.get('split')!r}"


def licences(facts: Facts) -> Iterator[str]:
    """There is a licence, each is a known identifier, each once and in order."""
    found = facts.sample.licences
    if not found:
        yield "no licence is named"
    if list(found) != sorted(set(found)):
        yield f"the licences {found} are not each once and in order"
    for licence in found:
        parts = re.split(r" (?:AND|OR|WITH) ", licence)
        yield from (f"the licence {part!r} is unknown" for part in parts if not _SPDX.fullmatch(part))


def assets(facts: Facts) -> Iterator[str]:
    """Assets are named as kind:name, each once, and cover every label that needs one."""
    found = facts.sample.assets
    if list(found) != sorted(set(found)):
        yield f"the assets {found} are not each once and in order"
    yield from (f"the asset {one!r} is not KIND:NAME" for one in found if not _ASSET.fullmatch(one))
    kinds = Counter(one.partition(":")[0] for one in found)
    drawn = {label.kind for view in facts.views for label in view.labels}
    if "text" in drawn and not kinds["font"]:
        yield "written words are shown, but no font is among the assets"
    if drawn - {"text", "shape"} and not sum(count for kind, count in kinds.items() if kind != "font"):
        yield "things are shown, but none is among the assets"


def seen_combinations(facts: Facts) -> set[tuple[str, ...]]:
    """Every combination that may be held out: coloured things, pairs of names, numbers of one thing."""
    found: set[tuple[str, ...]] = set()
    names: set[str] = set()
    for view in facts.views:
        things = [(label.name, label.colour) for label in view.labels if label.kind != "text"]
        counts = Counter(name for name, _ in things)
        names |= set(counts)
        found |= {("colour", name, colour) for name, colour in things if colour is not None}
        found |= {("count", str(count), name) for name, count in counts.items() if count > 1}
    found |= {("pair", *pair) for pair in itertools.combinations(sorted(names), 2)}
    return found


def held_out(facts: Facts) -> Iterator[str]:
    """Training shows no held-out combination: those whose hash lies below the fraction."""
    assert facts.held_out is not None
    salt, fraction = facts.held_out
    for combination in sorted(seen_combinations(facts)):
        message = json.dumps([salt, *combination]).encode()
        share = int.from_bytes(hashlib.sha256(message).digest()[:8], "big") / 2**64
        if share < fraction:
            yield f"{' '.join(combination)} is kept for evaluation"


def _training(facts: Facts) -> bool:
    return facts.held_out is not None and facts.sample.details.get("split") == "train"


CHECKS = (
    Check("key", key),
    Check("licences", licences),
    Check("assets", assets),
    Check("held-out combinations", held_out, when=_training),
)
