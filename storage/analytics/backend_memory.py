"""Limits the memory of one Postgres session from outside.

Postgres has no such setting. Works on Linux, for a server on this machine whose processes belong to
this user, or if this user is root.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path

logger = logging.getLogger(__name__)

# In a container, root may change its identity, but not the limits of another user's process.
_SET_LIMIT = """
import os, resource, sys
pid, limit, uid, gid = map(int, sys.argv[1:])
os.setgroups([])
os.setresgid(gid, gid, gid)
os.setresuid(uid, uid, uid)
resource.prlimit(pid, resource.RLIMIT_DATA, (limit, limit))
"""


async def limit_private_memory(pid: int, user: str, extra_bytes: int) -> bool:
    """Limit the private memory of a session to its current one and ``extra_bytes``.

    Postgres then ends a statement with the error "out of memory". The limit excludes shared memory
    and the stack, whose growth must not fail. Returns False if this system cannot set it.
    """
    if sys.platform != "linux":
        return False
    import resource

    process = Path("/proc") / str(pid)
    try:
        # Of another machine or container the same number would be a different process.
        title = (process / "cmdline").read_bytes()
        if not title.startswith(b"postgres: ") or f" {user} ".encode() not in title:
            return False
        status = (process / "status").read_text(encoding="ascii", errors="replace")
        (used,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmData:"))
        limit = 1024 * int(used) + extra_bytes
        owner = process.stat()
        if owner.st_uid == os.geteuid():
            resource.prlimit(pid, resource.RLIMIT_DATA, (limit, limit))
            return True
        arguments = map(str, (pid, limit, owner.st_uid, owner.st_gid))
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", _SET_LIMIT, *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        return await child.wait() == 0
    except (OSError, ValueError) as error:
        logger.debug("the memory of process %d is not limited: %s", pid, error)
        return False
