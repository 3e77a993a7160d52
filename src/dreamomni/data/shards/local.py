"""Shards on this machine: a fixed number of worker processes, one shard at a time each, one thread each.

Workers are spawned, so that nothing of the parent but the job is in them, and end with it however it ends.
"""

import multiprocessing
import os
import pickle
import sys
import time
import traceback
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

import cv2

from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.shards.job import ShardJob
from dreamomni.data.shards.lifetime import enter
from dreamomni.data.shards.writer import Report, make_shard
from dreamomni.errors import DataError, DreamOmniError

_BUSY_SECONDS = 0.2
_PATIENCE_SECONDS = 5.0
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VIPS_CONCURRENCY")


@dataclass(frozen=True, slots=True)
class _Done:
    shard: int
    finished: bool


@dataclass(frozen=True, slots=True)
class _Progress:
    samples: int
    rejected: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Failed:
    """An error as a value: tracebacks of another process do not travel."""

    kind: type[DreamOmniError] | None
    message: str


@dataclass(slots=True)
class _Worker:
    process: SpawnProcess
    connection: Connection
    shard: int | None = None


def run_here(
    job: ShardJob, shards: Sequence[int], engine: CollageEngine, identity: Mapping[str, Any], report: Report
) -> None:
    """Make shards in this process, one after another.

    Raises:
        OutputError: A file cannot be written.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        waiting = deque(shards)
        idle = 0
        while waiting:
            shard = waiting.popleft()
            if make_shard(job, shard, engine, identity, report) is not None:
                idle = 0
                continue
            waiting.append(shard)
            idle += 1
            if idle >= len(waiting):  # another process has all that is left
                time.sleep(_BUSY_SECONDS)
    finally:
        cv2.setNumThreads(threads)


def run_workers(
    job: ShardJob, shards: Sequence[int], identity: Mapping[str, Any], num_workers: int, report: Report
) -> None:
    """Make shards in `num_workers` processes.

    Raises:
        DataError: A worker died.
        DreamOmniError: What stopped a worker.
    """
    waiting = deque(shards)
    with _started(job, identity, min(num_workers, len(shards))) as workers:
        for worker in workers:
            _hand_out(worker, waiting)
        while any(worker.shard is not None for worker in workers):
            ready = wait([worker.connection for worker in workers if worker.shard is not None])
            for worker in workers:
                if worker.connection not in ready:
                    continue
                message = _receive(worker)
                if isinstance(message, _Progress):
                    report(message.samples, message.rejected)
                elif isinstance(message, _Failed):
                    if message.kind is None:
                        raise RuntimeError(f"a data worker failed:\n{message.message}")
                    raise message.kind(message.message)
                else:
                    if not message.finished:
                        waiting.append(message.shard)
                    _hand_out(worker, waiting)


@contextmanager
def _started(job: ShardJob, identity: Mapping[str, Any], num: int) -> Iterator[list[_Worker]]:
    context = multiprocessing.get_context("spawn")
    workers: list[_Worker] = []
    work = pickle.dumps((_serve, (job, dict(identity))))
    try:
        with _one_thread(), _without_main():
            for _ in range(num):
                ours, theirs = context.Pipe()
                process = context.Process(target=enter, args=(os.getpid(), theirs, work), daemon=True)
                process.start()
                theirs.close()  # else its end would stay open here, and the worker's death unnoticed
                workers.append(_Worker(process, ours))
        yield workers
        for worker in workers:
            with suppress(OSError):
                worker.connection.send(None)
        for worker in workers:
            worker.process.join(_PATIENCE_SECONDS)
    finally:
        for worker in workers:
            if worker.process.is_alive():
                worker.process.kill()
            worker.process.join()
            worker.connection.close()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Environment of the workers: libraries read these when they are loaded."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _without_main() -> Iterator[None]:
    """Keep workers from importing the script that starts them, which they would do before anything else.

    They need nothing of it. Until it were imported a worker could not tie its life to its parent's, and a
    script without `if __name__ == "__main__"` would start workers of its own in each.
    """
    main = vars(sys.modules["__main__"])
    hidden = ("__file__", "__spec__")
    before = {name: main[name] for name in hidden if name in main}
    main.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            del main[name]
        main.update(before)


def _hand_out(worker: _Worker, waiting: deque[int]) -> None:
    worker.shard = waiting.popleft() if waiting else None
    if worker.shard is not None:
        with suppress(BrokenPipeError):  # it is dead: reading from it says so
            worker.connection.send(worker.shard)


def _receive(worker: _Worker) -> Any:
    try:
        return worker.connection.recv()
    except (EOFError, ConnectionError):
        worker.process.join(_PATIENCE_SECONDS)
        raise DataError(
            f"a data worker died while it made shard {worker.shard} ({_cause(worker.process.exitcode)}); see "
            "that there is memory enough or use fewer workers, then give the same command to go on"
        ) from None


def _cause(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed by signal {-code}"
    return f"exit code {code}"


def _serve(connection: Connection, job: ShardJob, identity: dict[str, Any]) -> None:
    """What a worker does: read a number, make that shard, say so; end on None or when nobody listens."""
    cv2.setNumThreads(1)

    def report(samples: int, rejected: Mapping[str, int]) -> None:
        connection.send(_Progress(samples, dict(rejected)))

    try:
        engine = job.make_engine()
        while (shard := connection.recv()) is not None:
            finished = make_shard(job, shard, engine, identity, report) is not None
            if not finished:
                time.sleep(_BUSY_SECONDS)
            connection.send(_Done(shard, finished))
    except (BrokenPipeError, ConnectionResetError, EOFError):
        os._exit(1)  # the parent is gone
    except DreamOmniError as error:
        connection.send(_Failed(type(error), str(error)))
    except BaseException:
        connection.send(_Failed(None, traceback.format_exc()))
