"""The first thing that a worker process does: tie its life to its parent's. Imports nothing slow."""

import ctypes
import os
import pickle
import signal
import sys
from typing import Any

_PR_SET_PDEATHSIG = 1


def enter(parent: int, connection: Any, work: bytes) -> None:
    """Begin a worker, as the target of a spawned process.

    Args:
        parent: Process id of the parent.
        connection: First argument of the work.
        work: Pickled function and its other arguments; unpickled, and with that imported, only when the
            worker is sure to end with its parent.
    """
    # Ctrl-C reaches the whole group: the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    function, arguments = pickle.loads(work)  # the parent's own, through its own pipe
    function(connection, *arguments)
