"""Which process makes which shard: a locked file per shard, given up by the system when its process ends.

Shards would be the same bytes whoever made them: claims only keep two processes on one folder from doing the
same work twice, and tell leftovers of the dead from the work of the living.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # no such locks on Windows: there, one process per folder
    fcntl = None  # type: ignore[assignment]

WORK_FOLDER = ".work"
_SUFFIX = ".lock"
_NO_LOCKS = (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS)
"""A file system without locks: there, too, one process per folder."""


@contextmanager
def claim(folder: Path, name: str) -> Iterator[Path | None]:
    """Yield an empty folder for unfinished files of that name, or None while another process has claimed it.

    The folder is removed at the end.

    Raises:
        OSError: The files cannot be made.
    """
    work = folder / WORK_FOLDER
    lock = work / f"{name}{_SUFFIX}"
    descriptor = _lock(lock)
    if descriptor is None:
        yield None
        return
    place = lock.with_suffix("")
    try:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        yield place
    finally:
        _release(lock, descriptor)


def clear_leftovers(folder: Path) -> None:
    """Remove what processes that are gone have left behind."""
    work = folder / WORK_FOLDER
    for lock in sorted(work.glob(f"*{_SUFFIX}")):
        try:
            descriptor = _lock(lock)
        except OSError:
            continue
        if descriptor is not None:
            _release(lock, descriptor)
    with suppress(OSError):  # another process still works there, or nothing was made
        work.rmdir()


def _lock(path: Path) -> int | None:
    """Open and lock a file; None when another process holds it."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:  # the folder was just cleared away: make it again
            continue
        # The holder before us removes the file: a lock on a file without a name protects nothing.
        try:
            held = _try_lock(descriptor)
            current = held and os.path.samestat(os.fstat(descriptor), path.stat())
        except FileNotFoundError:
            held, current = True, False
        except BaseException:
            os.close(descriptor)
            raise
        if current:
            return descriptor
        os.close(descriptor)
        if not held:
            return None


def _try_lock(descriptor: int) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


def _release(lock: Path, descriptor: int) -> None:
    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
    lock.unlink(missing_ok=True)
    os.close(descriptor)
