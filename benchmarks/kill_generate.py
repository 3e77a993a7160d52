# ruff: noqa: T201
"""Kill `dreamomni data generate` at random instants, and see that nothing half-made is ever accepted.

    python benchmarks/kill_generate.py [--kills 200] [--json FILE]

A process makes a small data set and is killed (SIGKILL) when it has worked for a random time: of the
processor, so that other work on the machine does not move the kills (Linux only). Then every shard that
counts as finished is compared, byte for byte, with one that was never interrupted, and the same command goes
on. A data set that became whole is compared as a whole and begun anew. Half of the kills hit a process that
draws by itself, a tenth one with two workers, which must end with it; the rest end two processes on one
folder.
Exit code 1 when anything differs.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from dreamomni.config import load_recipe
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.shards.generate import generate
from dreamomni.data.shards.job import ShardJob, read_dataset
from dreamomni.data.shards.writer import read_stats
from dreamomni.errors import DataError

NUM_SAMPLES = 72
SHARD_SIZE = 6
_LONGEST_CPU_SECONDS = {1: 0.8, 2: 5.0}
# Waiting for the disk is not work: kills come up to so much later, to fall into that as well.
_LONGEST_DELAY_SECONDS = 0.03
# A process that outlives its parent is one that sleeps on, or works on; to wait for a turn of the processor
# is neither, however long it takes on a busy machine.
_LONGEST_SLEEP_SECONDS = 20.0
_LONGEST_WORK_CPU_SECONDS = 20.0
_TICKS = os.sysconf("SC_CLK_TCK")


def make_job(folder: Path) -> ShardJob:
    """A data set of twelve shards that takes about a second."""
    recipe = load_recipe("mini-world", CollageRecipe)
    return ShardJob(recipe, folder, num_samples=NUM_SAMPLES, shard_size=SHARD_SIZE)


class HalfShardError(Exception):
    """Something half-made was accepted, or a finished file differs."""


class Killer:
    """Starts, kills and checks.

    Args:
        place: An empty folder for the data sets.
        seed: Of the instants.
    """

    def __init__(self, place: Path, seed: int = 0) -> None:
        self.counts: Counter[str] = Counter()
        self._random = random.Random(seed)
        whole = make_job(place / "whole")
        generate(whole)
        self._whole = _contents(whole.folder)
        self._job = make_job(place / "killed")
        self._accepted: set[int] = set()
        self.longest_wait = 0.0
        """Seconds until the last process of a killed group was gone, at most."""

    def kill(self, num_workers: int, num_processes: int = 1) -> None:
        """Kill once, and check.

        Args:
            num_workers: Of each process.
            num_processes: How many work on the folder at once; all are killed.

        Raises:
            HalfShardError: What must not be, is.
        """
        groups = [_start(self._job, num_workers) for _ in range(num_processes)]
        _let_work(groups, self._random.random() * _LONGEST_CPU_SECONDS[num_workers])
        time.sleep(self._random.random() * _LONGEST_DELAY_SECONDS)
        for group in groups:
            os.kill(group, signal.SIGKILL)
        for group in groups:
            os.waitpid(group, 0)
            self.longest_wait = max(self.longest_wait, _wait_for_the_end(group))
        self.counts["kills"] += 1
        self.check()

    def check(self) -> None:
        """Compare what is accepted with what was never interrupted; begin anew when it is whole."""
        folder = self._job.folder
        if not folder.is_dir():
            self.counts["killed before anything was written"] += 1
            return
        found = _contents(folder)
        self.counts["left unfinished files in .work"] += any(
            name.startswith(".work/") and not name.endswith(".lock") for name in found
        )
        try:
            identity = read_dataset(folder)["identity"]
        except DataError:
            if any(name.startswith("stats/") for name in found):
                raise HalfShardError("there are finished shards without a record of the data set") from None
            self.counts["killed before the record was written"] += 1
            return
        stats = {shard: read_stats(folder, shard, identity) for shard in range(self._job.num_shards)}
        accepted = {shard for shard, one in stats.items() if one is not None}
        listed = {name for one in stats.values() if one is not None for name in one["files"]}
        for name in sorted(listed | {f"stats/{shard:05d}.json" for shard in accepted}):
            if found.get(name) != self._whole[name]:
                raise HalfShardError(
                    f"{name} counts as finished, but differs from one that was never interrupted"
                )
            self.counts["accepted files compared"] += 1
        if not self._accepted <= accepted:
            raise HalfShardError(
                f"shards {sorted(self._accepted - accepted)} were finished, and are not any more"
            )
        self._accepted = accepted
        placed = {name for name in found if name.endswith((".tar", ".parquet")) and name[0] != "."}
        self.counts["killed between the first rename and the last"] += bool(placed - listed)
        if len(accepted) == self._job.num_shards:
            self.finish()

    def finish(self) -> None:
        """Complete the data set in this process, compare every byte, and clear it away."""
        generate(self._job)
        differing = dict(_contents(self._job.folder).items() ^ self._whole.items())
        if differing:
            raise HalfShardError(f"of the finished data set these files are wrong: {', '.join(differing)}")
        self.counts["whole data sets compared"] += 1
        self._accepted = set()
        shutil.rmtree(self._job.folder)


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _start(job: ShardJob, num_workers: int) -> int:
    """Start a process in a group of its own and return its id; forking spares the imports."""
    return _fork(lambda: generate(replace(job), num_workers=num_workers))


def _fork(work: Callable[[], object]) -> int:
    child = os.fork()
    if child:
        return child
    os.setpgid(0, 0)
    try:
        work()
        os._exit(0)
    finally:
        os._exit(1)


def _let_work(groups: Sequence[int], seconds: float) -> None:
    """Wait until the processes have used so many seconds of the processor each, on average, or have ended."""
    while True:
        found = [one for group in groups for one in _processes_of(group)]
        spent = sum(one.cpu_seconds for one in found)
        if spent >= seconds * len(groups) or all(one.state == "Z" for one in found):
            return
        time.sleep(0.002)


def _wait_for_the_end(group: int) -> float:
    """Wait until no process of the group is left, as workers must end with their parent; for how long."""
    start = last = time.monotonic()
    asleep = 0.0
    first = {one.number: one.cpu_seconds for one in _processes_of(group)}
    while _is_there(group):
        left = [one for one in _processes_of(group) if one.state != "Z"]
        worked = sum(one.cpu_seconds - first.setdefault(one.number, 0.0) for one in left)
        now = time.monotonic()
        if left and all(one.state == "S" for one in left):
            # A gap in our own turns says nothing of theirs.
            asleep += min(now - last, 1.0)
        last = now
        if asleep > _LONGEST_SLEEP_SECONDS or worked > _LONGEST_WORK_CPU_SECONDS:
            raise HalfShardError(
                f"workers outlived their parent: they slept for {asleep:.0f} seconds and worked for "
                f"{worked:.0f} (of the processor) after its death: {left}"
            )
        time.sleep(0.02)
    return last - start


def _is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@dataclass(frozen=True)
class Process:
    """What /proc says of a process; state Z has ended."""

    number: int
    state: str
    cpu_seconds: float
    command: str


def _processes_of(group: int) -> list[Process]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(state[2]) == group:
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                seconds = (int(state[11]) + int(state[12])) / _TICKS
                found.append(Process(int(folder.name), state[0], seconds, command))
        except (OSError, ValueError, IndexError):
            continue  # it has ended meanwhile
    return found


def main() -> int:
    """Kill as often as asked and print the counts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=None, metavar="FILE")
    args = parser.parse_args()
    cv2.setNumThreads(0)  # a pool of threads does not survive a fork
    with tempfile.TemporaryDirectory() as place:
        killer = Killer(Path(place), args.seed)
        try:
            for number in range(args.kills):
                if number % 10 == 9:
                    killer.kill(num_workers=2)
                else:
                    killer.kill(num_workers=1, num_processes=1 + number % 2)
            killer.finish()
        except HalfShardError as wrong:
            print(f"after {killer.counts['kills']} kills: {wrong}")
            return 1
    for name, count in killer.counts.items():
        print(f"{count:6d} {name}")
    print(f"{killer.longest_wait:6.1f} seconds until the last process of a killed group was gone, at most")
    if args.json is not None:
        args.json.write_text(json.dumps(dict(killer.counts), indent=2) + "\n")
    print("no half shard was accepted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
