"""Advisory locks on files; the kernel drops them when their holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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


def wait_shared(descriptor: int) -> None:
    """Waits until nobody holds the lock exclusively, then takes it among others."""
    fcntl.flock(descriptor, fcntl.LOCK_SH)


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
