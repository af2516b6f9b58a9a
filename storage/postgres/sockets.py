"""Chooses the folder of the server's socket."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from pathlib import Path

from sightline.storage.errors import ConfigurationError
from sightline.storage.postgres.account import Account

_SOCKET_NAME = "/.s.PGSQL.5432"
# A socket path has at most 108 bytes on Linux and 104 on macOS, with the final NUL.
_MAX_BYTES = 103 - len(_SOCKET_NAME)
# Postgres and libpq parse the path as a list: no commas, quotes or spaces.
_PLAIN = re.compile(r"/[A-Za-z0-9/._+-]*")


def socket_folder(control: Path, account: Account) -> Path:
    """Return a folder with a short path that only ``account`` and root can enter.

    It is ``control/run`` if that path is suitable, else a temporary folder with a link there.
    """
    own = control / "run"
    if _is_suitable(own) and not own.is_symlink():
        account.create_folder(own)
        return own
    if own.is_symlink():
        linked = own.readlink()
        if _is_suitable(linked) and _is_private(linked.parent, control.stat().st_uid):
            account.create_folder(linked)
            return linked
        own.unlink()
    elif own.exists():
        shutil.rmtree(own)  # the data folder was moved to a longer path
    private = Path(tempfile.mkdtemp(prefix="sightline-"))
    target = private / "run"
    if not _is_suitable(target):
        private.rmdir()
        raise ConfigurationError(
            "The database socket needs a short path of plain characters. Neither "
            f"{str(control)!r} nor the temporary folder {tempfile.gettempdir()!r} is suitable. Set "
            "TMPDIR to another folder."
        )
    if account.uid != os.geteuid() and control.stat().st_uid == account.uid:
        os.chown(private, account.uid, account.gid)  # root opens a user's database
    account.create_folder(target)
    own.symlink_to(target)
    return target


def remove_linked_folder(control: Path) -> None:
    """Remove the temporary folder of ``socket_folder`` after the server has stopped."""
    link = control / "run"
    if link.is_symlink():
        shutil.rmtree(link.readlink().parent, ignore_errors=True)
        link.unlink()


def _is_suitable(folder: Path) -> bool:
    path = str(folder)
    return len(os.fsencode(path)) <= _MAX_BYTES and _PLAIN.fullmatch(path) is not None


def _is_private(folder: Path, owner: int) -> bool:
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return False
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == owner
        and stat.S_IMODE(found.st_mode) & 0o077 == 0
    )
