"""The parts of a recipe's data, opened: what they hold together, and samples of them to look at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from dreamomni.data.collage.engine import CollageEngine, RejectedSampleError
from dreamomni.data.collage.recipe import MULTI_REFERENCE_KINDS, TASK_OF_KIND, CollageRecipe
from dreamomni.data.dataset import CollageSet
from dreamomni.data.feeds import DataPart, open_sample_set
from dreamomni.data.sample_set import SampleSet
from dreamomni.errors import ConfigError, DataError
from dreamomni.seeding import derive_seed
from dreamomni.tasks.conditioning import MAP_WORDS
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.sample import TrainingSample

_LOOKED_AT = 2000
"""Samples of a stored set whose shapes tell what it holds."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What samples a set holds: their tasks with the kinds of each, every size, and the most input images."""

    kinds: dict[str, tuple[str, ...]]
    sizes: frozenset[Size]
    targets: tuple[Size, ...]
    max_images: int


class Mixture:
    """The parts of the data with their weights.

    Args:
        parts: Of the recipe.
        seed: Of the run.

    Raises:
        ConfigError: A part names what is not there, or has no samples.
        DataError: A part cannot be read.
    """

    def __init__(self, parts: Sequence[DataPart], seed: int) -> None:
        self.parts = tuple(parts)
        self.sets: list[SampleSet] = [
            open_sample_set(part, derive_seed(seed, "data", number)) for number, part in enumerate(parts)
        ]
        self.weights = [part.weight for part in parts]
        for number, samples in enumerate(self.sets, start=1):
            if not len(samples):
                raise ConfigError(f"part {number} of the data has no samples")
        self._contents = [_contents(samples) for samples in self.sets]
        self._seed = derive_seed(seed, "grid")

    @property
    def identities(self) -> list[dict[str, Any]]:
        """What decides the samples of every part."""
        return [samples.identity for samples in self.sets]

    @property
    def tasks(self) -> tuple[str, ...]:
        """Every task that the data teaches, in the order of the alphabet."""
        return tuple(sorted({task for contents in self._contents for task in contents.kinds}))

    @property
    def sizes(self) -> tuple[Size, ...]:
        """Every size of a picture: of collages all there are, of stored sets those of a first look."""
        return tuple(sorted({size for contents in self._contents for size in contents.sizes}))

    @property
    def max_images(self) -> int:
        """Most input images of a sample."""
        return max(contents.max_images for contents in self._contents)

    @property
    def controls(self) -> tuple[str, ...] | None:
        """The kinds of maps that the data follows; None where it has none, or does not say which."""
        kinds = {kind for contents in self._contents for kind in contents.kinds.get("control", ())}
        return tuple(sorted(kinds)) if kinds and kinds <= set(MAP_WORDS) else None

    @property
    def base_size(self) -> int:
        """Side of the square with the mean area of the targets."""
        targets = [size for contents in self._contents for size in contents.targets]
        return round((sum(size.num_pixels for size in targets) / len(targets)) ** 0.5)

    @property
    def world(self) -> str | None:
        """The data recipe, where there is but one."""
        names = {part.recipe if part.type == "collage" else None for part in self.parts}
        return names.pop() if len(names) == 1 else None

    def examples(self, task: str, count: int) -> list[TrainingSample]:
        """Samples of a task to look at, always the same: held-out ones where a recipe has them.

        Raises:
            DataError: A sample cannot be read.
        """
        for number, contents in enumerate(self._contents):
            kinds = contents.kinds.get(task, ())
            if not kinds:
                continue
            samples = self.sets[number]
            if isinstance(samples, CollageSet):
                return _draw(self._engines[number], self._seed, kinds, count)
            return _pick(samples, kinds, count)
        raise DataError(f"no part of the data has samples of task {task}")

    @cached_property
    def _engines(self) -> dict[int, CollageEngine]:
        engines = {}
        for number, samples in enumerate(self.sets):
            if isinstance(samples, CollageSet):
                kind, arguments = samples.engine.__reduce__()
                recipe, _, *rest = arguments
                held_out = recipe.held_out.fraction > 0
                engines[number] = kind(recipe, "held_out", *rest) if held_out else samples.engine
        return engines


def _contents(samples: SampleSet) -> Contents:
    if isinstance(samples, CollageSet):
        return _contents_of_recipe(samples.engine.recipe)
    places = np.unique(np.linspace(0, len(samples) - 1, min(len(samples), _LOOKED_AT)).astype(int))
    shapes = [samples.shape(int(place)) for place in places]
    kinds: dict[str, set[str]] = {}
    for shape in shapes:
        kinds.setdefault(TASK_OF_KIND.get(shape.kind, shape.kind), set()).add(shape.kind)
    return Contents(
        {task: tuple(sorted(own)) for task, own in kinds.items()},
        frozenset(size for shape in shapes for size in (shape.target, *shape.images)),
        tuple(shape.target for shape in shapes),
        max(len(shape.images) for shape in shapes),
    )


def _contents_of_recipe(recipe: CollageRecipe) -> Contents:
    kinds: dict[str, list[str]] = {}
    for kind, weight in recipe.mixture.items():
        if weight > 0:
            kinds.setdefault(TASK_OF_KIND[kind], []).append(kind)
    sizes = set(recipe.size)
    max_images = int(set(kinds) != {"text_to_image"})
    drawn = {kind for own in kinds.values() for kind in own}
    if "subject" in drawn:
        sizes |= set(recipe.reference.source_sizes)
        max_images = _most(recipe.reference.num_sources)
    if drawn & set(MULTI_REFERENCE_KINDS):
        options = recipe.multi_reference
        sizes |= set(options.reference_sizes)
        max_images = max(max_images, 1 + _most(options.num_references))
    return Contents(
        {task: tuple(own) for task, own in kinds.items()}, frozenset(sizes), recipe.size, max_images
    )


def _most(numbers: Mapping[int, float]) -> int:
    return max(number for number, weight in numbers.items() if weight > 0)


def _draw(engine: CollageEngine, seed: int, kinds: Sequence[str], count: int) -> list[TrainingSample]:
    samples: list[TrainingSample] = []
    for index in range(4 * count):
        try:
            samples.append(engine.sample(seed, index, kinds[len(samples) % len(kinds)]))
        except RejectedSampleError:
            continue  # a picture to look at may be any
        if len(samples) == count:
            break
    return samples


def _pick(samples: SampleSet, kinds: Sequence[str], count: int) -> list[TrainingSample]:
    fitting = [index for index in range(min(len(samples), _LOOKED_AT)) if samples.shape(index).kind in kinds]
    return [samples[index] for index in fitting[:count]]
