"""Advisory file locks. The kernel releases them even after kill -9."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_SECONDS = 0.05
_REPORT_SECONDS = 10.0


def open_lock(path: Path, owner: int) -> int:
    """Open or create the lock file with uid ``owner``; return its descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    if os.fstat(descriptor).st_uid != owner and os.geteuid() == 0:
        os.fchown(descriptor, owner, -1)
    return descriptor


def try_exclusive(descriptor: int) -> bool:
    """Take the exclusive lock without waiting; return whether that succeeded."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_shared(
    descriptor: int, *, seconds: float | None = None, report: Callable[[float], None]
) -> bool:
    """Take the shared lock; return False after a timeout of ``seconds``.

    ``report`` is called from time to time with the seconds waited.
    """
    started = reported = time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            now = time.monotonic()
            if seconds is not None and now - started >= seconds:
                return False
            if now - reported >= _REPORT_SECONDS:
                reported = now
                report(now - started)
            time.sleep(_POLL_SECONDS)
        else:
            return True


def release(descriptor: int) -> None:
    """Release the lock, also in forked children, and close the descriptor."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


@contextmanager
def exclusive(path: Path, owner: int) -> Iterator[None]:
    """Hold the exclusive lock during the block; wait for it."""
    descriptor = open_lock(path, owner)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        release(descriptor)
