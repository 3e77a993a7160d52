"""Where training takes its samples from: parts of a recipe, each with a weight, and how to open one.

A part is a collage recipe drawn on the fly, a folder of shards, or a table of a user's own pictures. The
classes hold values only; what they name is opened by `open_sample_set`.
"""

from typing import Annotated, Literal

from pydantic import Field

from dreamomni.config import StrictConfig, load_recipe, validate
from dreamomni.data.external.conventions import Field as ColumnField
from dreamomni.data.external.conventions import Task
from dreamomni.data.sample_set import SampleSet

Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]
Base = Annotated[int, Field(ge=32, le=2048)]
Multiple = Annotated[int, Field(ge=1, le=256)]


class CollagePart(StrictConfig):
    """Collages of a data recipe, drawn when asked for."""

    type: Literal["collage"] = "collage"
    recipe: str
    """Name or path of a data recipe."""
    weight: Weight = 1.0
    """Share of the draws, next to those of the other parts."""
    num_samples: Count = 1_000_000
    """Samples of one epoch: those with the indices below."""
    size: Base | None = None
    """Base of the 31 aspect buckets in pixels, instead of the recipe's own sizes."""


class ShardsPart(StrictConfig):
    """What `dreamomni data generate` made."""

    type: Literal["shards"] = "shards"
    path: str
    weight: Weight = 1.0
    num_samples: Count | None = None
    """Only the first samples; None takes all."""


class TablePart(StrictConfig):
    """A user's own pictures and words: one row, one sample. See docs/training_data.md.

    Pictures are scaled to cover the nearest of the 31 aspect buckets and cropped at the centre.
    """

    type: Literal["table"] = "table"
    path: str
    """A file or a folder."""
    format: Literal["auto", "folder", "jsonl", "csv", "parquet", "webdataset", "hf"] = "auto"
    """How it is stored; `auto` looks."""
    weight: Weight = 1.0
    num_samples: Count | None = None
    """Only the first rows; None takes all."""
    base: Base = 256
    """Side of the square bucket in pixels."""
    multiple: Multiple = 16
    """What both sides of every bucket are multiples of."""
    columns: dict[ColumnField, str | tuple[str, ...]] = {}
    """Columns by what they hold, where they have names of their own."""
    task: Task | None = None
    """What every row is; None lets its columns tell."""
    split: str | None = None
    """Split of a Hugging Face data set; None takes `train`, or the only one."""
    check: Literal["headers", "pixels"] = "headers"
    """What is read of every picture before training; `pixels` finds files that are cut short, and is slow."""
    skip_bad: int = Field(0, ge=0)
    """Rows that may be left out because they cannot be used; one more ends with an error."""
    licence: str | None = None
    """Of all rows that do not name their own."""


DataPart = Annotated[CollagePart | ShardsPart | TablePart, Field(discriminator="type")]


def open_sample_set(part: CollagePart | ShardsPart | TablePart, seed: int) -> SampleSet:
    """Open what a part names.

    Args:
        part: The part.
        seed: Of collages; stored samples have none.

    Raises:
        ConfigError: There is no such recipe, or a library is missing.
        DataError: There are no such files, or they cannot be used; the message names the file and the row.
    """
    # Each kind needs libraries that the others do without.
    if isinstance(part, CollagePart):
        from dreamomni.data.annotators import load_annotators
        from dreamomni.data.collage.engine import CollageEngine
        from dreamomni.data.collage.recipe import CollageRecipe
        from dreamomni.data.dataset import CollageSet

        recipe = load_recipe(part.recipe, CollageRecipe)
        if part.size is not None:
            tree = recipe.model_dump(mode="json", exclude={"size"}) | {"buckets": part.size}
            recipe = validate(tree, CollageRecipe, origin=part.recipe)
        engine = CollageEngine(recipe, annotators=load_annotators(recipe))
        return CollageSet(engine, seed, part.num_samples)
    if isinstance(part, ShardsPart):
        from dreamomni.data.shards.shard_set import ShardSet

        return ShardSet(part.path, part.num_samples)
    from dreamomni.data.external.table import TableSet

    options = part.model_dump(exclude={"type", "path", "weight"})
    return TableSet(part.path, **options)
