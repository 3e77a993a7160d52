# ruff: noqa: T201
"""How well the world checker reads: engine pictures, damaged ones, and things that it must not name.

Run: python benchmarks/world_checker.py [--num 400] [--world mini-world]
Prints the tables of docs/log/2026-11-21-world-checker.md (about 10 minutes on one CPU core for 400 pictures).
"""

import argparse
import time
from collections import Counter
from itertools import permutations

import cv2
import numpy as np

from dreamomni.config import load_recipe
from dreamomni.data.collage.assets import StickerPack
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.evaluation.checker import Detection, Vocabulary, detect
from dreamomni.evaluation.degradations import Degradation
from dreamomni.evaluation.judging import vocabulary_of
from dreamomni.evaluation.scorers import direction_holds
from dreamomni.seeding import generator
from dreamomni.tasks.sample import ObjectLabel, TrainingSample

SEED = 314
DEGRADATIONS = (
    Degradation(),
    Degradation(blur=0.7),
    Degradation(blur=1.0),
    Degradation(blur=1.4),
    Degradation(noise=6),
    Degradation(noise=12),
    Degradation(jpeg=90),
    Degradation(jpeg=70),
    Degradation(blur=0.7, noise=6),
    Degradation(blur=1.0, noise=6, jpeg=90),
    Degradation(blur=1.4, noise=12, jpeg=70),
    Degradation(fade=0.8, blur=0.7, noise=6),
    Degradation(wobble=0.7, blur=0.7, noise=6),
    Degradation(wobble=1.0, blur=0.7, noise=6),
    Degradation(wobble=1.5, blur=0.7, noise=6),
)


def pair_up(labels: tuple[ObjectLabel, ...], found: list[Detection]) -> list[Detection | None]:
    """For every label the detection whose centre is nearest, within 10% of the picture's side."""
    pairs = sorted(
        (np.hypot(*np.subtract(label.box.centre, detection.box.centre)), row, column)
        for row, label in enumerate(labels)
        for column, detection in enumerate(found)
    )
    partners: list[Detection | None] = [None] * len(labels)
    used: set[int] = set()
    for distance, row, column in pairs:
        if distance <= 6.4 and partners[row] is None and column not in used:
            partners[row] = found[column]
            used.add(column)
    return partners


def measure(samples: list[TrainingSample], vocabulary: Vocabulary, damage: Degradation) -> None:
    """Print one row of the table, and the confusions on standard lines below it."""
    counts: Counter[str] = Counter()
    confusions: Counter[str] = Counter()
    seconds = 0.0
    for sample in samples:
        picture = damage.apply(sample.target, generator(SEED, str(damage), sample.kind, sample.index))
        start = time.process_time()
        found = detect(picture, vocabulary)
        seconds += time.process_time() - start
        asked = Counter((label.name, label.colour) for label in sample.objects)
        counts["exact"] += asked == Counter((d.name, d.colour) for d in found)
        counts["number"] += len(found) == len(sample.objects)
        partners = pair_up(sample.objects, found)
        for label, partner in zip(sample.objects, partners, strict=True):
            name, colour = (partner.name, partner.colour) if partner else ("(missed)", None)
            counts["things"] += 1
            counts["name"] += name == label.name
            counts["colour"] += colour == label.colour
            counts["both"] += (name, colour) == (label.name, label.colour)
            counts["abstained"] += name is None
            counts["wrong"] += name not in (None, "(missed)", label.name)
            if (name, colour) != (label.name, label.colour):
                confusions[f"{label.colour} {label.name} -> {colour} {name or 'unreadable'}"] += 1
        read = [
            (tuple(label.box), tuple(partner.box))
            for label, partner in zip(sample.objects, partners, strict=True)
            if partner
        ]
        for (true_a, seen_a), (true_b, seen_b) in permutations(read, 2):
            for predicate in ("left of", "above"):
                counts["relations"] += 1
                counts["agree"] += direction_holds(seen_a, predicate, seen_b) == direction_holds(
                    true_a, predicate, true_b
                )
    total, things = len(samples), counts["things"]
    shares = [counts["exact"] / total, counts["number"] / total]
    shares += [counts[key] / things for key in ("name", "colour", "both", "abstained", "wrong")]
    shares.append(counts["agree"] / max(1, counts["relations"]))
    cells = " | ".join(f"{share:.3f}" for share in shares)
    print(f"| {damage} | {cells} | {1000 * seconds / total:.0f} |", flush=True)
    if confusions:
        listed = "; ".join(f"{words} x{number}" for words, number in confusions.most_common(5))
        print(f"<!-- {listed} -->", flush=True)


def strangers(recipe: CollageRecipe, vocabulary: Vocabulary, num: int, damage: Degradation) -> None:
    """Print how often things that the checker does not know get a name all the same."""
    unknown = tuple(name for name in StickerPack.default().names if name not in vocabulary.names)
    if not unknown:
        return
    engine = CollageEngine(recipe.model_copy(update={"names": unknown}))
    named: Counter[str] = Counter()
    total = 0
    for index in range(num):
        sample = engine.sample(SEED, index, kind=("single", "two")[index % 2])
        picture = damage.apply(sample.target, generator(SEED, "strangers", index))
        partners = pair_up(sample.objects, detect(picture, vocabulary))
        for label, partner in zip(sample.objects, partners, strict=True):
            total += 1
            if partner and partner.name:
                named[f"{label.name} -> {partner.name}"] += 1
    listed = ", ".join(f"{words} x{number}" for words, number in named.most_common(8))
    print(
        f"{len(unknown)} unknown things, damage {damage}: {sum(named.values())} of {total} named ({listed})"
    )


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num", type=int, default=400, help="pictures a row")
    parser.add_argument("--world", default="mini-world", help="data recipe")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    recipe = load_recipe(arguments.world, CollageRecipe)
    vocabulary = vocabulary_of(recipe)
    engine = CollageEngine(recipe)
    samples = [engine.sample(SEED, index) for index in range(arguments.num)]
    detect(samples[0].target, vocabulary)
    print(
        "| damage | exact scene | number | thing | colour | both | abstained | wrong name | relation | ms |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for damage in DEGRADATIONS:
        measure(samples, vocabulary, damage)
    for damage in (Degradation(), Degradation(blur=0.7, noise=6)):
        strangers(recipe, vocabulary, arguments.num // 2, damage)


if __name__ == "__main__":
    main()
