"""Finds out whether a cluster's server runs: its pid file may be stale, and its pid re-used."""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

_log = logging.getLogger(__name__)

_PROC = Path("/proc/self")
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Postmaster:
    """What ``postmaster.pid`` says."""

    pid: int
    socket_folder: str


def read(data: Path) -> Postmaster | None:
    """The content of the pid file; None where there is none or it is not complete yet."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    if len(lines) < 5 or not lines[0].strip().isdecimal():
        return None
    return Postmaster(int(lines[0]), lines[4].strip())


def find(data: Path) -> Postmaster | None:
    """The cluster's server if its process lives. A stale pid file counts as no server."""
    found = read(data)
    return found if found is not None and _serves(found.pid, data) else None


def _serves(pid: int, data: Path) -> bool:
    """Whether process ``pid`` is the server of ``data`` and not a later process of that number."""
    if _PROC.exists():
        try:
            # Postgres works in its data folder.
            return Path(f"/proc/{pid}/cwd").samefile(data)
        except OSError:
            return False
    command = subprocess.run(
        ["ps", "-o", "command=", "-p", str(pid)],  # noqa: S607 - wherever the system has it
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    return str(data) in command


def wait_until_settled(data: Path, dsn: Callable[[], str], sign_of_life_seconds: float) -> bool:
    """True once the server accepts connections, False once no server runs.

    Called under the start lock. A server that neither answers nor has gone is starting,
    recovering or stopping; that is waited for without a deadline. A stale pid file is removed,
    since Postgres takes any living process of that number for its server.
    """
    waited = 0.0
    while find(data) is not None:
        try:
            psycopg.connect(dsn(), connect_timeout=5).close()
        except psycopg.OperationalError as error:
            reason = error
        else:
            return True
        time.sleep(_POLL_SECONDS)
        waited += _POLL_SECONDS
        if waited % sign_of_life_seconds < _POLL_SECONDS:
            _log.warning("waiting for Postgres, for %.0f s so far: %s", waited, reason)
    (data / "postmaster.pid").unlink(missing_ok=True)
    return False
