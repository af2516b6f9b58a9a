"""Where the server's socket goes: below the cluster, or in a short private folder."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from pathlib import Path

from sightline.storage.errors import ConfigurationError
from sightline.storage.postgres.account import Account

_SOCKET_NAME = "/.s.PGSQL.5432.lock"
# 108 bytes on Linux and 104 on macOS, with the closing zero.
_MOST_BYTES = 103 - len(_SOCKET_NAME)
# Postgres reads the setting as a list and libpq reads the folder out of a DSN: no commas, no
# quotes, no spaces.
_PLAIN = re.compile(r"/[A-Za-z0-9/._+-]*")


def socket_folder(control: Path, account: Account) -> Path:
    """A folder that only ``account`` (and root) can enter, with a short and plain path."""
    own = control / "run"
    if len(os.fsencode(own)) <= _MOST_BYTES and _PLAIN.fullmatch(str(own)):
        account.own(own)
        return own
    mark = hashlib.sha256(os.fsencode(control)).hexdigest()[:16]
    private = Path(tempfile.gettempdir()) / f"sightline-{control.stat().st_uid}-{mark}"
    private.mkdir(mode=0o700, exist_ok=True)
    found = private.lstat()
    if os.geteuid() == 0 and found.st_uid == 0:
        os.chown(private, control.stat().st_uid, -1)
        found = private.lstat()
    if (
        not stat.S_ISDIR(found.st_mode)
        or found.st_uid != control.stat().st_uid
        or stat.S_IMODE(found.st_mode) & 0o077
    ):
        raise ConfigurationError(
            f"{private} exists and is not a private folder of the database's owner; remove it"
        )
    inner = private / "run"
    if len(os.fsencode(inner)) > _MOST_BYTES or not _PLAIN.fullmatch(str(inner)):
        raise ConfigurationError(
            f"the temporary folder {tempfile.gettempdir()!r} has too long a path for a socket, "
            f"and so has {str(control)!r}; set TMPDIR to a shorter one"
        )
    account.own(inner)
    return inner
