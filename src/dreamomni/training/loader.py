"""Batches made ahead by worker processes. Order and bytes are those of `task.batch`, at any number."""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from dreamomni.errors import DataError, DreamOmniError
from dreamomni.training.task import WHOLE, Part, TrainingTask

_PREFETCH_PER_WORKER = 4
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class _Failed:
    """An error of ours from a worker, carried as a value: torch would wrap it into a traceback."""

    kind: type[DreamOmniError]
    message: str


class _Steps(Dataset[Any]):
    def __init__(self, task: TrainingTask) -> None:
        self.task = task

    def __getitem__(self, at: tuple[int, Part]) -> Any:
        try:
            return self.task.batch(*at)
        except DreamOmniError as error:
            return _Failed(type(error), str(error))


@dataclass(frozen=True, slots=True)
class _Order:
    """Which parts come when; a run may have no end, so it is never spelt out."""

    steps: range
    parts: Sequence[Part]

    def __iter__(self) -> Iterator[tuple[int, Part]]:
        return ((step, part) for step in self.steps for part in self.parts)

    def __len__(self) -> int:
        return len(self.steps) * len(self.parts)


def iterate_batches(
    task: TrainingTask,
    start: int,
    stop: int,
    num_workers: int,
    lock: int | None,
    parts: Sequence[Part] = (WHOLE,),
) -> Generator[Any, None, None]:
    """Yield the batches of steps `start` to `stop - 1`: `parts` of the first, then of the next.

    Args:
        task: makes the batches.
        start: first step.
        stop: one past the last step.
        num_workers: processes; 0 makes the batches here.
        lock: descriptor of the run lock, which workers give up, so that it falls with the trainer alone; None
            where another process holds it.
        parts: what this process takes of every step.

    Raises:
        DataError: a worker process died, or a batch cannot be made.
    """
    wanted = _Order(range(start, stop), parts)
    if num_workers == 0 or start >= stop:
        yield from (task.batch(step, part) for step, part in wanted)
        return
    methods = multiprocessing.get_all_start_methods()
    loader: DataLoader[Any] = DataLoader(
        _Steps(task),
        batch_size=None,
        sampler=wanted,
        num_workers=num_workers,
        prefetch_factor=_PREFETCH_PER_WORKER,
        worker_init_fn=_WorkerInit(os.getpid(), lock),
        # Tasks hold models and caches: forked workers share them, spawned ones would need a copy of each.
        multiprocessing_context="fork" if "fork" in methods else None,
        generator=torch.Generator(),  # else the loader draws its base seed from the global stream
    )
    # Else a dying worker raises in the middle of whatever runs; asking for the next batch notices it too.
    before = signal.getsignal(signal.SIGCHLD)
    batches = iter(loader)
    signal.signal(signal.SIGCHLD, before)
    try:
        for step, _ in wanted:
            batch = _next(batches)
            if isinstance(batch, _Died):
                raise DataError(
                    f"a data worker died before the batch of step {step + 1} was ready ({batch.reason}); "
                    "see that there is memory enough, then resume"
                )
            if isinstance(batch, _Failed):
                raise batch.kind(batch.message)
            yield batch
    finally:
        del batches  # ends the workers, also while a traceback keeps this frame


def _next(batches: Iterator[Any]) -> Any:
    try:
        return next(batches)
    except (ConnectionError, EOFError) as error:  # it died while sending a tensor
        return _Died(str(error) or type(error).__name__)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        return _Died(" ".join(str(error).split()))


@dataclass(frozen=True, slots=True)
class _Died:
    """A worker is gone. A value, so that no traceback keeps the loader alive."""

    reason: str


@dataclass(frozen=True, slots=True)
class _WorkerInit:
    """Signals belong to the trainer: workers ignore them, and end with it even when it is killed."""

    parent: int
    lock: int | None

    def __call__(self, worker: int) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != self.parent:
                os._exit(1)
        if self.lock is not None:
            os.close(self.lock)
        torch.set_num_threads(1)
        cv2.setNumThreads(0)  # its thread pool does not survive a fork
