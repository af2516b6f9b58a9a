"""Finds out whether a cluster's server runs: its pid file may be stale, and its pid re-used."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from sightline.storage.errors import StorageError

_log = logging.getLogger(__name__)

_PROC = Path("/proc")
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Postmaster:
    """What ``postmaster.pid`` says; the socket's folder is empty until the server listens."""

    pid: int
    socket_folder: str
    ready: bool

    @property
    def has_socket(self) -> bool:
        """Whether its socket is still where it made it."""
        return any(Path(self.socket_folder).glob(".s.PGSQL.*"))


def read(data: Path) -> Postmaster | None:
    """The content of the pid file; None where there is none or a crash left it empty."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    if not lines or not lines[0].strip().isdecimal():
        return None
    lines += [""] * (8 - len(lines))
    return Postmaster(int(lines[0]), lines[4].strip(), lines[7].strip() == "ready")


def find(data: Path) -> Postmaster | None:
    """The cluster's server if its process lives. A stale pid file counts as no server."""
    found = read(data)
    return found if found is not None and _serves(found.pid, data) else None


def _serves(pid: int, data: Path) -> bool:
    """Whether process ``pid`` is the server of ``data`` and not a later process of that number."""
    if (_PROC / "self").exists():
        return _works_in(pid, data)
    command = subprocess.run(
        ["ps", "-o", "command=", "-p", str(pid)],  # noqa: S607 - wherever the system has it
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    return str(data) in command


def _works_in(pid: int, data: Path) -> bool:
    """Whether the process is a Postgres of this cluster. One that has ended is not (a zombie)."""
    try:
        name = (_PROC / str(pid) / "comm").read_text(encoding="utf-8").strip()
        return name == "postgres" and (_PROC / str(pid) / "cwd").samefile(data)
    except OSError:
        return False


def end_orphans(data: Path) -> None:
    """Ends what a killed server left running, and waits until it is gone.

    Orphans end by themselves, but only when they next wait for something, and while one runs no
    server can start. They hold nothing worth keeping: recovery goes by the log. Where there is
    no /proc the server's refusal to start says what to do.
    """
    if not (_PROC / "self").exists():
        return
    while True:
        pids = [int(each.name) for each in _PROC.iterdir() if each.name.isdecimal()]
        orphans = [pid for pid in pids if _works_in(pid, data)]
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
