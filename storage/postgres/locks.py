"""Advisory locks on files; the kernel drops them when their holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_SECONDS = 0.05
_TELL_SECONDS = 10.0


def open_lock(path: Path, owner: int) -> int:
    """A descriptor of the lock file, made where it is missing and given to uid ``owner``."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    if os.fstat(descriptor).st_uid != owner and os.geteuid() == 0:
        os.fchown(descriptor, owner, -1)
    return descriptor


def try_exclusive(descriptor: int) -> bool:
    """Takes the lock for one holder, or says False at once."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_shared(
    descriptor: int, *, seconds: float | None = None, tell: Callable[[float], None]
) -> bool:
    """Waits until nobody holds the lock exclusively, then takes it among others.

    False where that took longer than ``seconds``. ``tell`` is given the seconds waited so far,
    now and then.
    """
    began = told = time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            now = time.monotonic()
            if seconds is not None and now - began >= seconds:
                return False
            if now - told >= _TELL_SECONDS:
                told = now
                tell(now - began)
            time.sleep(_POLL_SECONDS)
        else:
            return True


def release(descriptor: int) -> None:
    """Drops the lock and the descriptor, also where a forked child has inherited it."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


@contextmanager
def exclusive(path: Path, owner: int) -> Iterator[None]:
    """Holds the lock for the length of the block; waits for it."""
    descriptor = open_lock(path, owner)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        release(descriptor)
