"""Samples from wherever they are: a recipe to draw, loose files, shards, a table of the user's own."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dreamomni.config import apply_overrides, load_recipe, validate
from dreamomni.data.annotators import load_annotators
from dreamomni.data.audit.nouns import Vocabulary
from dreamomni.data.collage.engine import KINDS, CollageEngine, RejectedSampleError
from dreamomni.data.collage.palette import BACKGROUNDS, PALETTE
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.collage.shapes import SHAPES
from dreamomni.data.external.conventions import TASKS
from dreamomni.data.external.table import TableSet
from dreamomni.data.feeds import TablePart, open_sample_set
from dreamomni.data.folder import has_samples, read_samples
from dreamomni.data.shards.members import codecs_of
from dreamomni.data.shards.reader import ShardFolder, is_shard_folder
from dreamomni.errors import ConfigError, DataError
from dreamomni.tasks.sample import ObjectLabel, TrainingSample

_DEFAULT_DRAWN = 200
_RECIPES = (".yaml", ".yml")
_NAMELESS = ("font", "background")
"""Kinds of assets whose names are no nouns for things."""


def _always(sample: TrainingSample) -> bool:
    return True


@dataclass
class SampleSource:
    """Samples to look at, each drawn or read when its turn comes.

    Attributes:
        title: What they come from.
        total: How many there are, or None where only reading tells.
        samples: The samples; to be read once.
        recipe: What they were drawn from, where it is known.
        names: Names of things that their words may use, beyond those of the samples.
        is_exact: Whether the pixels of a sample are as they were drawn; False for lossy files.
        rejected: Samples that could not be drawn, by reason; grows while reading.
        kinds: Samples by kind in a folder; empty for a recipe.
        is_sharded: Whether they come from shards.
        is_table: Whether they come from a table of the user's, so that they have no labels.
        choose: Reads some of many, evenly over the kinds; None where they can only be read in order.
    """

    title: str
    total: int | None
    samples: Iterator[TrainingSample]
    recipe: CollageRecipe | None = None
    names: frozenset[str] = frozenset()
    is_exact: Callable[[TrainingSample], bool] = _always
    rejected: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    is_sharded: bool = False
    is_table: bool = False
    choose: Callable[[Counter[str]], list[TrainingSample]] | None = None

    @property
    def vocabulary(self) -> Vocabulary:
        """What the words of the samples may mean."""
        return Vocabulary(self.names, PALETTE, frozenset(BACKGROUNDS))

    @property
    def held_out(self) -> tuple[str, float] | None:
        """(salt, fraction) of the rule for held-out combinations, where the recipe is known."""
        return None if self.recipe is None else (self.recipe.held_out.salt, self.recipe.held_out.fraction)


def open_source(
    name: str,
    *,
    num_samples: int | None = None,
    seed: int = 0,
    kind: str | None = None,
    overrides: Sequence[str] = (),
) -> SampleSource:
    """Open a folder of samples, a table, or a recipe.

    Args:
        name: A folder or table that exists; else a recipe file, or the name of a shipped recipe.
        num_samples: How many to give: by default all of a folder, and 200 of a recipe.
        seed: Seed of a recipe's samples; a folder has its own.
        kind: Only this kind. A recipe draws every sample of it.
        overrides: `KEY=VALUE` changes of a recipe, or of how a table is read (see `feeds.TablePart`).

    Raises:
        DataError: The folder holds no samples, or none of this kind.
        ConfigError: There is no such recipe or kind, or changes are given to a folder of samples.
    """
    path = Path(name)
    if path.is_dir() or (path.is_file() and path.suffix.lower() not in _RECIPES):
        return open_folder(path, num_samples=num_samples, kind=kind, overrides=overrides)
    if kind is not None and kind not in KINDS:
        raise ConfigError(f"there is no kind of sample {kind!r}; the kinds are {', '.join(KINDS)}")
    recipe = load_recipe(name, CollageRecipe, list(overrides))
    engine = CollageEngine(recipe, annotators=load_annotators(recipe))
    count = _DEFAULT_DRAWN if num_samples is None else num_samples
    source = SampleSource(name, count, iter(()), recipe, _known(engine.names))
    source.samples = _draw(engine, seed, count, kind, source.rejected)
    return source


def open_folder(
    path: str | Path,
    *,
    num_samples: int | None = None,
    kind: str | None = None,
    overrides: Sequence[str] = (),
) -> SampleSource:
    """Open a folder of loose samples or of shards, or a table of the user's own.

    Args:
        path: The folder or file.
        num_samples: How many to give, the first ones; all by default.
        kind: Only this kind.
        overrides: `KEY=VALUE` changes of how a table is read.

    Raises:
        DataError: The folder is missing, or holds no samples, or none of this kind.
        ConfigError: Changes are given to a folder of samples.
    """
    path = Path(path)
    if not is_shard_folder(path) and not has_samples(path) and path.exists():
        return _open_table(path, num_samples, kind, overrides)
    if overrides:
        raise ConfigError(f"{path} is a folder of samples: --set changes recipes and tables only")
    if is_shard_folder(path):
        return _open_shards(path, num_samples, kind)
    return _open_loose(path, num_samples, kind)


def spread(source: SampleSource, count: int | None) -> list[TrainingSample]:
    """Take samples of a folder evenly over its kinds, in the order of the folder.

    Args:
        source: A folder.
        count: How many; all when None or when there are no more.
    """
    if count is None or count >= source.kinds.total():
        return list(source.samples)
    quota: Counter[str] = Counter()
    left = Counter(source.kinds)
    while quota.total() < count:
        for kind in sorted(left):
            if quota.total() < count and left[kind] > 0:
                quota[kind] += 1
                left[kind] -= 1
    if source.choose is not None:
        return source.choose(quota)
    chosen = []
    for sample in source.samples:
        if quota[sample.kind] > 0:
            quota[sample.kind] -= 1
            chosen.append(sample)
        if not quota.total():
            break
    return chosen


def _open_loose(path: Path, num_samples: int | None, kind: str | None) -> SampleSource:
    samples = [sample for sample in read_samples(path) if kind in (None, sample.kind)][:num_samples]
    if not samples:
        raise DataError(f"{path} holds no sample of kind {kind!r}")
    names = {label.name for sample in samples for label in _labels(sample) if label.kind != "text"}
    source = SampleSource(str(path), len(samples), iter(samples), names=_known(names))
    source.kinds.update(sample.kind for sample in samples)
    return source


def _open_shards(path: Path, num_samples: int | None, kind: str | None) -> SampleSource:
    shards = ShardFolder(path)
    if not len(shards):
        raise DataError(f"{path} has no finished shard yet: run the same command of `data generate` again")
    recipe = CollageRecipe.model_validate(shards.dataset["recipe"])
    image_format = shards.dataset["identity"]["image_format"]
    wanted = (sample for sample in shards if kind in (None, sample.kind))
    total = None if kind is not None else min(len(shards), num_samples or len(shards))
    source = SampleSource(
        str(path),
        total,
        _first(wanted, num_samples),
        recipe,
        _known(asset["name"] for asset in shards.dataset["assets"] if asset["kind"] not in _NAMELESS),
        lambda sample: codecs_of(sample, image_format)[0] == "png",
    )
    for kinds in shards.summary.samples.values():
        source.kinds.update({name: number for name, number in kinds.items() if kind in (None, name)})
    if not source.kinds.total():
        raise DataError(f"{path} holds no sample of kind {kind!r}")
    source.rejected.update(shards.summary.rejected)
    source.is_sharded = True
    return source


def _open_table(
    path: Path, num_samples: int | None, kind: str | None, overrides: Sequence[str]
) -> SampleSource:
    tree: dict[str, Any] = {"type": "table", "path": str(path)}
    apply_overrides(tree, overrides)
    table = open_sample_set(validate(tree, TablePart, origin=str(path)), 0)
    assert isinstance(table, TableSet)
    tasks: tuple[str, ...] = TASKS
    numbers = {name: np.flatnonzero(table.kinds == code) for code, name in enumerate(tasks)}
    wanted = np.arange(len(table)) if kind is None else numbers.get(kind, np.arange(0))
    wanted = wanted[:num_samples]
    if not len(wanted):
        raise DataError(f"{path} holds no sample of kind {kind!r}")

    def choose(quota: Counter[str]) -> list[TrainingSample]:
        chosen = []
        for name, count in quota.items():
            mine = np.intersect1d(numbers[name], wanted, assume_unique=True)
            chosen += [int(mine[place]) for place in np.linspace(0, len(mine) - 1, count).round().astype(int)]
        return [table[number] for number in sorted(chosen)]

    source = SampleSource(str(path), len(wanted), (table[int(number)] for number in wanted))
    source.kinds.update({name: int(np.isin(mine, wanted).sum()) for name, mine in numbers.items()})
    source.kinds += Counter()  # drops the kinds that it has not
    source.rejected.update(table.skipped)
    source.is_table, source.choose = True, choose
    return source


def _first(samples: Iterable[TrainingSample], count: int | None) -> Iterator[TrainingSample]:
    for number, sample in enumerate(samples):
        if number == count:
            return
        yield sample


def _draw(
    engine: CollageEngine, seed: int, count: int, kind: str | None, rejected: Counter[str]
) -> Iterator[TrainingSample]:
    for index in range(count):
        try:
            yield engine.sample(seed, index, kind)
        except RejectedSampleError as error:
            rejected[Counter(error.reasons).most_common(1)[0][0]] += 1


def _labels(sample: TrainingSample) -> Iterator[ObjectLabel]:
    yield from sample.objects
    for labels in sample.image_objects:
        yield from labels


def _known(names: Iterable[str]) -> frozenset[str]:
    return frozenset(names) | frozenset(SHAPES)
