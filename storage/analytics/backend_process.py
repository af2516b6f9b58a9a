"""Limits memory and priority of the process of one Postgres session.

From outside: Postgres has no such settings. Works on Linux, for a server on this machine whose
processes belong to this user, or if this user is root.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path

logger = logging.getLogger(__name__)

# In a container, root may change its identity, but not the limits of another user's process.
_CHANGE = """
import os, resource, sys
change, (pid, value, uid, gid) = sys.argv[1], map(int, sys.argv[2:])
os.setgroups([])
os.setresgid(gid, gid, gid)
os.setresuid(uid, uid, uid)
if change == "memory":
    resource.prlimit(pid, resource.RLIMIT_DATA, (value, value))
else:
    os.setpriority(os.PRIO_PROCESS, pid, value)
"""
_LOWEST_PRIORITY = 19


async def limit_private_memory(pid: int, user: str, extra_bytes: int) -> bool:
    """Limit the private memory of a session to its current one and ``extra_bytes``.

    Postgres then ends a statement with the error "out of memory". The limit excludes shared memory
    and the stack, whose growth must not fail. Returns False if this system cannot set it.
    """
    if sys.platform != "linux":
        return False
    import resource

    try:
        process = _session_process(pid, user)
        if process is None:
            return False
        status = (process / "status").read_text(encoding="ascii", errors="replace")
        (used,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmData:"))
        limit = 1024 * int(used) + extra_bytes
        owner = process.stat()
        if owner.st_uid == os.geteuid():
            resource.prlimit(pid, resource.RLIMIT_DATA, (limit, limit))
            return True
        return await _change_as_owner("memory", pid, limit, owner)
    except (OSError, ValueError) as error:
        logger.debug("the memory of process %d is not limited: %s", pid, error)
        return False


async def lower_priority(pid: int, user: str) -> bool:
    """Let a session compute only while nothing else does.

    Returns False if this system cannot do it.
    """
    if sys.platform != "linux":
        return False
    try:
        process = _session_process(pid, user)
        if process is None:
            return False
        try:
            os.setpriority(os.PRIO_PROCESS, pid, _LOWEST_PRIORITY)
        except PermissionError:
            return await _change_as_owner("priority", pid, _LOWEST_PRIORITY, process.stat())
        return True
    except OSError as error:
        logger.debug("the priority of process %d is not lowered: %s", pid, error)
        return False


def _session_process(pid: int, user: str) -> Path | None:
    """Return the process of a session, None for another one.

    Of another machine or container the same number would be a different process.
    """
    process = Path("/proc") / str(pid)
    title = (process / "cmdline").read_bytes()
    is_session = title.startswith(b"postgres: ") and f" {user} ".encode() in title
    return process if is_session else None


async def _change_as_owner(change: str, pid: int, value: int, owner: os.stat_result) -> bool:
    arguments = map(str, (pid, value, owner.st_uid, owner.st_gid))
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", _CHANGE, change, *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await child.wait() == 0
