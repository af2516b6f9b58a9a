"""Where the server's socket goes: below the cluster, or in a short private folder."""

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
# 108 bytes on Linux and 104 on macOS, with the closing zero.
_MOST_BYTES = 103 - len(_SOCKET_NAME)
# Postgres reads the setting as a list and libpq reads its own as one: no commas, quotes, spaces.
_PLAIN = re.compile(r"/[A-Za-z0-9/._+-]*")


def socket_folder(control: Path, account: Account) -> Path:
    """A folder that only ``account`` (and root) can enter, with a short and plain path.

    ``control/run`` itself where its path will do, else a link of that name to a folder among the
    temporary ones.
    """
    own = control / "run"
    if _will_do(own) and not own.is_symlink():
        account.own(own)
        return own
    if own.is_symlink():
        linked = own.readlink()
        if _will_do(linked) and _is_private(linked.parent, control.stat().st_uid):
            account.own(linked)
            return linked
        own.unlink()
    elif own.exists():
        shutil.rmtree(own)  # the data folder was moved to a longer path
    private = Path(tempfile.mkdtemp(prefix="sightline-"))
    made = private / "run"
    if not _will_do(made):
        private.rmdir()
        raise ConfigurationError(
            f"the socket of the database needs a short path of plain characters, and neither "
            f"{str(control)!r} nor the temporary folder {tempfile.gettempdir()!r} has one; set "
            "TMPDIR to another"
        )
    if account.uid != os.geteuid() and control.stat().st_uid == account.uid:
        os.chown(private, account.uid, account.gid)  # root opens a user's database
    account.own(made)
    own.symlink_to(made)
    return made


def remove_linked_folder(control: Path) -> None:
    """Removes what ``socket_folder`` made among the temporary folders, once the server stopped."""
    link = control / "run"
    if link.is_symlink():
        shutil.rmtree(link.readlink().parent, ignore_errors=True)
        link.unlink()


def _will_do(folder: Path) -> bool:
    path = str(folder)
    return len(os.fsencode(path)) <= _MOST_BYTES and _PLAIN.fullmatch(path) is not None


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
