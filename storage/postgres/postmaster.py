"""Waits for a server to start or stop; kills orphans of a crashed server."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg

from sightline.storage.errors import StorageError
from sightline.storage.postgres.pidfile import PROC, Postmaster, find, is_postgres_of

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.1


def kill_orphans(data: Path) -> None:
    """Kill the child processes of a crashed server and wait for their end.

    Orphans end by themselves only when they next wait, and no server can start before. They hold
    no data: recovery uses the WAL. Does nothing without access to /proc; then the error message of
    Postgres says what to do.
    """
    if not (PROC / "self").exists():
        return
    while True:
        pids = [int(each.name) for each in PROC.iterdir() if each.name.isdecimal()]
        orphans = []
        for pid in pids:
            with suppress(PermissionError):
                if is_postgres_of(pid, data):
                    orphans.append(pid)
        if not orphans:
            return
        for pid in orphans:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def wait_until_settled(data: Path, dsn: Callable[[Postmaster], str], report_seconds: float) -> bool:
    """Return True when the server accepts connections, False when no server runs.

    Call it with the start lock. Waits without a deadline for a server that starts, recovers or
    stops. Removes a stale pid file, because Postgres would take any process with that id for its
    server. Raises StorageError if the socket was removed.
    """
    waited = 0.0
    while (found := find(data)) is not None:
        if found.ready and not found.has_socket:
            raise StorageError(
                f"Postgres runs as process {found.pid}, but its socket was removed from "
                f"{found.socket_folder}. Stop it with: kill -INT {found.pid}"
            )
        reason = "it does not listen yet"
        if found.socket_folder:
            try:
                psycopg.connect(dsn(found), connect_timeout=5).close()
            except psycopg.OperationalError as error:
                reason = str(error)
            else:
                return True
        time.sleep(_POLL_SECONDS)
        waited += _POLL_SECONDS
        if waited % report_seconds < _POLL_SECONDS:
            logger.warning("waiting for Postgres for %.0f s: %s", waited, reason)
    (data / "postmaster.pid").unlink(missing_ok=True)
    return False
