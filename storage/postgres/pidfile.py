"""Whether a cluster's server runs: its pid file may be stale, and its number another process's.

Standard library only, since the watchdog runs this file outside any environment.
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


def works_in(pid: int, data: Path) -> bool:
    """Whether the process is a Postgres of this cluster. One that has ended is not (a zombie).

    Raises PermissionError where this process may not see where the other works.
    """
    try:
        return _status(pid)["Name"] == "postgres" and (PROC / str(pid) / "cwd").samefile(data)
    except (FileNotFoundError, ProcessLookupError):
        return False


def _serves(pid: int, data: Path) -> bool:
    """Whether process ``pid`` is the server of ``data`` and not a later process of that number."""
    if (PROC / "self").exists():
        try:
            return works_in(pid, data)
        except PermissionError:
            # Root in a container may not look into other accounts' processes (CAP_SYS_PTRACE).
            return _is_live_postgres_of(pid, data.stat().st_uid)
    command = subprocess.run(
        ["ps", "-o", "command=", "-p", str(pid)],  # noqa: S607 - wherever the system has it
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
