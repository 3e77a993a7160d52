"""Real processes as torchrun starts them, but forked: their libraries are loaded already."""

import logging
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch
import torch._dynamo  # loaded by the first optimizer step, which takes a second in every process

from dreamomni.errors import DreamOmniError


class Launched:
    """`size` processes that run `work(rank)`, each with the variables of a launcher.

    What one prints goes to `folder/rank-N.txt`; an error of ours ends it with its message there and code 2.
    """

    def __init__(self, size: int, work: Callable[[int], object], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(1)  # a pool of threads does not survive a fork
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.outputs = [folder / f"rank-{rank}.txt" for rank in range(size)]
        self.pids = [self._start(rank, size, port, work) for rank in range(size)]
        self._codes: dict[int, int] = {}

    def _start(self, rank: int, size: int, port: int, work: Callable[[int], object]) -> int:
        pid = os.fork()
        if pid:
            return pid
        code = 99
        try:
            with self.outputs[rank].open("w") as output:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                sys.stdout = sys.stderr = output
                logging.basicConfig(
                    stream=output, force=True, level=logging.INFO if rank == 0 else logging.ERROR
                )
                names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
                os.environ.update({name: str(value) for name, value in names.items()})
                os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
                try:
                    work(rank)
                    code = 0
                except DreamOmniError as error:
                    output.write(f"{type(error).__name__}: {error}\n")
                    code = 2
                except BaseException:  # a forked pytest must never return into pytest
                    traceback.print_exc()
                output.flush()
        finally:
            os._exit(code)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Signal every process that still runs."""
        for pid in self.pids:
            if pid not in self._codes:
                os.kill(pid, number)

    def wait(self, timeout_seconds: float = 120.0) -> list[int]:
        """Exit codes by rank; negative for a signal."""
        deadline = time.monotonic() + timeout_seconds
        while len(self._codes) < len(self.pids):
            for pid in self.pids:
                if pid not in self._codes:
                    done, status = os.waitpid(pid, os.WNOHANG)
                    if done:
                        self._codes[pid] = os.waitstatus_to_exitcode(status)
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"not ended in {timeout_seconds} s: {self.texts()}")
            time.sleep(0.005)
        return [self._codes[pid] for pid in self.pids]

    def texts(self) -> list[str]:
        """What each printed."""
        return [path.read_text() if path.exists() else "" for path in self.outputs]


def launch(size: int, work: Callable[[int], object], folder: Path) -> list[str]:
    """Run to the end; every process must succeed. Returns what each printed."""
    processes = Launched(size, work, folder)
    codes = processes.wait()
    assert codes == [0] * size, processes.texts()
    return processes.texts()
