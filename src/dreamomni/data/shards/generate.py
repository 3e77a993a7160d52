"""Data sets of shards: which are missing, who makes them, and what there is in the end."""

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, get_args

from dreamomni.data.shards import local
from dreamomni.data.shards.claims import clear_leftovers
from dreamomni.data.shards.job import ShardJob, make_output_folder, open_dataset
from dreamomni.data.shards.sidecar import require_pyarrow
from dreamomni.data.shards.writer import Report, read_stats
from dreamomni.errors import ConfigError

Engine = Literal["local", "ray"]
ENGINES: tuple[str, ...] = get_args(Engine)


@dataclass(frozen=True, slots=True)
class ShardRange:
    """A part of the shards of a data set: those whose number leaves `part` when divided by `parts`.

    Raises:
        ConfigError: There is no such part.
    """

    part: int = 0
    parts: int = 1

    def __post_init__(self) -> None:
        if self.parts < 1 or not 0 <= self.part < self.parts:
            raise ConfigError(
                f"there is no shard range {self.part}/{self.parts}: {max(self.parts, 1)} parts are numbered "
                f"0/{max(self.parts, 1)} to {max(self.parts, 1) - 1}/{max(self.parts, 1)}"
            )

    @classmethod
    def parse(cls, text: str) -> "ShardRange":
        """Read `i/n`.

        Raises:
            ConfigError: The text has another form, or there is no such part.
        """
        part, slash, parts = text.partition("/")
        if not (slash and part.isascii() and part.isdigit() and parts.isascii() and parts.isdigit()):
            raise ConfigError(f"a shard range is written i/n, such as 0/4, not {text!r}")
        return cls(int(part), int(parts))

    def shards(self, num_shards: int) -> range:
        """The numbers of the shards of this part."""
        return range(self.part, num_shards, self.parts)


@dataclass(frozen=True, slots=True)
class Summary:
    """What shards hold in all.

    Attributes:
        num_shards: Finished shards.
        num_samples: Samples in them.
        num_bytes: Bytes of their files.
        samples: Samples by task and kind.
        rejected: Samples that could not be made, by the reason that ended most attempts.
        redrawn: Failed attempts at samples that were made in the end, by reason.
    """

    num_shards: int
    num_samples: int
    num_bytes: int
    samples: dict[str, Counter[str]]
    rejected: Counter[str]
    redrawn: Counter[str]


def summarise(stats: Iterable[Mapping[str, Any]]) -> Summary:
    """Add up the stats of shards."""
    num_shards = num_samples = num_bytes = 0
    samples: dict[str, Counter[str]] = {}
    rejected, redrawn = Counter[str](), Counter[str]()
    for one in stats:
        num_shards += 1
        num_samples += one["num_samples"]
        num_bytes += sum(file["size"] for file in one["files"].values())
        for task, kinds in one["samples"].items():
            samples.setdefault(task, Counter()).update(kinds)
        rejected.update(one["rejected"])
        redrawn.update(one["redrawn"])
    return Summary(num_shards, num_samples, num_bytes, dict(sorted(samples.items())), rejected, redrawn)


def generate(
    job: ShardJob,
    *,
    num_workers: int = 1,
    engine: Engine = "local",
    shard_range: ShardRange | None = None,
    report: Report | None = None,
) -> Summary:
    """Make the shards of a data set that are not there yet.

    The files depend on the job alone: not on workers, engine, order, interruptions, or who else works on the
    folder. Scripts that call this with several workers need the usual `if __name__ == "__main__":`.

    Args:
        job: What to make, and where.
        num_workers: Processes; 1 works in this one. With Ray: tasks at a time.
        engine: Processes of this machine, or the Ray cluster that `RAY_ADDRESS` names (one is started here
            when it names none).
        shard_range: Only a part of the shards, for clusters that start one process per machine.
        report: Told how many indices are done, also for shards found finished, and what was rejected.

    Returns:
        What the shards of the range hold.

    Raises:
        ConfigError: The recipe cannot be drawn, or a package is missing.
        DataError: The folder holds another data set, or a worker died.
        OutputError: A file cannot be written; what was finished before stays.
    """
    if num_workers < 1:
        raise ConfigError(f"{num_workers} workers cannot make anything: ask for 1 or more")
    if engine not in ENGINES:
        raise ConfigError(f"there is no engine {engine!r}; the engines are {', '.join(ENGINES)}")
    require_pyarrow()
    report = report or (lambda _done, _rejected: None)
    shards = (shard_range or ShardRange()).shards(job.num_shards)
    make_output_folder(job.folder)
    collage = job.make_engine()
    identity = open_dataset(job, collage)
    missing = []
    for shard in shards:
        stats = read_stats(job.folder, shard, identity)
        if stats is None:
            missing.append(shard)
        else:
            report(len(job.indices(shard)), stats["rejected"])
    try:
        if not missing:
            pass
        elif engine == "ray":
            from dreamomni.data.shards.cluster import run_ray

            run_ray(job, missing, identity, num_workers, report)
        elif num_workers == 1:
            local.run_here(job, missing, collage, identity, report)
        else:
            local.run_workers(job, missing, identity, num_workers, report)
    finally:
        with suppress(OSError):
            clear_leftovers(job.folder)
    found = [read_stats(job.folder, shard, identity) for shard in shards]
    return summarise(stats for stats in found if stats is not None)
