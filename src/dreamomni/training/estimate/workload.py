"""What a recipe trains on: samples of each task, their sizes, input images and words.

Collages tell their shapes without being drawn; a few of each kind are drawn for their words. A table or a
folder that is there tells both. One that is not there yet counts by its `num_samples`.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from dreamomni.config import load_recipe, validate
from dreamomni.data.collage.engine import CollageEngine, RejectedSampleError
from dreamomni.data.collage.recipe import TASK_OF_KIND, CollageRecipe
from dreamomni.data.feeds import CollagePart, DataPart, ShardsPart, TablePart, open_sample_set
from dreamomni.data.sample_set import SampleShape
from dreamomni.errors import ConfigError
from dreamomni.seeding import derive_seed
from dreamomni.tasks.geometry import Size, aspect_buckets
from dreamomni.tasks.sample import TrainingSample
from dreamomni.training.lora_config import Words
from dreamomni.training.words import words_of

NUM_SHAPES = 1024
"""Shapes looked at in each part."""
WORDS_BASE = 256
"""Collages are drawn for their words at this size where theirs is larger: words do not depend on it."""
CAPTION_WORDS = 80
"""Words of a caption where there is none to look at; those that a VLM writes are about that long."""
TOKENS_PER_WORD = 1.35
"""Tokens of English in the vocabulary of Qwen2."""


class Group(NamedTuple):
    """Samples of one task and one shape.

    Attributes:
        task: Name of the task.
        share: Of all draws.
        target: Size of the target in pixels.
        images: Sizes of the input images.
        num_words: Words of the prompt, mean.
    """

    task: str
    share: float
    target: Size
    images: tuple[Size, ...]
    num_words: float


class TaskSamples(NamedTuple):
    """One task of the mixture.

    Attributes:
        task: Its name.
        share: Of all draws.
        num_samples: Different samples there are, as far as known.
    """

    task: str
    share: float
    num_samples: int | None


class Workload(NamedTuple):
    """Everything that is drawn.

    Attributes:
        groups: Shapes with their shares, which add up to one.
        tasks: Totals by task.
        num_samples: Different samples of all parts, as far as known.
        assumptions: One sentence for everything that was not looked up.
    """

    groups: tuple[Group, ...]
    tasks: tuple[TaskSamples, ...]
    num_samples: int | None
    assumptions: tuple[str, ...]


def read_workload(parts: Sequence[DataPart], seed: int, words: Words = "user") -> Workload:
    """Look at all parts of a mixture.

    Args:
        parts: Of the recipe.
        seed: Of the run.
        words: Which words of a sample are read.

    Raises:
        ConfigError: A part names a recipe that is not there, or a table that is not there has no number.
        DataError: A data recipe cannot make a sample, or stored samples cannot be read.
    """
    total = sum(part.weight for part in parts)
    groups: list[Group] = []
    assumptions: list[str] = []
    numbers: dict[str, int | None] = {}
    whole: int | None = 0
    for part in parts:
        found, number = _read(part, seed, words, assumptions)
        share = part.weight / total
        groups += [group._replace(share=group.share * share) for group in found]
        whole = None if whole is None or number is None else whole + number
        for task, inside in _by_task(found).items():
            known = numbers.get(task, 0)
            numbers[task] = None if known is None or number is None else known + round(number * inside)
    tasks = tuple(
        TaskSamples(task, share, numbers[task])
        for task, share in sorted(_by_task(groups).items(), key=lambda item: -item[1])
    )
    return Workload(tuple(groups), tasks, whole, tuple(assumptions))


def _by_task(groups: Sequence[Group]) -> dict[str, float]:
    shares: dict[str, float] = {}
    for group in groups:
        shares[group.task] = shares.get(group.task, 0.0) + group.share
    return shares


def _read(part: DataPart, seed: int, said: Words, assumptions: list[str]) -> tuple[list[Group], int | None]:
    if isinstance(part, CollagePart):
        engine = CollageEngine(_collage_recipe(part))
        count = min(part.num_samples, NUM_SHAPES)
        shapes = [engine.shape(derive_seed(seed, "data"), index) for index in range(count)]
        return _group(shapes, _collage_words(engine.recipe, seed, said)), part.num_samples
    if Path(part.path).exists():
        samples = open_sample_set(part, seed)
        step = max(1, len(samples) // NUM_SHAPES)
        shapes = [samples.shape(index) for index in range(0, len(samples), step)]
        words = [_length(samples[index], said) for index in range(0, len(samples), step * 64)]
        mean = sum(words) / len(words)
        return _group(shapes, lambda kind: mean), len(samples)
    if part.num_samples is None:
        raise ConfigError(
            f"{part.path} is not there, and its part of the data says no num_samples, so nothing can be "
            "worked out; say num_samples, or put the data there"
        )
    assumptions.append(_assumed(part))
    task = part.task or "text_to_image" if isinstance(part, TablePart) else "text_to_image"
    sizes = aspect_buckets(part.base, part.multiple) if isinstance(part, TablePart) else aspect_buckets(256)
    shapes = [SampleShape(task, size, () if task == "text_to_image" else (size,)) for size in sizes]
    return _group(shapes, lambda kind: CAPTION_WORDS), part.num_samples


def _assumed(part: ShardsPart | TablePart) -> str:
    return (
        f"{part.path} is not there yet: {part.num_samples:,} samples, all buckets alike, "
        f"{CAPTION_WORDS} words each"
    )


def _collage_recipe(part: CollagePart) -> CollageRecipe:
    recipe = load_recipe(part.recipe, CollageRecipe)
    if part.size is None:
        return recipe
    tree = recipe.model_dump(mode="json", exclude={"size"}) | {"buckets": part.size}
    return validate(tree, CollageRecipe, origin=part.recipe)


def _collage_words(recipe: CollageRecipe, seed: int, said: Words) -> Callable[[str], float]:
    """Mean words of a kind, from the first samples of it."""
    if recipe.buckets is not None and recipe.buckets.base > WORDS_BASE:
        tree = recipe.model_dump(mode="json", exclude={"size"}) | {"buckets": WORDS_BASE}
        recipe = validate(tree, CollageRecipe, origin="the data recipe")
    engine, known = CollageEngine(recipe), dict[str, float]()

    def mean(kind: str) -> float:
        if kind not in known:
            known[kind] = _mean_words(engine, seed, kind, said)
        return known[kind]

    return mean


def _mean_words(engine: CollageEngine, seed: int, kind: str, said: Words) -> float:
    lengths: list[int] = []
    for index in range(8):
        try:
            lengths.append(_length(engine.sample(seed, index, kind), said))
        except RejectedSampleError:
            continue
        if len(lengths) == 3:
            break
    if not lengths:
        engine.sample(seed, 0, kind)  # raises what is wrong
    return sum(lengths) / len(lengths)


def _length(sample: TrainingSample, said: Words) -> int:
    return len(words_of(sample, said).split())


def _group(shapes: Sequence[SampleShape], words: Callable[[str], float]) -> list[Group]:
    counts = Counter(shapes)
    return [
        Group(
            TASK_OF_KIND.get(shape.kind, shape.kind),
            number / len(shapes),
            shape.target,
            shape.images,
            words(shape.kind),
        )
        for shape, number in counts.items()
    ]
