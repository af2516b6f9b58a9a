"""Runs a command once nobody holds a lock any more: stops Postgres behind its last user.

A script of its own (standard library only), since it outlives the process that starts it:

    python watchdog.py USERS_LOCK OWN_LOCK_FD COMMAND...

Each user of the server holds a shared lock on USERS_LOCK, which the kernel drops even on
``kill -9``; so to wait for an exclusive one is to wait until the last user is gone, without
polling. OWN_LOCK_FD is an inherited descriptor whose lock says that a watchdog is on duty.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys


def main(users_lock: str, own_lock: int, command: list[str]) -> None:
    """Detaches, waits, runs the command."""
    if os.fork() > 0:
        os._exit(0)  # the starter waits for this one only, so no zombie is left to it
    os.setsid()
    os.chdir("/")
    users = os.open(users_lock, os.O_RDWR | os.O_CLOEXEC)
    fcntl.flock(users, fcntl.LOCK_EX)
    subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
    # In this order: whoever gets the users' lock next must find that no watchdog is on duty.
    os.close(own_lock)
    os.close(users)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
