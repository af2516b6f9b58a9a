"""Finds the processes of a cluster; detects stale pid files.

Standard library only: the watchdog runs this file without the environment's packages.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_POLL_SECONDS = 0.1
_STATUS = re.compile(r"^(Name|State|Uid):\s+(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Postmaster:
    """Content of ``postmaster.pid``; no ``socket_folder`` before the server listens."""

    pid: int
    socket_folder: str
    ready: bool

    @property
    def has_socket(self) -> bool:
        """Return whether the socket still exists."""
        return any(Path(self.socket_folder).glob(".s.PGSQL.*"))


def read(data: Path) -> Postmaster | None:
    """Return the content of the pid file, or None if it is missing or empty."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    if not lines or not lines[0].strip().isdecimal():
        return None
    lines += [""] * (8 - len(lines))
    return Postmaster(int(lines[0]), lines[4].strip(), lines[7].strip() == "ready")


def find(data: Path) -> Postmaster | None:
    """Return the running server of the cluster; None for a stale pid file."""
    found = read(data)
    if found is None:
        return None
    if (_PROC / "self").exists():
        is_server = _is_postgres_of(found.pid, data, trust_owner=True)
    else:
        command = ["ps", "-o", "command=", "-p", str(found.pid)]
        output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        is_server = str(data) in output
    return found if is_server else None


def kill_orphans(data: Path) -> None:
    """Kill the child processes of a crashed server and wait for their end.

    Orphans end by themselves only when they next wait, and no server can start before. They hold
    no data: recovery uses the WAL. Does nothing without access to /proc; then the error message of
    Postgres says what to do.
    """
    while (_PROC / "self").exists():
        pids = [int(each.name) for each in _PROC.iterdir() if each.name.isdecimal()]
        orphans = [pid for pid in pids if _is_postgres_of(pid, data)]
        if not orphans:
            return
        for pid in orphans:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def _is_postgres_of(pid: int, data: Path, *, trust_owner: bool = False) -> bool:
    """Return whether ``pid`` is a live Postgres of the cluster.

    Without CAP_SYS_PTRACE, root in a container cannot see the working folder of processes of other
    accounts. ``trust_owner`` then accepts a Postgres of the account that owns the cluster.
    """
    status: dict[str, str] = {}
    try:
        text = (_PROC / str(pid) / "status").read_text(encoding="utf-8", errors="replace")
        status = dict(_STATUS.findall(text))
        return status["Name"] == "postgres" and (_PROC / str(pid) / "cwd").samefile(data)
    except PermissionError:
        is_owner = status.get("Uid") == str(data.stat().st_uid)
        return trust_owner and is_owner and status["State"] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
