"""What a data set of shards is: everything that decides its bytes, and the record of it beside them.

`dataset.json` is written before the first shard, and a folder whose record says something else is refused.
"""

import json
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dreamomni.config import recipe_hash
from dreamomni.data.annotators import load_annotators
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.collage.world import Split
from dreamomni.data.polish.job import PolishJob, polish_sample
from dreamomni.data.shards.claims import claim
from dreamomni.data.shards.codecs import ImageFormat, encoder_versions
from dreamomni.data.shards.members import FORMAT_VERSION
from dreamomni.errors import ConfigError, DataError, OutputError
from dreamomni.storage import sync, write_json
from dreamomni.tasks.sample import TrainingSample

DATASET_NAME = "dataset.json"
STATS_FOLDER = "stats"
DEFAULT_SHARD_SIZE = 1000
_WAIT_SECONDS = 0.05
_LIBRARIES = ("numpy", "opencv-python-headless", "pillow", "resvg-py", "pyarrow")
_WORDS = {
    "recipe_hash": "another recipe",
    "seed": "another seed",
    "split": "another split",
    "num_samples": "another number of samples",
    "shard_size": "another shard size",
    "image_format": "another image format",
    "polish": "words of another language model",
    "asset_digest": "other assets or other weights of a depth or segmentation model",
    "format_version": "another version of the format",
    "engine_version": "another version of dreamomni",
    "libraries": "other versions of libraries",
    "encoders": "other encoders",
    "platform": "another platform",
}


@dataclass(frozen=True, slots=True)
class ShardJob:
    """A data set to make: sample i of every shard is a pure function of these values.

    Attributes:
        recipe: What to draw.
        folder: Where the shards go.
        num_samples: Indices 0 to `num_samples - 1`.
        seed: Of the data set.
        split: "train" or "held_out".
        shard_size: Indices of one shard.
        image_format: How pictures are stored.
        polish: A language model for the words, or None for the words of the templates.

    Raises:
        ConfigError: A number is below 1, or the seed is negative.
    """

    recipe: CollageRecipe
    folder: Path
    num_samples: int
    seed: int = 0
    split: Split = "train"
    shard_size: int = DEFAULT_SHARD_SIZE
    image_format: ImageFormat = "auto"
    polish: PolishJob | None = None

    def __post_init__(self) -> None:
        if self.num_samples < 1 or self.shard_size < 1:
            raise ConfigError(
                f"a data set of {self.num_samples} samples in shards of {self.shard_size} cannot be made: "
                "both numbers must be at least 1"
            )
        if self.seed < 0:
            raise ConfigError(f"seed {self.seed} is negative: seeds start at 0")

    @property
    def num_shards(self) -> int:
        """How many shards hold all samples."""
        return -(-self.num_samples // self.shard_size)

    def indices(self, shard: int) -> range:
        """The indices of a shard; the last one may be shorter."""
        first = shard * self.shard_size
        return range(first, min(first + self.shard_size, self.num_samples))

    def make_engine(self) -> CollageEngine:
        """Build what draws the samples."""
        return CollageEngine(self.recipe, split=self.split, annotators=load_annotators(self.recipe))

    @contextmanager
    def wording(self) -> Iterator[Callable[[TrainingSample], TrainingSample]]:
        """What a sample goes through for the sake of its words."""
        if self.polish is None:
            yield lambda sample: sample
            return
        with self.polish.open() as polisher:
            yield lambda sample: polish_sample(sample, polisher)

    def identity(self, engine: CollageEngine) -> dict[str, Any]:
        """Everything that decides the bytes, in JSON values; two folders of one identity are equal."""
        return {
            "format_version": FORMAT_VERSION,
            "recipe_hash": recipe_hash(self.recipe),
            "seed": self.seed,
            "split": self.split,
            "num_samples": self.num_samples,
            "shard_size": self.shard_size,
            "image_format": self.image_format,
            "polish": None if self.polish is None else self.polish.identity,
            "asset_digest": engine.asset_digest,
            "engine_version": version("dreamomni"),
            "libraries": {name: version(name) for name in _LIBRARIES},
            "encoders": encoder_versions(),
            "platform": f"{sys.platform}-{platform.machine()}",
        }


def open_dataset(job: ShardJob, engine: CollageEngine) -> dict[str, Any]:
    """Write the record of a data set, or check that the one in the folder is of the same data set.

    Returns:
        The identity, as JSON gives it back.

    Raises:
        DataError: The folder holds another data set, or files that are none.
        OutputError: The folder cannot be written.
    """
    identity = json.loads(json.dumps(job.identity(engine)))
    try:
        while True:
            with claim(job.folder, "dataset") as place:
                if place is not None:
                    _write_or_check(job, engine, identity, place)
                    return identity
            time.sleep(_WAIT_SECONDS)
    except OSError as error:
        raise OutputError(
            f"cannot write into {job.folder}: {(error.strerror or str(error)).lower()}"
        ) from error


def _write_or_check(job: ShardJob, engine: CollageEngine, identity: Mapping[str, Any], place: Path) -> None:
    path = job.folder / DATASET_NAME
    if path.exists():
        _check_same(job.folder, read_dataset(job.folder)["identity"], identity)
    elif any(not file.name.startswith(".") for file in job.folder.iterdir()):
        raise DataError(
            f"{job.folder} has files in it but no {DATASET_NAME}: name a new folder, or one that "
            "`dreamomni data generate` made"
        )
    else:
        # In a folder that is cleared away after a kill, unlike the one where the file belongs.
        write_json(place / DATASET_NAME, describe(job, engine, identity))
        (place / DATASET_NAME).replace(path)
        sync(job.folder)


def describe(job: ShardJob, engine: CollageEngine, identity: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a data set: its identity, the recipe in full, and whom its assets belong to."""
    assets = [
        {"id": info.id, "name": info.name, "kind": info.kind, "licence": info.licence}
        | ({"attribution": info.attribution} if info.attribution else {})
        for info in engine.asset_infos
    ]
    return {
        "identity": dict(identity),
        "num_shards": job.num_shards,
        "recipe": job.recipe.model_dump(mode="json"),
        "licences": sorted({asset["licence"] for asset in assets}),
        "attribution": sorted({asset["attribution"] for asset in assets if "attribution" in asset}),
        "assets": assets,
    }


def read_dataset(folder: Path) -> dict[str, Any]:
    """Read the record of a data set.

    Raises:
        DataError: There is none, or it is damaged.
    """
    path = folder / DATASET_NAME
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"{folder} has no {DATASET_NAME}: name a folder that `dreamomni data generate` made"
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}") from None
    if not isinstance(found, dict) or not isinstance(found.get("identity"), dict):
        raise DataError(f"{path} is damaged: it says nothing of what the data set is")
    return found


def make_output_folder(folder: Path) -> None:
    """Make the folder of a data set.

    Raises:
        OutputError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write into {folder}: {(error.strerror or str(error)).lower()}") from None


def _check_same(folder: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for name in (*_WORDS, *sorted((set(found) | set(wanted)) - set(_WORDS))):
        if found.get(name) != wanted.get(name):
            what = _WORDS.get(name, f"another {name}")
            raise DataError(
                f"{folder} was made with {what} ({_short(found.get(name))}, now {_short(wanted.get(name))}): "
                "ask for the same again, or name another folder"
            )


def _short(value: Any) -> str:
    text = (
        ", ".join(f"{name} {entry}" for name, entry in value.items())
        if isinstance(value, dict)
        else str(value)
    )
    return text if len(text) <= 160 else f"{text[:12]}..."
