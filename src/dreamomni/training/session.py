"""What surrounds a run: one trainer per folder, signals that ask for a tidy stop, the finite-loss guard."""

import fcntl
import math
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from dreamomni.errors import OutputError, TrainingError
from dreamomni.training.processes import World


@contextmanager
def run_lock(run_dir: Path) -> Iterator[int]:
    """Hold `run_dir` for this process alone; yields the descriptor of the lock. It falls with the process.

    Raises:
        TrainingError: another trainer holds it.
        OutputError: the folder cannot be written.
    """
    path = run_dir / "lock"
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _unusable(run_dir, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            raise TrainingError(
                f"another trainer (process {owner}) is using {run_dir}; "
                "wait for it, stop it, or choose another folder"
            ) from None
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        except OSError as error:
            raise _unusable(run_dir, error) from error
        yield descriptor
    finally:
        os.close(descriptor)


def _unusable(run_dir: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot use {run_dir} as a run folder: {(error.strerror or str(error)).lower()}")


class StopRequest:
    """SIGTERM or Ctrl-C asks the loop to stop after this step; a second one ends the process at once."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._asked = False

    def __bool__(self) -> bool:
        return self.signal is not None

    def agree(self, world: World) -> bool:
        """Whether to stop now: a signal to any process is one to all. All must ask after the same step."""
        own = self.signal
        if world.size > 1:
            terms, interrupts = world.sums([own == signal.SIGTERM, own == signal.SIGINT])
            own = signal.SIGINT if interrupts else signal.SIGTERM if terms else None
            self.signal = own or self.signal
        return own is not None

    @property
    def exit_code(self) -> int:
        """130 for Ctrl-C; SIGTERM is an orderly end, 0."""
        return 130 if self.signal == signal.SIGINT else 0

    @contextmanager
    def listening(self) -> Iterator["StopRequest"]:
        """Handle both signals inside the block."""
        before = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            os._exit(128 + number)
        self._asked = True
        if self.signal is None:
            self.signal = signal.Signals(number)


class LossGuard:
    """Stops the run before a loss or gradient that is not finite reaches the weights."""

    def check_loss(self, step: int, loss: float, keys: Sequence[str]) -> None:
        """Refuse a loss that is not finite.

        Raises:
            TrainingError: it is NaN or infinite; the message names the step and the samples.
        """
        self._check(step, "loss", loss, keys)

    def check_grad_norm(self, step: int, grad_norm: float, keys: Sequence[str]) -> None:
        """Refuse a gradient norm that is not finite (see `check_loss`)."""
        self._check(step, "gradient norm", grad_norm, keys)

    def _check(self, step: int, what: str, value: float, keys: Sequence[str]) -> None:
        if not math.isfinite(value):
            named = ", ".join(keys[:8]) + (f" and {len(keys) - 8} more" if len(keys) > 8 else "")
            raise TrainingError(
                f"the {what} of step {step + 1} is {value}, so the run stopped before the weights changed "
                f"(samples: {named or 'unnamed'}); lower the learning rate, or look at these samples"
            )
