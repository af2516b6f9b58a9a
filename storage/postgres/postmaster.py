"""Waits for a cluster's server to come or to go, and ends what a killed one left running."""

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
from sightline.storage.postgres.pidfile import PROC, Postmaster, find, works_in

_log = logging.getLogger(__name__)

_POLL_SECONDS = 0.1


def end_orphans(data: Path) -> None:
    """Ends what a killed server left running, and waits until it is gone.

    Orphans end by themselves, but only when they next wait for something, and while one runs no
    server can start. They hold nothing worth keeping: recovery goes by the log. Where there is
    no /proc, or we may not look into it, the server's refusal to start says what to do.
    """
    if not (PROC / "self").exists():
        return
    while True:
        pids = [int(each.name) for each in PROC.iterdir() if each.name.isdecimal()]
        orphans = []
        for pid in pids:
            with suppress(PermissionError):
                if works_in(pid, data):
                    orphans.append(pid)
        if not orphans:
            return
        for pid in orphans:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def wait_until_settled(
    data: Path, dsn: Callable[[Postmaster], str], sign_of_life_seconds: float
) -> bool:
    """True once the server accepts connections, False once no server runs.

    Called under the start lock. A server that neither answers nor has gone is starting,
    recovering or stopping; that is waited for without a deadline. A stale pid file is removed,
    since Postgres takes any living process of that number for its server.

    Raises StorageError where the server cannot be reached because its socket was removed.
    """
    waited = 0.0
    while (found := find(data)) is not None:
        if found.ready and not found.has_socket:
            raise StorageError(
                f"Postgres runs as process {found.pid}, and somebody removed its socket from "
                f"{found.socket_folder}; stop it with: kill -INT {found.pid}"
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
        if waited % sign_of_life_seconds < _POLL_SECONDS:
            _log.warning("waiting for Postgres, for %.0f s so far: %s", waited, reason)
    (data / "postmaster.pid").unlink(missing_ok=True)
    return False
