"""Runs a command once nobody holds a lock any more: stops Postgres behind its last user.

A script of its own (standard library only), since it outlives the process that starts it:

    python watchdog.py USERS_LOCK OWN_LOCK_FD DATA COMMAND...

Each user of the server holds a shared lock on USERS_LOCK, which the kernel drops even on
``kill -9``; so to wait for an exclusive one is to wait until the last user is gone, without
polling. OWN_LOCK_FD is an inherited descriptor whose lock says that a watchdog is on duty.

The command is run only where the server of the cluster DATA lives: ``pg_ctl stop`` signals
whichever process has the number in the pid file, and the server may have died long ago.
"""

from __future__ import annotations

import fcntl
import os
import runpy
import subprocess
import sys
from pathlib import Path


def main(users_lock: str, own_lock: int, data: Path, command: list[str]) -> None:
    """Detaches, waits, runs the command."""
    if os.fork() > 0:
        os._exit(0)  # the starter waits for this one only, so no zombie is left to it
    find = runpy.run_path(str(Path(__file__).with_name("pidfile.py")))["find"]
    os.setsid()
    os.chdir("/")
    users = os.open(users_lock, os.O_RDWR | os.O_CLOEXEC)
    fcntl.flock(users, fcntl.LOCK_EX)
    if find(data) is not None:
        subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
    # In this order: whoever gets the users' lock next must find that no watchdog is on duty.
    os.close(own_lock)
    os.close(users)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
