"""File descriptors: raise their limit, and survive without free ones."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

logger = logging.getLogger(__name__)

#: Some programs look at every possible descriptor, so the limit is not raised without end.
_MAX_DESCRIPTORS = 65_536
#: The rest is for the database, files and worker processes.
_SHARE_OF_CONNECTIONS = 2
_LOG_INTERVAL_SECONDS = 60.0
#: Message of asyncio for EMFILE and similar errors. It then accepts again after one second.
_ACCEPT_FAILED = "socket.accept() out of system resource"


def raise_descriptor_limit() -> None:
    """Raise the soft limit of open files to the hard limit."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def limit_connections(wanted: int) -> int:
    """Return how many of the wanted connections the limit of open files allows."""
    if sys.platform == "win32":
        return wanted
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft // _SHARE_OF_CONNECTIONS >= wanted:
        return wanted
    allowed = max(1, soft // _SHARE_OF_CONNECTIONS)
    logger.warning(
        "the limit of %d open files allows %d instead of %d connections; raise it with ulimit -n",
        soft,
        allowed,
        wanted,
    )
    return allowed


@contextmanager
def log_exhaustion_once(clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Log in the block at most once a minute that no connection can be accepted.

    asyncio would log a traceback for each attempt.
    """
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    logged_at = -_LOG_INTERVAL_SECONDS

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal logged_at
        if context.get("message") != _ACCEPT_FAILED:
            loop.default_exception_handler(context) if before is None else before(loop, context)
        elif clock() - logged_at >= _LOG_INTERVAL_SECONDS:
            logged_at = clock()
            error = context.get("exception")
            logger.error("new connections wait: %s; raise the limit with ulimit -n", error)

    loop.set_exception_handler(handle)
    try:
        yield
    finally:
        loop.set_exception_handler(before)
