"""Finds the server process of a cluster; detects stale pid files.

Standard library only: the watchdog runs this file without the environment's packages.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
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
    return found if found is not None and _is_server_of(found.pid, data) else None


def is_postgres_of(pid: int, data: Path) -> bool:
    """Return whether the process is a live Postgres of this cluster (no zombie).

    Raises PermissionError if the working folder of the process is not visible.
    """
    try:
        return _status(pid)["Name"] == "postgres" and (PROC / str(pid) / "cwd").samefile(data)
    except (FileNotFoundError, ProcessLookupError):
        return False


def _is_server_of(pid: int, data: Path) -> bool:
    """Return whether ``pid`` is the server of ``data``, not a reused process id."""
    if (PROC / "self").exists():
        try:
            return is_postgres_of(pid, data)
        except PermissionError:
            # Without CAP_SYS_PTRACE, root in a container cannot see processes of other accounts.
            return _is_live_postgres_of(pid, data.stat().st_uid)
    command = subprocess.run(
        ["ps", "-o", "command=", "-p", str(pid)],  # noqa: S607 - its path depends on the system
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    return str(data) in command


def _is_live_postgres_of(pid: int, uid: int) -> bool:
    try:
        status = _status(pid)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status["Name"] == "postgres" and status["Uid"] == str(uid) and status["State"] != "Z"


def _status(pid: int) -> dict[str, str]:
    text = (PROC / str(pid) / "status").read_text(encoding="utf-8", errors="replace")
    return dict(_STATUS.findall(text))
