"""The processes of a run: who is who, and how they agree. No model, no files.

A launcher (`torchrun`, `accelerate launch`) starts them and tells each by environment variables which one it
is. torch.distributed is used directly; accelerate only launches, because its wrappers decide on their own
how batches are split and gradients are scaled, and resuming must be exact to the bit. Tensors of a step
travel over NCCL between GPUs and over gloo between CPUs; what is said here, always over gloo.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from dreamomni.errors import ConfigError, DreamOmniError, ProcessLostError
from dreamomni.training.config import TrainingConfig

_PATIENCE = timedelta(days=2)
"""How long processes wait for one that builds caches, draws or writes; a dead one is noticed at once."""


@dataclass(frozen=True, slots=True)
class World:
    """This process among all processes of the run.

    Args:
        rank: number of this process; 0 is the main one, which alone logs, samples and exports.
        size: how many there are.
        group: over which they talk; None in a run of one process that no launcher started.
    """

    rank: int = 0
    size: int = 1
    group: distributed.ProcessGroup | None = None

    @property
    def is_main(self) -> bool:
        """Whether this process speaks for all."""
        return self.rank == 0

    def sums(self, values: Sequence[float]) -> list[float]:
        """Sum each value over all processes, in float64; every process gets the same bits.

        Raises:
            ProcessLostError: another process has ended.
        """
        if self.size == 1:
            return [float(value) for value in values]
        total = torch.tensor(list(values), dtype=torch.float64)
        with self.watching():
            distributed.all_reduce(total, group=self.group)
        return total.tolist()

    def gather(self, value: Any) -> list[Any]:
        """Return what every process gave, in the order of their ranks.

        Raises:
            ProcessLostError: another process has ended.
        """
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        with self.watching():
            distributed.all_gather_object(values, value, group=self.group)
        return values

    @contextmanager
    def together(self) -> Iterator[None]:
        """What fails in one process fails in all of them, with the same words.

        Every process must come here, or the others wait. The body may come together itself, but not talk to
        other processes in any other way.

        Raises:
            DreamOmniError: that of the lowest rank whose body raised one.
            ProcessLostError: another process has ended.
        """
        failure: DreamOmniError | None = None
        try:
            yield
        except DreamOmniError as error:
            if self.size == 1 or isinstance(error, ProcessLostError) or error.agreed:
                raise
            failure = error
        if self.size == 1 or not self.sums([failure is not None])[0]:
            return
        said = self.gather(None if failure is None else (type(failure), str(failure)))
        kind, message = next(word for word in said if word is not None)
        agreed: DreamOmniError = kind(message)
        agreed.agreed, agreed.told_elsewhere = True, not self.is_main
        raise agreed from failure

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Turn a broken connection into an error that says so.

        Raises:
            ProcessLostError: another process has ended.
        """
        try:
            yield
        except RuntimeError as error:
            if self.size == 1 or not _is_broken_connection(error):
                raise
            raise ProcessLostError(
                f"process {self.rank} of {self.size} lost another process of the run, which was killed or "
                "says elsewhere why it ended; resume from the last checkpoint"
            ) from error


ALONE = World()
"""A run of one process."""
_current = ALONE


def current() -> World:
    """The processes of the run that this one has joined, for tasks that share work; else `ALONE`."""
    return _current


@contextmanager
def join(config: TrainingConfig) -> Iterator[World]:
    """Meet the other processes that the launcher started; yields where this one stands.

    Raises:
        ConfigError: the launcher's variables are damaged, the settings do not allow that many processes, or
            there are fewer GPUs than processes on this machine.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield ALONE
        return
    global _current
    rank, size, local = (_number(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if size == 1 and config.parallel != "fsdp":
        yield ALONE
        return
    with _said_once(rank):
        check_processes(config, size)
    with _said_once(local):
        backend = _pick_device(config, local)
    try:
        distributed.init_process_group(backend, rank=rank, world_size=size)
        group = distributed.new_group(backend="gloo", timeout=_PATIENCE)
    except (ValueError, RuntimeError) as error:
        raise ConfigError(
            f"process {rank} of {size} cannot meet the others: {' '.join(str(error).split())}; start "
            "them with torchrun or accelerate launch, which set MASTER_ADDR and MASTER_PORT"
        ) from error
    _current = World(rank, size, group)
    try:
        yield _current
    finally:
        _current = ALONE
    # Not after an error: some may be gone, and the farewell would wait for them.
    distributed.destroy_process_group()


def launched_size() -> int:
    """How many processes a launcher says that it started; 1 without one."""
    return max(1, _number("WORLD_SIZE"))


def check_processes(config: TrainingConfig, size: int) -> None:
    """Refuse what cannot work before anything is spent."""
    parts = size * config.gradient_accumulation_steps
    if config.batch_size % parts:
        lower, upper = config.batch_size // parts * parts, -(-config.batch_size // parts) * parts
        near = f"{lower} or {upper}" if lower else f"{upper}"
        raise ConfigError(
            f"batch_size {config.batch_size} does not divide into {size} processes x "
            f"{config.gradient_accumulation_steps} accumulation steps = {parts} parts; say {near}, or start "
            "another number of processes"
        )
    if size > 1 and config.parallel == "none":
        raise ConfigError(f"parallel is none, but there are {size} processes; say ddp or fsdp")
    if config.parallel == "fsdp" and config.optimizer != "adamw":
        raise ConfigError(
            f"optimizer {config.optimizer} needs whole matrices, and fsdp cuts them into {size} shards; "
            "say optimizer adamw, or parallel ddp"
        )


def _pick_device(config: TrainingConfig, local_rank: int) -> str:
    """Give this process its GPU; returns the name of the backend."""
    name = config.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return "gloo"
    if name != "cuda":
        raise ConfigError(
            f"device {name!r} is one device, but several processes were started; say cuda or cpu"
        )
    count, here = torch.cuda.device_count(), max(_number("LOCAL_WORLD_SIZE"), local_rank + 1)
    if here > count:
        raise ConfigError(
            f"{here} processes were started on this machine, but it has {count} GPUs; start {count} here, "
            "or say device cpu"
        )
    torch.cuda.set_device(local_rank)
    return "nccl"


@contextmanager
def _said_once(number: int) -> Iterator[None]:
    """What every process finds out by itself is printed by the first."""
    try:
        yield
    except ConfigError as error:
        error.told_elsewhere = number > 0
        raise


def _number(name: str) -> int:
    text = os.environ.get(name, "0")
    if not text.isdecimal():
        raise ConfigError(f"the environment variable {name} is {text!r}, but a launcher sets it to a number")
    return int(text)


def _is_broken_connection(error: RuntimeError) -> bool:
    words = str(error).lower()
    return isinstance(error, distributed.DistError) or any(
        sign in words for sign in ("connection", "gloo", "nccl", "broken pipe", "socket", "timed out")
    )
