"""Samples from wherever they are: a recipe to draw, a folder of loose files, a folder of shards."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dreamomni.config import load_recipe
from dreamomni.data.annotators import load_annotators
from dreamomni.data.audit.nouns import Vocabulary
from dreamomni.data.collage.engine import KINDS, CollageEngine, RejectedSampleError
from dreamomni.data.collage.palette import BACKGROUNDS, PALETTE
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.collage.shapes import SHAPES
from dreamomni.data.folder import read_samples
from dreamomni.data.shards.members import codecs_of
from dreamomni.data.shards.reader import ShardFolder, is_shard_folder
from dreamomni.errors import ConfigError, DataError
from dreamomni.tasks.sample import ObjectLabel, TrainingSample

_DEFAULT_DRAWN = 200
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
    """Open a folder of samples, or a recipe.

    Args:
        name: A folder that exists; else a recipe file, or the name of a shipped recipe.
        num_samples: How many to give: by default all of a folder, and 200 of a recipe.
        seed: Seed of a recipe's samples; a folder has its own.
        kind: Only this kind. A recipe draws every sample of it.
        overrides: `KEY=VALUE` changes of a recipe.

    Raises:
        DataError: The folder holds no samples, or none of this kind.
        ConfigError: There is no such recipe or kind, or changes are given to a folder.
    """
    path = Path(name)
    if path.is_dir():
        if overrides:
            raise ConfigError(f"{path} is a folder of samples: --set changes recipes only")
        return open_folder(path, num_samples=num_samples, kind=kind)
    if kind is not None and kind not in KINDS:
        raise ConfigError(f"there is no kind of sample {kind!r}; the kinds are {', '.join(KINDS)}")
    recipe = load_recipe(name, CollageRecipe, list(overrides))
    engine = CollageEngine(recipe, annotators=load_annotators(recipe))
    count = _DEFAULT_DRAWN if num_samples is None else num_samples
    source = SampleSource(name, count, iter(()), recipe, _known(engine.names))
    source.samples = _draw(engine, seed, count, kind, source.rejected)
    return source


def open_folder(path: str | Path, *, num_samples: int | None = None, kind: str | None = None) -> SampleSource:
    """Open a folder of loose samples or of shards.

    Args:
        path: The folder.
        num_samples: How many to give, the first ones; all by default.
        kind: Only this kind.

    Raises:
        DataError: The folder is missing, or holds no samples, or none of this kind.
    """
    path = Path(path)
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
