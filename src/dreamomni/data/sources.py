"""Samples from wherever they are: a recipe to draw, a folder of loose files, a folder of shards."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dreamomni.config import load_recipe
from dreamomni.data.audit.facts import Vocabulary
from dreamomni.data.collage.engine import KINDS, CollageEngine, RejectedSampleError
from dreamomni.data.collage.palette import BACKGROUNDS, PALETTE
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.collage.shapes import SHAPES
from dreamomni.data.folder import read_samples
from dreamomni.errors import ConfigError, DataError
from dreamomni.tasks.sample import TrainingSample


@dataclass
class SampleSource:
    """Samples to look at, each drawn or read when its turn comes.

    Attributes:
        title: What they come from.
        total: How many there are, or None where only reading tells.
        samples: The samples; to be read once.
        recipe: What they were drawn from, where it is known.
        names: Names of things that their words may use, beyond those of the samples.
        rejected: Samples that could not be drawn, by reason; grows while reading.
    """

    title: str
    total: int | None
    samples: Iterator[TrainingSample]
    recipe: CollageRecipe | None = None
    names: frozenset[str] = frozenset()
    rejected: Counter[str] = field(default_factory=Counter)

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
        ConfigError: There is no such recipe or kind.
    """
    path = Path(name)
    if path.is_dir():
        return _open_folder(path, num_samples, kind)
    if kind is not None and kind not in KINDS:
        raise ConfigError(f"there is no kind of sample {kind!r}; the kinds are {', '.join(KINDS)}")
    recipe = load_recipe(name, CollageRecipe, list(overrides))
    engine = CollageEngine(recipe)
    count = 200 if num_samples is None else num_samples
    source = SampleSource(name, count, iter(()), recipe, _known_names(engine.names))
    source.samples = _draw(engine, seed, count, kind, source.rejected)
    return source


def _open_folder(path: Path, num_samples: int | None, kind: str | None) -> SampleSource:
    samples = [sample for sample in read_samples(path) if kind in (None, sample.kind)]
    if not samples:
        raise DataError(f"{path} holds no sample of kind {kind!r}")
    samples = samples[:num_samples]
    return SampleSource(str(path), len(samples), iter(samples), names=_known_names(_names_in(samples)))


def _draw(
    engine: CollageEngine, seed: int, count: int, kind: str | None, rejected: Counter[str]
) -> Iterator[TrainingSample]:
    for index in range(count):
        try:
            yield engine.sample(seed, index, kind)
        except RejectedSampleError as error:
            rejected[Counter(error.reasons).most_common(1)[0][0]] += 1


def _names_in(samples: Iterable[TrainingSample]) -> set[str]:
    return {
        label.name
        for sample in samples
        for labels in (sample.objects, *sample.image_objects)
        for label in labels
        if label.kind != "text"
    }


def _known_names(names: Iterable[str]) -> frozenset[str]:
    return frozenset(names) | frozenset(SHAPES)
