"""Stops Postgres after its last user, even if that user is killed.

A separate script (standard library only) that outlives the process that starts it:

    python watchdog.py USERS_LOCK OWN_LOCK_FD DATA COMMAND...

Each user of the server holds a shared lock on USERS_LOCK, which the kernel releases even on
``kill -9``. The exclusive lock is therefore free when the last user is gone; no polling is needed.
OWN_LOCK_FD is an inherited descriptor whose lock means that a watchdog is running.

COMMAND (``pg_ctl stop``) runs with each of ``STOP_MODES`` until the server of the cluster DATA is
gone: it signals any process with the id in the pid file.
"""

from __future__ import annotations

import fcntl
import os
import runpy
import subprocess
import sys
from pathlib import Path

#: The second ends what does not react to the first.
STOP_MODES = ("--mode=fast", "--mode=immediate")


def main(users_lock: str, own_lock: int, data: Path, command: list[str]) -> None:
    """Detach, wait for the lock, run the command."""
    if os.fork() > 0:
        os._exit(0)  # the starter waits only for this process: no zombie remains
    find = runpy.run_path(str(Path(__file__).with_name("pidfile.py")))["find"]
    os.setsid()
    os.chdir("/")
    users = os.open(users_lock, os.O_RDWR | os.O_CLOEXEC)
    fcntl.flock(users, fcntl.LOCK_EX)
    for mode in STOP_MODES:
        if find(data) is not None:
            subprocess.run([*command, mode], stdin=subprocess.DEVNULL, check=False)
    # In this order: the next user must see that no watchdog is running.
    os.close(own_lock)
    os.close(users)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
