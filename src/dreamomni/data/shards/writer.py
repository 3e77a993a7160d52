"""One shard, from its indices to its files, whole or not at all.

Everything is written into a folder of its own, put on the disk, and renamed into place: tars, then tables,
and last `stats/NNNNN.json`, which says that the shard is finished. Until then the shard does not exist.
"""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from dreamomni.data.collage.engine import CollageEngine, RejectedSampleError
from dreamomni.data.shards import sidecar, tar
from dreamomni.data.shards.claims import claim
from dreamomni.data.shards.job import STATS_FOLDER, ShardJob
from dreamomni.data.shards.members import encode_with_record, schema_name
from dreamomni.errors import OutputError
from dreamomni.storage import sha256_file, sync
from dreamomni.tasks.sample import TrainingSample

STATS_VERSION = 1
_BUFFER_BYTES = 4 * 1024**2
_REPORT_SECONDS = 0.25

Report = Callable[[int, Mapping[str, int]], None]
"""Called now and then with the indices done and the samples rejected by reason since the last call."""


def shard_name(shard: int) -> str:
    """Name of the files of a shard, without suffix."""
    return f"{shard:05d}"


def stats_path(folder: Path, shard: int) -> Path:
    """The file whose presence says that a shard is finished."""
    return folder / STATS_FOLDER / f"{shard_name(shard)}.json"


def read_stats(folder: Path, shard: int, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the stats of a finished shard; None when it must be made (again).

    A shard counts as finished when its stats are of this data set and every file that they list is there in
    its full size.
    """
    try:
        stats = json.loads(stats_path(folder, shard).read_text(encoding="utf-8"))
        if stats["version"] != STATS_VERSION or stats["identity"] != identity or stats["shard"] != shard:
            return None
        whole = all((folder / name).stat().st_size == file["size"] for name, file in stats["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return stats if whole else None


def make_shard(
    job: ShardJob,
    shard: int,
    engine: CollageEngine,
    identity: Mapping[str, Any],
    report: Report | None = None,
) -> dict[str, Any] | None:
    """Make one shard unless it is there.

    Args:
        job: The data set.
        shard: Number of the shard.
        engine: Of the job.
        identity: Of the job, as JSON gives it back.
        report: Told how far it is.

    Returns:
        The stats of the shard; None while another process makes it.

    Raises:
        OutputError: A file cannot be written; nothing of the shard is left then.
    """
    report = report or _silent
    try:
        with claim(job.folder, shard_name(shard)) as place:
            if place is None:
                return None
            # Another process may have finished it since it was found missing.
            finished = read_stats(job.folder, shard, identity)
            if finished is not None:
                report(len(job.indices(shard)), finished["rejected"])
                return finished
            with _ShardFiles(place) as files, job.wording() as worded:
                stats = _draw(job, shard, engine, files, worded, report)
                stats = {"version": STATS_VERSION, "shard": shard, **stats, "identity": dict(identity)}
                stats["files"] = files.finish(shard_name(shard))
            _publish(place, job.folder, shard, stats)
            return stats
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(
            f"cannot write shard {shard} into {job.folder}: {reason}; the finished shards stay, and the same "
            "command goes on from them"
        ) from error


def _silent(_done: int, _rejected: Mapping[str, int]) -> None:
    return None


def _draw(
    job: ShardJob,
    shard: int,
    engine: CollageEngine,
    files: "_ShardFiles",
    worded: Callable[[TrainingSample], TrainingSample],
    report: Report,
) -> dict[str, Any]:
    indices = job.indices(shard)
    samples: dict[str, Counter[str]] = {}
    sizes: Counter[str] = Counter()
    assets: Counter[str] = Counter()
    licences: set[str] = set()
    rejected: list[dict[str, Any]] = []
    polished = 0
    redrawn: Counter[str] = Counter()
    done, refused, last = 0, Counter[str](), time.monotonic()
    for index in indices:
        try:
            sample = worded(engine.sample(job.seed, index))
        except RejectedSampleError as error:
            rejected.append(
                {"index": index, "kind": error.kind, "reasons": dict(sorted(error.reasons.items()))}
            )
            refused[main_reason(error.reasons)] += 1
        else:
            files.add(sample, schema_name(sample, job.image_format), job)
            samples.setdefault(sample.task, Counter())[sample.kind] += 1
            sizes[f"{sample.target.shape[1]}x{sample.target.shape[0]}"] += 1
            assets.update(sample.assets)
            licences.update(sample.licences)
            redrawn.update(sample.details.get("rejected", {}))
            polished += "template" in sample.details
        done += 1
        if (now := time.monotonic()) - last >= _REPORT_SECONDS:
            report(done, refused)
            done, refused, last = 0, Counter(), now
    report(done, refused)
    return {
        "indices": [indices.start, indices.stop],
        "num_samples": len(indices) - len(rejected),
        "samples": {task: dict(sorted(kinds.items())) for task, kinds in sorted(samples.items())},
        "sizes": dict(sorted(sizes.items())),
        "rejected": dict(sorted(Counter(main_reason(one["reasons"]) for one in rejected).items())),
        "rejected_samples": rejected,
        "redrawn": dict(sorted(redrawn.items())),
        "num_polished": polished,
        "licences": sorted(licences),
        "assets": dict(sorted(assets.items())),
    }


def main_reason(reasons: Mapping[str, int]) -> str:
    """The reason that ended most attempts at a sample."""
    return min(reasons, key=lambda reason: (-reasons[reason], reason)) if reasons else "no attempt"


class _Tar:
    """One archive being written, with the rows of its table and its hash."""

    def __init__(self, path: Path, members: tuple[str, ...]) -> None:
        self.path = path
        self.members = members
        self.rows: list[dict[str, Any]] = []
        self.size = 0
        self._digest = hashlib.sha256()
        self.file: BinaryIO = path.open("wb", buffering=_BUFFER_BYTES)

    def write(self, content: bytes) -> None:
        self.file.write(content)
        self._digest.update(content)
        self.size += len(content)

    def finish(self) -> dict[str, Any]:
        self.write(tar.END)
        self.file.close()
        sync(self.path)
        return {"size": self.size, "sha256": self._digest.hexdigest(), "num_samples": len(self.rows)}


class _ShardFiles:
    """The files of one shard in their folder: a tar for every schema that occurs, and a table for each."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._tars: dict[str, _Tar] = {}

    def __enter__(self) -> "_ShardFiles":
        return self

    def __exit__(self, *_: object) -> None:
        for archive in self._tars.values():
            with suppress(OSError):  # a full disk fails again here, and has been told already
                archive.file.close()

    def add(self, sample: TrainingSample, schema: str, job: ShardJob) -> None:
        members, facts = encode_with_record(sample, job.image_format)
        archive = self._tars.get(schema)
        if archive is None:
            archive = self._tars[schema] = _Tar(self._place / f"{schema}.tar", tuple(members))
        if tuple(members) != archive.members:
            raise ValueError(f"{sample.key} has the members {list(members)}, {schema} has {archive.members}")
        content = b"".join(tar.member(f"{sample.key}.{name}", data) for name, data in members.items())
        archive.rows.append(sidecar.row(facts, archive.size, len(content)))
        archive.write(content)

    def finish(self, name: str) -> dict[str, dict[str, Any]]:
        files: dict[str, dict[str, Any]] = {}
        for schema, archive in sorted(self._tars.items()):
            files[f"{schema}/{name}.tar"] = archive.finish()
            table = archive.path.with_suffix(".parquet")
            table.write_bytes(sidecar.table_bytes(archive.rows))
            sync(table)
            files[f"{schema}/{name}.parquet"] = {"size": table.stat().st_size, "sha256": sha256_file(table)}
        return files


def _publish(place: Path, folder: Path, shard: int, stats: Mapping[str, Any]) -> None:
    names = sorted(stats["files"], key=lambda name: (name.endswith(".parquet"), name))
    for name in names:
        schema, file = name.split("/")
        (folder / schema).mkdir(exist_ok=True)
        (place / f"{schema}{Path(file).suffix}").replace(folder / name)
    _sync_folders(folder, {name.split("/")[0] for name in names})
    written = place / "stats.json"
    written.write_text(json.dumps(stats, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    sync(written)
    path = stats_path(folder, shard)
    path.parent.mkdir(exist_ok=True)
    sync(folder)
    written.replace(path)
    sync(path.parent)


def _sync_folders(folder: Path, names: Iterable[str]) -> None:
    for name in sorted(names):
        sync(folder / name)
