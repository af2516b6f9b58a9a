"""Drops root rights and runs a command, because Postgres refuses to run as root.

A separate script (standard library only), started by root:

    python launcher.py UID GID FOLDER COMMAND...

The unprivileged account cannot enter a folder below ``/root`` or another private home. Instead of
changing folder modes, the command keeps one Linux capability: CAP_DAC_READ_SEARCH (read and
traverse folders), or CAP_DAC_OVERRIDE if a container runtime withholds the first. It cannot gain
other rights again. util-linux ``setpriv`` could replace most of this, but is missing on macOS and
in minimal images, and could not try the two capabilities in turn.
"""

from __future__ import annotations

import ctypes
import os
import sys

_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_PR_SET_KEEPCAPS = 8
_PR_SET_SECUREBITS = 28
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522


def _keep_only(libc: ctypes.CDLL, capability: int | None) -> bool:
    """Keep only one capability (or none), also across exec; return False if refused."""
    # Version and process (0: this one); effective, permitted and inheritable set of capabilities
    # 0 to 31, then of the others.
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    bit = 0 if capability is None else 1 << capability
    sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
    if libc.capset(ctypes.byref(header), ctypes.byref(sets)) != 0:
        return False
    return capability is None or bool(
        libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0) == 0
    )


def _suffices(program: str, folder: str, capability: int | None, libc: ctypes.CDLL | None) -> bool:
    """Test in a child process whether the capability suffices for folder and program.

    In a child, because a dropped capability cannot be regained.
    """
    child = os.fork()
    if child == 0:
        try:
            if libc is not None and not _keep_only(libc, capability):
                os._exit(1)
            if not (os.access(program, os.X_OK) and os.access(folder, os.R_OK | os.W_OK)):
                os._exit(1)
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 1)
            os.dup2(null, 2)
            os.execv(program, [program, "--version"])
        except OSError:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def main(uid: int, gid: int, folder: str, command: list[str]) -> None:
    """Replace this process by the command; never returns."""
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if libc is not None:
        libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
        # Without this, access(2) ignores the capabilities of unprivileged users. The programs of
        # Postgres find each other with access(2).
        libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    try:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    except OSError as error:
        sys.exit(
            f"Postgres refuses to run as root, and root cannot change to uid {uid} here "
            f"({error.strerror}). Run Sightline as an ordinary user, or set "
            "SIGHTLINE_DATABASE__URL."
        )
    capabilities: tuple[int | None, ...] = (None,)
    if libc is not None:
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        capabilities = (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE, None)
    for capability in capabilities:
        if _suffices(command[0], folder, capability, libc):
            if libc is not None:
                _keep_only(libc, capability)
            os.execv(command[0], command)
    sys.exit(
        f"uid {uid} cannot access {folder} or {command[0]}, and no capability helps here. Run "
        "Sightline as an ordinary user, or set SIGHTLINE_DATABASE__URL."
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
