# ruff: noqa: T201
"""How well the world checker reads: engine pictures, damaged ones, and things that it must not name.

Run: python benchmarks/world_checker.py [--num 400] [--world mini-world]
Prints the tables of docs/log/2026-11-21-world-checker.md (about 10 minutes on one CPU core for 400 pictures).

     python benchmarks/world_checker.py --tasks --world mini-v1 --num 200 [--size 128x128] [--damages 1]
     [--autoencoder FOLDER]
Prints how all other tasks are measured on held-out truth, also damaged, and on answers that are wrong.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import permutations

import cv2
import numpy as np
from reading_marks import through

from dreamomni.config import load_recipe
from dreamomni.data.collage.assets import StickerPack
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.evaluation.cases import WorldCase, make_cases
from dreamomni.evaluation.checker import Detection, Vocabulary, detect
from dreamomni.evaluation.degradations import Degradation
from dreamomni.evaluation.expectation import REFERENCE_METRICS, TASK_METRICS
from dreamomni.evaluation.judging import Eye, judge_answer, vocabulary_of
from dreamomni.evaluation.record import FILL_KINDS
from dreamomni.evaluation.scorers import direction_holds
from dreamomni.models.autoencoder import Autoencoder
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


TASK_DAMAGES = (
    Degradation(),
    Degradation(blur=0.7, noise=6),
    Degradation(blur=1.0, noise=6, jpeg=90),
)


def score(member: WorldCase, picture: np.ndarray, eye: Eye) -> float:
    """The number that a case gives to its first metric."""
    answer = judge_answer(member, picture, eye)
    measure_of = member.expectation.measure
    return float(answer.correct) if measure_of is None else answer.values[measure_of.value]


def wrong_answers(member: WorldCase) -> dict[str, np.ndarray]:
    """Answers that did something, but not what was asked."""
    noise = generator(SEED, member.case.id).integers(0, 256, member.truth.shape, dtype=np.uint8)
    shift = max(1, round(0.15 * member.truth.shape[1]))
    found = {
        "blank": np.full_like(member.truth, 255),
        "noise": noise,
        "shifted by 15%": np.roll(member.truth, shift, axis=1),
        "colours turned": np.ascontiguousarray(member.truth[..., [1, 2, 0]]),
    }
    copies = dict(zip(("copy of image 1", "copy of image 2"), member.case.images, strict=False))
    size = (member.truth.shape[1], member.truth.shape[0])
    return found | {
        name: np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        if image.shape != member.truth.shape
        else image
        for name, image in copies.items()
    }


Damage = Callable[[WorldCase, np.ndarray], np.ndarray]


def damages_of(num: int, autoencoder: str | None) -> dict[str, Damage]:
    """What is done to truths, by its name: nothing, blur and noise, and the way through an autoencoder."""

    def by(damage: Degradation) -> Damage:
        return lambda case, picture: damage.apply(picture, generator(SEED, str(damage), case.case.id))

    found = {f"truth, {damage}": by(damage) for damage in TASK_DAMAGES[:num]}
    if autoencoder is not None:
        coder = Autoencoder.from_pretrained(autoencoder)
        found["truth, autoencoder"] = lambda case, picture: through(coder, picture)
    return found


def measure_tasks(recipe: CollageRecipe, kinds: Sequence[str], num: int, damages: dict[str, Damage]) -> None:
    """Print one table: rows are kinds, columns truths, damaged truths, and wrong answers."""
    eye = Eye(recipe)
    headings, num_damages = list(damages), len(damages)
    wrong = ["blank", "noise", "copy of image 1", "copy of image 2", "shifted by 15%", "colours turned"]
    print(f"| kind | {' | '.join(headings)} | least | unscored | {' | '.join(wrong)} | ms |")
    print("|---" * (len(headings) + len(wrong) + 4) + "|")
    for kind in kinds:
        if kind in FILL_KINDS or not recipe.mixture.get(kind, 0) > 0:  # type: ignore[call-overload]
            continue
        cases = make_cases(recipe, split="held_out", num_cases_per_kind=num, kinds=[kind])
        eye.look(cases[0].truth, turned=kind == "subject")
        columns: list[str] = []
        least, unscored, seconds = 1.0, 0, 0.0
        for place, damage in enumerate(damages.values()):
            start = time.process_time()
            scores = [score(c, damage(c, c.truth), eye) for c in cases]
            if place == 0:
                seconds, least = time.process_time() - start, min(scores)
                rule = cases[0].expectation.measure
                unscored = sum(value < (1.0 if rule is None else rule.least_truth) for value in scores)
            columns.append(f"{np.mean(scores):.3f}")
        few = cases[: max(10, num // 5)]
        answers = [wrong_answers(c) for c in few]
        for name in wrong:
            values = [score(c, a[name], eye) for c, a in zip(few, answers, strict=True) if name in a]
            columns.append(f"{np.mean(values):.3f}" if values else "-")
        shown = [*columns[:num_damages], f"{least:.3f}", str(unscored), *columns[num_damages:]]
        print(f"| {kind} | {' | '.join(shown)} | {1000 * seconds / num:.0f} |", flush=True)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num", type=int, default=400, help="pictures a row")
    parser.add_argument("--world", default="mini-world", help="data recipe")
    parser.add_argument("--tasks", action="store_true", help="all tasks that are measured, instead")
    parser.add_argument(
        "--kinds", default=",".join((*TASK_METRICS, *REFERENCE_METRICS)), help="kinds of --tasks"
    )
    parser.add_argument("--size", default=None, help="canvas instead of the recipe's")
    parser.add_argument("--autoencoder", default=None, metavar="FOLDER", help="one more column of --tasks")
    parser.add_argument("--damages", type=int, default=3, help="columns of damaged truth, itself included")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    overrides = [f"size={arguments.size}"] if arguments.size else []
    recipe = load_recipe(arguments.world, CollageRecipe, overrides)
    if arguments.tasks:
        damages = damages_of(arguments.damages, arguments.autoencoder)
        measure_tasks(recipe, arguments.kinds.split(","), arguments.num, damages)
        return
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
